"""What a running hub makes of the views of others: who is together with whom, and since which word."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from hub.mesh import Mesh
from hub.peering.detect_values import Failure, PeerState
from hub.peering.view_section import HubBelief, ViewSection
from hub.peering.view_watch import VOUCHED_SECONDS, ViewWatch
from hub.peers import Peers
from hub.registry import Registry
from shared.runtime import Runtime
from shared.stamp import HybridClock
from tests.sim.loop import VirtualLoop
from tests.unit.peering.test_detector import Bench

NAMES = ("hub-1", "hub-2", "hub-3")


class Stage:
    """A hub and what its two peers say."""

    def __init__(self) -> None:
        self.peers = Peers("hub-1", "http://hub-1")
        for peer in self.peers.learn(f"http://{name}" for name in NAMES[1:]):
            peer.hub_id, peer.verdict = peer.url.removeprefix("http://"), "alive"
        self.watch = ViewWatch(
            "hub-1",
            "life",
            cast(Mesh, SimpleNamespace(peers=self.peers)),
            Registry("hub-1", 0.0, HybridClock("hub-1"), numbering="n"),
            cast(Runtime, SimpleNamespace(wall_ms=lambda: 1_790_000_000_000)),
            lambda name, facts: None,
            {},
            save=self._save,
        )
        self.watch.is_loaded = True

    async def _save(self, sights: Any) -> None:
        """Nothing of this is read again."""

    def says(self, hub: str, **states: str) -> None:
        """A peer tells its view; whom it does not name, it reaches."""
        said = {name: states.get(name.replace("-", "_"), "alive") for name in NAMES}
        hubs = {name: HubBelief(state, "life") for name, state in said.items()}
        body = msgspec.json.encode(ViewSection(hubs, "0" * 16))
        self.watch.take_view(body, hub, asyncio.get_running_loop().time())

    def reaches(self, hub: str, verdict: str) -> None:
        """The detector of this hub has turned."""
        peer = self.peers.by_id(hub)
        assert peer is not None
        peer.verdict = verdict

    async def island(self) -> tuple[str, ...]:
        """A second later, with whom this hub is."""
        await asyncio.sleep(1.0)
        await self.watch.look()
        return self.watch.islands.island


async def parted() -> Stage:
    """The third hub was here, and is gone."""
    stage = Stage()
    for name in NAMES[1:]:
        stage.says(name)
    assert await stage.island() == NAMES
    stage.reaches("hub-3", "dead")
    stage.says("hub-2", hub_3="dead")
    assert await stage.island() == NAMES[:2]
    return stage


def test_hubs_are_whole_by_the_first_new_word_of_who_was_away_and_not_by_its_last_old_one() -> None:
    """Its first word may be that it reaches nobody yet: who was whole before that would part again."""

    async def story() -> None:
        stage = await parted()
        stage.reaches("hub-3", "alive")
        stage.says("hub-2")
        assert await stage.island() == NAMES[:2]
        stage.says("hub-3", hub_1="avoid", hub_2="avoid")
        assert await stage.island() == NAMES[:2]
        stage.says("hub-3", hub_1="avoid")
        assert await stage.island() == NAMES

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(story())


def test_a_hub_that_only_another_one_reaches_again_is_back_after_some_seconds() -> None:
    async def story() -> None:
        stage = await parted()
        seconds = 0
        stage.says("hub-2")
        while await stage.island() != NAMES:
            seconds += 1
            stage.says("hub-2")
        assert VOUCHED_SECONDS - 1 <= seconds <= VOUCHED_SECONDS + 1

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(story())


def test_hubs_that_went_away_together_are_taken_to_be_together_still() -> None:
    """A hub that is cut off from both goes by their last words, as far as these are no words of it."""

    async def story() -> None:
        stage = Stage()
        for name in NAMES[1:]:
            stage.says(name)
        assert await stage.island() == NAMES
        for name in NAMES[1:]:
            stage.reaches(name, "avoid")
        for _ in range(3):
            assert await stage.island() == NAMES[:1]
            assert stage.watch.islands.islands == (NAMES[:1], NAMES[1:])

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(story())


def test_what_found_no_route_before_the_wire_was_back_is_no_miss() -> None:
    """A machine gives up old packets for seconds after the first new one has arrived."""
    bench = Bench("hub-2", "hub-3")
    bench.run(1.0)
    for _ in range(3):
        bench.detector.failed("hub-2", bench.now, bench.now - 5.0, Failure.UNROUTABLE)
    assert bench.state("hub-2") is PeerState.ALIVE
