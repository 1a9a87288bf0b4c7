"""A node is offline only when no live hub hears it, and a hub that cannot know says so."""

from collections.abc import Mapping
from typing import Any

import pytest

from hub.nodes.brake import Brake
from hub.nodes.heard import HeardBooks
from hub.nodes.heard_told import HeardTold
from hub.nodes.heard_wire import HeardSection
from hub.nodes.verdict import Verdict, offline_seconds, state_at, turns_after
from hub.nodes.verdict_book import VerdictBook
from hub.nodes.verdict_doubt import PEER_WAIT_SECONDS_MAX, OwnDoubts, PeerStanding
from hub.nodes.verdict_wheel import Wheel
from shared.liveness import NodeState

T = 5.0
ALIVE = PeerStanding(is_alive=True)
DEAD = PeerStanding(is_alive=False)


def ignore(name: str, facts: Mapping[str, Any]) -> None:
    """Nobody listens to events here."""


def book_of(*peers: str, listens_for: float = 0.0) -> VerdictBook:
    """The book of hub-1, which has listened long enough, with live peers."""
    heard = HeardBooks("hub-1")
    doubts = OwnDoubts(0.0, listens_for)
    return VerdictBook(heard, Brake(ignore), doubts, 0.0, dict.fromkeys(peers, ALIVE))


def sent(told: HeardTold, peer: str, interval: float, now: float) -> HeardSection:
    """A message of a hub that is not waiting for an answer."""
    section = told.section(peer, interval, now)
    assert section is not None
    return section


class Peer:
    """hub-2, which tells what it hears."""

    def __init__(self, book: VerdictBook) -> None:
        self.told, self.book = HeardTold("run"), book

    def report(self, now: float) -> None:
        """Send what moved; the answer arrives."""
        section = self.told.section("hub-1", T, now)
        if section is not None:
            self.told.confirmed("hub-1", self.book.take("hub-2", section, now))


def pass_time(book: VerdictBook, since: float, until: float) -> list[tuple[float, str, str]]:
    """Tick four times a second; when which node became what."""
    told: list[tuple[float, str, str]] = []
    for quarter in range(int(since * 4) + 1, int(until * 4) + 1):
        changes = book.tick(quarter / 4)
        told += [(quarter / 4, change.node_id, change.new.value) for change in changes]
    return told


def verdict_of(book: VerdictBook, node_id: str = "edge-1") -> Verdict:
    """What the book says of a node that it watches."""
    verdict = book.verdict(node_id)
    assert verdict is not None
    return verdict


@pytest.mark.parametrize(
    ("age", "state"),
    [
        (-1.0, "online"),
        (0.0, "online"),
        (6.4, "online"),
        (6.5, "late"),
        (11.9, "late"),
        (12.0, "suspect"),
        (16.4, "suspect"),
        (16.5, "offline"),
        (1e9, "offline"),
    ],
)
def test_the_age_of_the_last_beat_decides(age: float, state: str) -> None:
    assert state_at(age, T) == state


@pytest.mark.parametrize("interval", [5.0, 7.3, 20.0, 60.0, 120.0])
def test_each_state_turns_into_the_next_worse(interval: float) -> None:
    states = [NodeState.ONLINE, NodeState.LATE, NodeState.SUSPECT]
    for state, worse in zip(states, [*states[1:], NodeState.OFFLINE], strict=True):
        turn = turns_after(state, interval)
        assert state_at(turn - 0.001, interval) is state
        assert state_at(turn, interval) is worse


def test_a_silent_node_is_told_step_by_step_and_once() -> None:
    book = book_of()
    book.watch("edge-1", 1.0)
    book.hear("edge-1", 1, 1, 1.0, T)
    assert pass_time(book, 1.0, 60.0) == [
        (1.25, "edge-1", "online"),
        (7.5, "edge-1", "late"),
        (13.0, "edge-1", "suspect"),
        (17.5, "edge-1", "offline"),
    ]
    assert verdict_of(book) == Verdict(NodeState.OFFLINE, "hub-1", 17.5)


