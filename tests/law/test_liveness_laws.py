"""Laws of liveness: what is heard arrives, no false death, every death in time, no stampede."""

from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.nodes.adoption import Adoption, duty_of
from hub.nodes.brake import Brake
from hub.nodes.heard import HeardBooks
from hub.nodes.heard_told import HeardTold
from hub.nodes.heard_wire import read, write
from hub.nodes.interval import Interval
from hub.nodes.verdict import Change, offline_seconds
from hub.nodes.verdict_book import VerdictBook
from hub.nodes.verdict_doubt import OwnDoubts, PeerStanding
from shared.errors import BadInput
from shared.liveness import NodeState
from tests.law.drawing import patient

T = 5.0
HUBS = ("hub-1", "hub-2", "hub-3")
REPORT_SECONDS_MAX = 17.0


class Hub:
    """What one hub has for liveness."""

    def __init__(self, hub_id: str, others: tuple[str, ...]) -> None:
        self.hub_id, self.told = hub_id, HeardTold(f"{hub_id}-run")
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        brake = Brake(lambda name, facts: self.events.append((name, facts)))
        peers = {other: PeerStanding(is_alive=True) for other in others}
        self.book = VerdictBook(HeardBooks(hub_id), brake, OwnDoubts(0.0, 0.0), 0.0, peers)

    def hear(self, node_id: str, beat: int, now: float, interval: float = T) -> None:
        """A beat arrives."""
        if self.book.hear(node_id, 1, beat, now, interval):
            self.told.moved(node_id, now)

    def gossip(self, peer: "Hub", sent_at: float, arrives_at: float, *, answered: bool) -> None:
        """One message to a peer, and perhaps the answer to it."""
        told = self.told.section(peer.hub_id, T, sent_at)
        if told is None:
            return
        section = read(write(told))
        reply = peer.book.take(self.hub_id, section, arrives_at)
        if answered:
            self.told.confirmed(peer.hub_id, reply)


def mesh(hubs: tuple[str, ...]) -> dict[str, Hub]:
    """Hubs that all live."""
    return {hub: Hub(hub, tuple(other for other in hubs if other != hub)) for hub in hubs}


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_bad_input(body: bytes) -> None:
    try:
        section = read(body)
        HeardBooks("hub-2").take("hub-1", section, 1.0)
    except BadInput:
        return


@patient
@given(st.data())
def test_no_section_of_the_right_shape_breaks_the_books(data: st.DataObject) -> None:
    """Numbers at their bounds, columns that do not fit, and starts in the middle."""
    books, big = HeardBooks("hub-2"), st.sampled_from([0, 1, 2, 3, 2**53, 2**63 - 1])
    small, names = st.integers(0, 4), st.sampled_from(["edge-1", "edge-2", "edge-3"])
    for _ in range(4):
        columns = st.lists(small, max_size=4)
        told = [
            data.draw(st.sampled_from(["a", "b"])),
            50,
            data.draw(big),
            data.draw(small),
            data.draw(st.lists(names, max_size=4)),
            data.draw(columns),
            data.draw(columns | st.lists(big, max_size=4)),
        ]
        try:
            section = read(_msgpack(told))
            reply, moved = books.take("hub-1", section, 1.0)
        except BadInput:
            continue
        assert all(slot < len(books.slots) for slot in moved)
        assert reply.names <= 8


def _msgpack(value: object) -> bytes:
    return msgspec.msgpack.encode(value)


moves = st.integers(0, 5)
messages = st.sampled_from(["lost", "unanswered", "arrives", "twice", "sender anew", "peer anew"])


@patient
@given(st.lists(moves | messages, max_size=60))
def test_whatever_gets_lost_the_peer_ends_up_knowing_the_latest_beats(
    steps: list[int | str],
) -> None:
    told, books = HeardTold("run-0"), HeardBooks("hub-2")
    latest: dict[str, float] = {}
    runs, now = 0, 0.0
    for step in steps:
        now += 1.0
        if isinstance(step, int):
            told.moved(f"edge-{step}", now)
            latest[f"edge-{step}"] = now
        elif step == "sender anew":
            runs += 1
            told = HeardTold(f"run-{runs}")
            for node in latest:
                told.moved(node, now)
                latest[node] = now
        elif step == "peer anew":
            books = HeardBooks("hub-2")
        else:
            _send(told, books, step, now)
    for _ in range(3):
        now += 1.0
        _send(told, books, "arrives", now)
    for node, at in latest.items():
        assert books.ages(node, now)["hub-1"] == pytest.approx(now - at, abs=0.051)


