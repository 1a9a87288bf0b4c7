"""Hubs that were removed: an edge that only learned of them forgets them, and others it keeps."""

import asyncio
from dataclasses import replace
from random import Random

import pytest

from edge.heartbeat import Heartbeats
from edge.hubs import FORGET_SECONDS, Hubs, HubView
from edge.lineage import Claim
from edge.link import Link
from shared.backoff import Backoff
from shared.beat import Beat, BeatReply, write
from shared.errors import Unreachable
from shared.http import Reply
from shared.runtime import Duplex, HttpReply, Runtime
from tests.unit.core.answering import Answering

A, B, C = "http://a", "http://b", "http://c"
IDS = {A: "hub-a", B: "hub-b", C: "hub-c"}
ALL = {hub_id: url for url, hub_id in IDS.items()}
WITHOUT_C = {"hub-a": A, "hub-b": B}
RETRY = Backoff(seconds_initial=0.5, seconds_max=10.0)


class Edge:
    """What an edge knows of three hubs; A is in its settings, it was told of B and C."""

    def __init__(self) -> None:
        self.hubs, self.rng = Hubs("edge-1"), Random(1)
        self.hubs.learn([A], is_configured=True)
        self.hubs.learn([B, C])

    def view(self, url: str) -> HubView:
        return self.hubs.views[url]

    def answers(self, url: str, named: dict[str, str], now: float) -> list[str]:
        """A hub answers; the addresses that are forgotten by it."""
        view = self.view(url)
        self.hubs.met(view, IDS[url], now)
        self.hubs.beat_answered(view, now, Claim("e", now), None, self.rng)
        return [gone.url for gone in self.hubs.told(view, named, now)]

    def fails(self, url: str, now: float) -> None:
        self.hubs.beat_failed(self.view(url), now, "nobody is there", RETRY, self.rng)


@pytest.fixture
def edge() -> Edge:
    """An edge that has met all three; then C went away."""
    edge = Edge()
    for url in (A, B, C):
        assert edge.answers(url, ALL, 0) == []
    edge.fails(C, 1)
    return edge


def test_a_hub_that_no_hub_names_any_more_is_forgotten_after_a_minute(edge: Edge) -> None:
    assert edge.answers(A, WITHOUT_C, 10) == []
    assert edge.answers(B, WITHOUT_C, 11) == []
    assert edge.answers(A, WITHOUT_C, 11 + FORGET_SECONDS - 0.1) == []
    assert edge.answers(B, WITHOUT_C, 11 + FORGET_SECONDS) == [C]
    assert [*edge.hubs.views] == [A, B]
    assert [view.url for view in edge.hubs.order(100)] != []
    assert all(view.url != C for view in edge.hubs.order(100))
    assert not edge.hubs.named("hub-c")


def test_a_hub_that_others_name_while_it_is_down_is_kept(edge: Edge) -> None:
    for now in range(10, 1000, 10):
        assert edge.answers(A, ALL, now) == edge.answers(B, ALL, now) == []


def test_one_hub_that_does_not_name_it_is_not_enough(edge: Edge) -> None:
    """A lags behind, or B has not met it yet: all that answer must agree."""
    for now in range(10, 1000, 10):
        assert edge.answers(A, ALL, now) == edge.answers(B, WITHOUT_C, now) == []


def test_what_a_hub_said_counts_until_it_lapses(edge: Edge) -> None:
    """Hubs are asked as seldom as once a minute: that A has not spoken again is no word of it."""
    edge.answers(A, ALL, 10)
    for now in range(20, 200, 10):
        assert edge.answers(B, WITHOUT_C, now) == []
    edge.fails(A, 200)
    assert edge.answers(B, WITHOUT_C, 210) == []
    assert edge.answers(B, WITHOUT_C, 269) == []
    assert edge.answers(B, WITHOUT_C, 210 + FORGET_SECONDS) == [C]


def test_one_word_for_it_begins_the_minute_anew(edge: Edge) -> None:
    edge.answers(A, WITHOUT_C, 10)
    edge.answers(B, WITHOUT_C, 10)
    assert edge.answers(A, ALL, 60) == []
    assert edge.answers(A, WITHOUT_C, 71) == []
    assert edge.answers(B, WITHOUT_C, 71 + FORGET_SECONDS - 1) == []
    assert edge.answers(B, WITHOUT_C, 71 + FORGET_SECONDS) == [C]