def test_a_beat_makes_an_offline_node_online_at_once() -> None:
    book = book_of()
    book.watch("edge-1", 1.0)
    book.hear("edge-1", 1, 1, 1.0, T)
    pass_time(book, 1.0, 60.0)
    assert book.hear("edge-1", 1, 2, 60.1, T)
    assert verdict_of(book).state is NodeState.ONLINE
    assert not book.hear("edge-1", 1, 2, 60.2, T)


def test_a_node_that_beats_is_never_told() -> None:
    book = book_of()
    book.watch("edge-1", 0.0)
    told = []
    for second in range(100):
        if second % 5 == 0:
            book.hear("edge-1", 1, second + 1, float(second), T)
        told += pass_time(book, second, second + 1)
    assert told == [(0.25, "edge-1", "online")]
    assert book.looks < 100 / T * 1.5


def test_one_hub_that_hears_a_node_keeps_it_alive() -> None:
    """The verdict names that hub."""
    book = book_of("hub-2")
    peer = Peer(book)
    book.watch("edge-1", 0.0)
    book.hear("edge-1", 1, 1, 0.0, T)
    for second in range(60):
        if second % 5 == 0:
            peer.told.moved("edge-1", float(second))
        peer.report(float(second))
        assert "offline" not in str(pass_time(book, second, second + 1))
    assert verdict_of(book) == Verdict(NodeState.ONLINE, "hub-2", 0.0)


def test_the_beats_that_a_dead_hub_had_heard_stay_true_until_they_are_old() -> None:
    book = book_of("hub-2")
    peer = Peer(book)
    book.watch("edge-1", 0.0)
    peer.told.moved("edge-1", 1.0)
    peer.report(1.0)
    book.peers = {"hub-2": DEAD}
    states = [state for _, _, state in pass_time(book, 1.0, 17.25)]
    assert states == ["online", "late", "suspect"]
    book.brake.override("a person", book.signs(), 17.25)
    assert [state for _, _, state in pass_time(book, 17.25, 18.0)] == ["offline"]


@pytest.mark.parametrize(
    "standing", [PeerStanding(is_alive=False), PeerStanding(is_alive=True, is_isolated=True)]
)
def test_nobody_waits_for_the_word_of_a_hub_that_cannot_know(standing: PeerStanding) -> None:
    """Three other hubs, of which one is gone: neither a brake nor a doubt."""
    book = book_of("hub-2")
    peer = Peer(book)
    book.peers = {"hub-2": ALIVE, "hub-3": standing, "hub-4": ALIVE}
    other = HeardTold("run")
    book.watch("edge-1", 0.0)
    book.hear("edge-1", 1, 1, 0.0, T)
    for second in range(20):
        peer.report(float(second))
        book.take("hub-4", sent(other, "hub-1", T, float(second)), float(second))
        pass_time(book, second, second + 1)
    assert verdict_of(book) == Verdict(NodeState.OFFLINE, "hub-1", 16.5)


def test_a_live_hub_that_does_not_report_is_waited_for_and_not_for_ever() -> None:
    book = book_of("hub-2")
    book.watch("edge-1", 0.0)
    book.hear("edge-1", 1, 1, 0.0, T)
    pass_time(book, 0.0, 20.0)
    verdict = verdict_of(book)
    assert (verdict.state, verdict.reason) == (NodeState.UNKNOWN, "hub-2 has not reported lately")
    assert verdict.ends_at == pytest.approx(0.25 + PEER_WAIT_SECONDS_MAX, abs=5.0)
    pass_time(book, 20.0, 40.0)
    assert verdict_of(book).state is NodeState.OFFLINE


def test_a_hub_that_answers_again_is_given_the_time_to_report() -> None:
    """It was waited for all the time that it could not be reached; its first answer is no report."""
    book = book_of("hub-2")
    book.watch("edge-1", 0.0)
    book.hear("edge-1", 1, 1, 0.0, T)
    book.peers = {"hub-2": PeerStanding(is_alive=True, answers=False)}
    pass_time(book, 0.0, 200.0)
    book.peers = {"hub-2": ALIVE}
    pass_time(book, 200.0, 200.0 + PEER_WAIT_SECONDS_MAX - 1)
    verdict = verdict_of(book)
    assert (verdict.state, verdict.reason) == (NodeState.UNKNOWN, "hub-2 has not reported lately")
    pass_time(book, 200.0, 200.0 + PEER_WAIT_SECONDS_MAX + 1)
    assert verdict_of(book).state is NodeState.OFFLINE