def _send(told: HeardTold, books: HeardBooks, fate: str, now: float) -> None:
    sent = told.section("hub-2", T, now)
    assert sent is not None  # A second passed.
    if fate == "lost":
        return
    section = read(write(sent))
    reply, _ = books.take("hub-1", section, now)
    if fate == "twice":
        reply, moved = books.take("hub-1", section, now + 0.5)
        assert moved == []
    if fate != "unanswered":
        told.confirmed("hub-2", reply)


@pytest.mark.parametrize("seed", range(6))
def test_no_node_is_offline_while_a_live_hub_hears_it(seed: int) -> None:
    """Random loss on every way, three hubs, ten nodes of which some die and come back."""
    rng = Random(seed)
    hubs, beats = mesh(HUBS), Counter[str]()
    nodes = [f"edge-{n}" for n in range(10)]
    heard_at: dict[str, list[float]] = {node: [] for node in nodes}
    loss = {(node, hub): rng.choice([0.0, 0.2, 1.0]) for node in nodes for hub in HUBS}
    dead_from = {node: rng.choice([30.0, 1e9]) for node in nodes}
    dead_until = {node: dead_from[node] + rng.uniform(10, 60) for node in nodes}
    for hub in hubs.values():
        for node in nodes:
            hub.book.watch(node, 0.0)
    for quarter in range(4 * 120):
        now = quarter / 4
        for number, node in enumerate(nodes):
            alive = not dead_from[node] <= now < dead_until[node]
            if alive and quarter % 20 == number:
                beats[node] += 1
                for hub_id, hub in hubs.items():
                    if rng.random() >= loss[node, hub_id]:
                        hub.hear(node, beats[node], now)
                        heard_at[node].append(now)
        if quarter % 4 == 0:
            _gossip_with_loss(hubs, rng, now)
        for hub in hubs.values():
            for change in hub.book.tick(now):
                if change.new is NodeState.OFFLINE:
                    _check_silence(heard_at[change.node_id], now)
            for node in nodes:
                _check_told(hub, node, heard_at[node], now)


def _gossip_with_loss(hubs: dict[str, Hub], rng: Random, now: float) -> None:
    for hub in hubs.values():
        for peer in hubs.values():
            if peer is not hub and rng.random() >= 0.2:
                hub.gossip(peer, now, now, answered=rng.random() >= 0.2)


def _check_silence(heard_at: list[float], now: float) -> None:
    """Nobody had heard it for three intervals, but for what the next report would have told."""
    told = [at for at in heard_at if at <= now - REPORT_SECONDS]
    assert not told or now - told[-1] >= offline_seconds(T)


def _check_told(hub: Hub, node: str, heard_at: list[float], now: float) -> None:
    verdict = hub.book.verdict(node)
    assert verdict is not None
    if heard_at and now - heard_at[-1] >= REPORT_SECONDS_MAX:
        assert verdict.state in (NodeState.OFFLINE, NodeState.UNKNOWN)


REPORT_SECONDS = 3.0 + 1.0
"""As long as a peer may be quiet before its word is waited for, and a message more."""


def test_a_dead_node_among_ten_thousand_is_reported_by_every_hub_within_17_seconds() -> None:
    """Three hubs, the beats of 10,000 nodes at T = 5 s with their jitter, delays on every way."""
    rng, hubs = Random(5), mesh(HUBS)
    assert Interval(0.0).seconds(10_000, 1_000.0) == T
    nodes = [f"edge-{n}" for n in range(10_000)]
    dies_at = {node: rng.uniform(12.0, 17.0) for node in rng.sample(nodes, 20)}
    for hub in hubs.values():
        for node in nodes:
            hub.book.watch(node, 0.0)
    due: dict[int, list[tuple[str, str]]] = {}
    for node in nodes:
        for hub_id in HUBS:
            due.setdefault(int(rng.uniform(0, T) * 4), []).append((node, hub_id))
    told: dict[tuple[str, str], float] = {}
    beats = Counter[str]()
    for quarter in range(4 * 36):
        now = quarter / 4
        for node, hub_id in due.pop(quarter, ()):
            if now < dies_at.get(node, 1e9):
                beats[node] += 1
                hubs[hub_id].hear(node, beats[node], now)
                next_at = now + T * rng.uniform(0.9, 1.1)
                due.setdefault(int(next_at * 4 + 1), []).append((node, hub_id))
        for hub in hubs.values():
            for peer in hubs.values():
                if peer is not hub and quarter % 4 == 0:
                    hub.gossip(peer, now - 0.2, now, answered=True)
            for change in hub.book.tick(now):
                if change.new is NodeState.OFFLINE:
                    told[change.node_id, hub.hub_id] = now
                assert change.new is not NodeState.SUSPECT or change.node_id in dies_at
    assert set(told) == {(node, hub_id) for node in dies_at for hub_id in HUBS}
    assert max(at - dies_at[node] for (node, _), at in told.items()) <= REPORT_SECONDS_MAX