def test_a_hub_that_answers_or_has_a_link_is_kept_though_nobody_names_it(edge: Edge) -> None:
    edge.view(B).linked = True
    edge.fails(B, 5)
    for now in range(10, 300, 10):
        assert edge.answers(A, {"hub-a": A}, now) in ([], [C])
    assert [*edge.hubs.views] == [A, B]
    edge.view(B).linked = False
    edge.answers(B, {"hub-b": B}, 300)
    for now in range(310, 600, 10):
        assert edge.answers(A, {"hub-a": A}, now) == []


def test_a_hub_from_the_settings_is_never_forgotten(edge: Edge) -> None:
    edge.fails(A, 5)
    for now in range(10, 300, 10):
        edge.answers(B, {"hub-b": B}, now)
    assert [*edge.hubs.views] == [A, B]


def test_a_second_address_from_the_settings_keeps_the_hub(edge: Edge) -> None:
    """It was learned under one address, and is in the settings under another."""
    (other,) = edge.hubs.learn(["http://b.local"], is_configured=True)
    edge.hubs.same(other, "hub-b")
    assert other.is_forgotten
    edge.fails(B, 5)
    for now in range(10, 300, 10):
        edge.answers(A, {"hub-a": A}, now)
    assert [*edge.hubs.views] == [A, B]


def test_it_is_learned_again_when_it_is_let_in_again(edge: Edge) -> None:
    for now in (10, 80):
        edge.answers(A, WITHOUT_C, now)
        edge.answers(B, WITHOUT_C, now)
    assert C not in edge.hubs.views
    (fresh,) = edge.hubs.learn([C])
    assert not fresh.is_forgotten


# ---- the loops


class Network(Answering):
    """Hub A answers and names whom it likes; nobody else is there. `asked` counts by address."""

    def __init__(self) -> None:
        self.named, self.asked = ALL, dict.fromkeys((A, B, C), 0)

    def answer(self, url: str, body: bytes) -> HttpReply:
        base = url.removesuffix("/edge/heartbeat")
        self.asked[base] += 1
        if base != A:
            raise Unreachable(url, "nobody is there", sent=False)
        return Reply(200, {}, write(BeatReply("hub-a", 0.01, [], [], self.named)))


async def test_its_loops_end_and_nobody_contacts_it_any_more(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.hubs.FORGET_SECONDS", 0.2)
    dials: list[str] = []

    async def dial(url: str, headers: dict[str, str]) -> Duplex:
        dials.append(url)
        raise Unreachable(url, "nobody is there", sent=False)

    network, hubs = Network(), Hubs("edge-1")
    beat = Beat("edge-1", 1, 1, "e", 1, {}, {}, {})
    runs: dict[str, asyncio.Task[None]] = {}

    def reach(views: list[HubView]) -> None:
        for view in views:
            runs[view.url] = asyncio.create_task(beats.run(view))

    beats = Heartbeats(hubs, network, runtime, {}, lambda: beat, reach, lambda _: None)
    reach(hubs.learn([A], is_configured=True))
    try:
        async with asyncio.timeout(60):
            while C not in runs:
                await asyncio.sleep(0.01)
            link = Link(hubs.views[C], replace(runtime, dial=dial), {}, _no_call)
            runs["link"] = asyncio.create_task(link.run())
            while not dials:
                await asyncio.sleep(0.01)
            network.named = {"hub-a": A}
            await asyncio.gather(runs[B], runs[C], runs["link"])
            asked = {url: network.asked[url] for url in (B, C)}
            before = network.asked[A]
            while network.asked[A] < before + 10:
                await asyncio.sleep(0.01)
        assert {url: network.asked[url] for url in (B, C)} == asked
        assert [*hubs.views] == [A]
    finally:
        for task in runs.values():
            task.cancel()
        await asyncio.gather(*runs.values(), return_exceptions=True)


async def _no_call(method: str, params: dict[str, object]) -> object:
    raise AssertionError(method)