def test_a_hub_that_lives_by_the_word_of_others_alone_is_waited_for_as_long_as_it_lives() -> None:
    """It may hear every node, so this hub calls nobody offline; when the peer is dead, it does."""
    book = book_of("hub-2")
    book.watch("edge-1", 0.0)
    book.hear("edge-1", 1, 1, 0.0, T)
    book.peers = {"hub-2": PeerStanding(is_alive=True, answers=False), "hub-3": ALIVE}
    other = HeardTold("run")
    for second in range(200):
        book.take("hub-3", sent(other, "hub-1", T, float(second)), float(second))
        pass_time(book, second, second + 1)
    verdict = verdict_of(book)
    assert verdict.state is NodeState.UNKNOWN
    assert verdict.reason == "hub-2 does not answer this hub, and may hear it"
    book.peers = {"hub-2": DEAD, "hub-3": ALIVE, "hub-4": ALIVE}
    for hub in ("hub-3", "hub-4"):
        book.take(hub, sent(other, "hub-1", T, 200.0), 200.0)
    pass_time(book, 200.0, 201.0)
    assert verdict_of(book).state is NodeState.OFFLINE


def test_a_hub_that_just_started_says_unknown_with_reason_and_end() -> None:
    book = book_of(listens_for=33.0)
    book.watch("edge-1", 0.0)
    assert pass_time(book, 0.0, 32.75) == []
    verdict = verdict_of(book)
    assert verdict.state is NodeState.UNKNOWN
    assert (verdict.reason, verdict.ends_at) == ("this hub has just started to listen", 33.0)
    book.interval_seconds = T
    assert pass_time(book, 32.75, 52.0)[-1][2] == "offline"
    assert verdict_of(book).observer == ""


def test_a_node_that_is_new_to_a_hub_gets_the_time_to_beat() -> None:
    book = book_of()
    pass_time(book, 0.0, 100.0)
    book.watch("edge-1", 100.0)
    assert pass_time(book, 100.0, 116.25) == []
    assert verdict_of(book).reason == "this hub has just learned of it"
    assert verdict_of(book).ends_at == pytest.approx(100.0 + offline_seconds(T))
    assert [state for *_, state in pass_time(book, 116.25, 118.0)] == ["offline"]


def test_an_isolated_hub_calls_nobody_offline_and_listens_anew_afterwards() -> None:
    book = book_of("hub-2")
    peer = Peer(book)
    book.watch("edge-1", 0.0)
    book.hear("edge-1", 1, 1, 0.0, T)
    peer.report(0.0)
    book.doubts.isolated(True, 20.0, 2.0)
    assert [state for *_, state in pass_time(book, 0.0, 100.0)] == [
        "online",
        "late",
        "suspect",
        "unknown",
    ]
    assert verdict_of(book).reason == "this hub reaches no other hub"
    assert (verdict_of(book).ends_at or 0.0) > 100.0
    book.doubts.isolated(False, 20.0, 100.0)
    for second in range(100, 130):
        peer.report(float(second))
        told = pass_time(book, second, second + 1)
        assert told == ([(120.0, "edge-1", "offline")] if second == 119 else [])


def test_who_was_offline_before_a_doubt_stays_so_when_old_news_comes() -> None:
    book = book_of("hub-2")
    peer = Peer(book)
    book.watch("edge-1", 0.0)
    book.hear("edge-1", 1, 1, 0.0, T)
    for second in range(20):
        peer.report(float(second))
        pass_time(book, second, second + 1)
    assert verdict_of(book).state is NodeState.OFFLINE
    book.doubts.isolated(True, 20.0, 20.0)
    pass_time(book, 20.0, 21.0)
    peer.told.moved("edge-1", 1.0)
    peer.report(21.0)
    assert pass_time(book, 21.0, 22.0) == []
    assert verdict_of(book) == Verdict(NodeState.OFFLINE, "hub-2", 16.5)


