"""An edge that was restored from an older copy of its disk lives, and is not called dead for ever."""

from collections.abc import Iterator

import msgspec
import pytest

from hub.nodes.clone_watch import CloneWatch
from hub.nodes.clones import Clones
from hub.nodes.runs import Runs
from hub.peering.exchange_saved import SavedGossip
from hub.registry import Registry
from shared.beat import Beat
from shared.liveness import NodeState
from shared.merge import NodeRecord, Observation
from shared.stamp import HybridClock
from tests.api.conftest import beat_of


class Hub:
    """A hub on virtual time with one edge."""

    def __init__(self) -> None:
        self.now = 0.0
        self.registry = Registry("hub-1", 0.0, HybridClock("hub-1"), numbering="n")
        self.registry.begin("s.1", "c1", SavedGossip([], {}, {}))
        clones = Clones(lambda name, facts: None, Runs(self.registry.life.heard.slots))
        self.watch = CloneWatch(
            self.registry, clones, lambda: self.now, lambda: int(self.now * 1000)
        )

    def live(self, beats: Iterator[tuple[int, int, str]], seconds: int) -> list[int]:
        """Beats each 5 s; the incarnations that the edge was told to outrank."""
        told: list[int] = []
        for incarnation, number, run in beats:
            raw = beat_of("edge-1", incarnation=incarnation, beat=number, run=run)
            beat = msgspec.convert(raw, Beat)
            refused = self.watch.refusal_of_beat(beat, "192.0.2.1")
            if refused is None:
                self.registry.hear(beat, self.now, int(self.now * 1000))
            else:
                told.append(refused.outrank or 0)
            self.wait(5)
            if (seconds := seconds - 5) <= 0:
                break
        return told

    def wait(self, seconds: int) -> None:
        for _ in range(4 * seconds):
            self.now += 0.25
            self.registry.life.tick(self.now)

    @property
    def state(self) -> str:
        return str(self.registry.state("edge-1"))


def run_of(incarnation: int, run: str, first: int = 1) -> Iterator[tuple[int, int, str]]:
    return ((incarnation, number, run) for number in range(first, 10_000))


@pytest.mark.parametrize("restored", [1, 4, 5])
def test_a_restored_edge_is_told_to_count_on_and_is_heard(restored: int) -> None:
    """Also when the copy starts with the very count that was heard last, of another run."""
    hub = Hub()
    assert hub.live(run_of(5, "a" * 16), 100) == []
    hub.wait(200)
    assert hub.state == NodeState.OFFLINE
    assert hub.live(run_of(restored, "b" * 16), 5) == [5]
    assert hub.live(run_of(6, "b" * 16, 2), 20) == []
    assert hub.state == NodeState.ONLINE


def test_two_that_live_at_once_do_not_drive_each_other_up() -> None:
    """Each is heard by a hub of its own: what a peer hears now is no reason to count on."""
    hub = Hub()
    assert hub.live(run_of(5, "a" * 16), 20) == []
    seen = Observation(9, 1, int(hub.now * 1000), "hub-2", {"run": "b" * 16})
    hub.registry.apply(NodeRecord("edge-1", observation=seen), hub.now)
    assert hub.live(run_of(5, "a" * 16, 5), 60) == []


def test_beats_of_one_run_that_come_twice_or_late_are_no_copy() -> None:
    hub = Hub()
    beats = [(5, number, "a" * 16) for number in (1, 3, 2, 3, 4)]
    assert hub.live(iter(beats), 100) == []
    assert hub.state == NodeState.ONLINE