@pytest.mark.parametrize("share", [0.4, 1.0])
@pytest.mark.parametrize("interval", [5.0, 20.0, 60.0])
def test_a_crowd_that_vanishes_is_unknown_and_nobody_is_called_dead_first(
    share: float, interval: float
) -> None:
    """Their last beats are spread over a whole interval; the brake is on before the first is due."""
    rng, hub = Random(7), mesh(("hub-1",))["hub-1"]
    nodes = [f"edge-{n}" for n in range(1_000)]
    hub.book.interval_seconds = interval
    for node in nodes:
        hub.book.watch(node, 0.0)
        hub.hear(node, 1, rng.uniform(0.0, interval), interval)
    hub.book.tick(interval)
    stays = nodes[int(share * len(nodes)) :]
    changes: list[Change] = []
    now = interval
    gone = nodes[: len(nodes) - len(stays)]
    while now < 4.4 * interval + 60:
        now += 0.25
        if now % interval < 0.25:
            for node in stays:
                hub.hear(node, int(now) + 2, now, interval)
        changes += hub.book.tick(now)
    assert [name for name, _ in hub.events] == ["fleet.brake.begin"]
    assert set(_states(hub, gone)) == {NodeState.UNKNOWN}
    assert NodeState.OFFLINE not in {change.new for change in changes}
    for _ in range(int(4 * (120 + 4.4 * interval))):
        now += 0.25
        if now % interval < 0.25:
            for node in stays:
                hub.hear(node, int(now) + 2, now, interval)
        hub.book.tick(now)
    assert [name for name, _ in hub.events] == ["fleet.brake.begin", "fleet.brake.end"]
    assert set(_states(hub, gone)) == {NodeState.OFFLINE}


def _states(hub: Hub, nodes: list[str]) -> list[NodeState]:
    verdicts = [hub.book.verdict(node) for node in nodes]
    return [verdict.state for verdict in verdicts if verdict is not None]


def test_a_restarted_hub_calls_nobody_dead_who_comes_back_in_time() -> None:
    """1,000 edges come back within their retries of ten seconds; ten never do."""
    rng, hub = Random(3), mesh(("hub-1",))["hub-1"]
    interval = Interval(0.0)
    hub.book = VerdictBook(
        hub.book.heard, hub.book.brake, OwnDoubts(0.0, interval.listening_seconds(1_000)), 0.0
    )
    nodes = [f"edge-{n}" for n in range(1_000)]
    due = {node: rng.uniform(0, 10) for node in nodes[10:]}
    first, told = set(due), []
    for node in nodes:
        hub.book.watch(node, 0.0)
    for quarter in range(4 * 60):
        now = quarter / 4
        for node in [node for node, at in due.items() if at <= now]:
            asked = interval.asked(1_000, now, node, is_first=node in first)
            first.discard(node)
            hub.hear(node, quarter + 1, now, asked.judged_seconds)
            due[node] = now + asked.told_seconds * rng.uniform(0.9, 1.1)
        told += [(now, change) for change in hub.book.tick(now) if change.new is NodeState.OFFLINE]
    assert {change.node_id for _, change in told} == set(nodes[:10])
    assert min(now for now, _ in told) >= interval.listening_seconds(1_000)
    assert hub.events == []


hub_sets = st.sets(st.sampled_from(["hub-1", "hub-2", "hub-3", "hub-4", "hub-5"]), min_size=1)


@patient
@given(hub_sets, hub_sets, st.text("abc", min_size=1, max_size=5))
def test_a_duty_moves_only_when_its_hub_goes_or_a_better_one_comes(
    before: set[str], after: set[str], name: str
) -> None:
    old, new = duty_of(name, before), duty_of(name, after)
    if new != old:
        assert old not in after or new not in before


@patient
@given(st.lists(hub_sets | st.none(), min_size=1, max_size=60), st.integers(0, 3_000))
def test_in_no_ten_seconds_do_more_than_the_budget_change_hands(
    steps: list[set[str] | None], nodes: int
) -> None:
    """None stands for a second in which nothing happens to hubs."""
    book, moved = Adoption("hub-1", lambda name, facts: None), []
    book.stand(["hub-1", "hub-2"], 0.0)
    for number in range(nodes):
        book.add(f"edge-{number}")
    for second, hubs in enumerate(steps):
        if hubs is not None:
            book.stand(hubs, float(second))
        moved.append(len(book.step(float(second))))
    limit = max(nodes // 20, 50)
    assert max(sum(moved[start : start + 10]) for start in range(len(moved))) <= limit