def test_the_interval_counts_as_it_was_when_the_beat_fell_due() -> None:
    """A node that was told to come in a minute is not missed after ten seconds."""
    book = book_of()
    book.watch("edge-1", 0.0)
    book.hear("edge-1", 1, 1, 0.0, 60.0)
    book.interval_seconds = 5.0
    assert pass_time(book, 0.0, 66.75) == [(0.25, "edge-1", "online")]
    book.hear("edge-1", 1, 2, 66.75, 5.0)
    assert pass_time(book, 66.75, 74.0) == [(73.25, "edge-1", "late")]


def test_a_shorter_interval_shortens_the_timer_that_is_already_set() -> None:
    book = book_of()
    book.watch("edge-1", 0.0)
    book.hear("edge-1", 1, 1, 0.0, 60.0)
    pass_time(book, 0.0, 1.0)
    book.hear("edge-1", 1, 2, 1.0, 5.0)
    assert pass_time(book, 1.0, 18.0)[-1] == (17.5, "edge-1", "offline")


def test_the_interval_of_a_peer_is_what_the_peer_asks_for() -> None:
    """A node that only the slow hub reaches is not called offline by the interval of the fast one."""
    book = book_of("hub-2")
    peer = Peer(book)
    book.watch("edge-1", 0.0)
    peer.told.moved("edge-1", 0.0)
    reply = book.take("hub-2", sent(peer.told, "hub-1", 60.0, 0.0), 0.0)
    peer.told.confirmed("hub-1", reply)
    for second in range(60):
        book.take("hub-2", sent(peer.told, "hub-1", 60.0, float(second)), float(second))
        pass_time(book, second, second + 1)
    assert verdict_of(book).state is NodeState.ONLINE


def test_a_removed_node_is_judged_no_more_and_counts_nowhere() -> None:
    book = book_of()
    book.watch("edge-1", 0.0)
    book.hear("edge-1", 1, 1, 0.0, T)
    pass_time(book, 0.0, 0.25)
    book.forget("edge-1")
    assert pass_time(book, 0.25, 60.0) == []
    assert book.verdict("edge-1") is None
    assert book.verdict("edge-2") is None
    assert sum(book.counts().values()) == 0


def test_counts_follow_the_verdicts() -> None:
    book = book_of()
    for number in range(4):
        book.watch(f"edge-{number}", 0.0)
    book.hear("edge-0", 1, 1, 0.0, T)
    book.hear("edge-1", 1, 1, 0.0, 60.0)
    pass_time(book, 0.0, 30.0)
    counts = book.counts()
    assert (counts[NodeState.ONLINE], counts[NodeState.OFFLINE]) == (1, 3)
    assert sum(counts.values()) == 4


def test_a_wheel_gives_each_slot_once_and_never_early() -> None:
    wheel = Wheel(100.0)
    wheel.reach(4)
    wheel.set(0, 101.1)
    wheel.set(1, 105.0)
    wheel.set(1, 102.0)
    wheel.set(2, 101.0)
    wheel.clear(2)
    wheel.set(3, 50.0)
    assert wheel.due(100.0, 10) == []
    assert wheel.due(100.25, 10) == [3]
    assert wheel.due(101.1, 10) == []
    assert wheel.due(101.25, 10) == [0]
    assert wheel.due(110.0, 10) == [1]
    assert wheel.due(120.0, 10) == []


def test_a_wheel_gives_a_crowd_in_portions() -> None:
    wheel = Wheel(0.0)
    wheel.reach(1_000)
    for slot in range(1_000):
        wheel.set(slot, 1.0)
    portions = [wheel.due(1.0, 300) for _ in range(5)]
    assert [len(portion) for portion in portions] == [300, 300, 300, 100, 0]
    assert sorted(slot for portion in portions for slot in portion) == list(range(1_000))


def test_an_earlier_timer_stays_when_it_must_only_come_in_time() -> None:
    wheel = Wheel(0.0)
    wheel.reach(1)
    wheel.set_before(0, 2.0)
    wheel.set_before(0, 3.0)
    assert wheel.due(2.0, 10) == [0]
