"""The buffer after power cuts: thousands of them, at every point of recorded lives."""

from pathlib import Path

import pytest

from edge.buffer import FOLDER_NAME, BufferLimits
from edge.quota import Policy
from shared import sqlite as shared_sqlite
from shared.records import KIB
from tests.crash.buffer_laws import laws_hold
from tests.crash.buffer_story import Story, tell
from tests.crash.buffer_view import in_virtual_time, opened
from tests.crash.record import recording
from tests.crash.replay import Crash, Violation, crashes, reason_of, replay
from tests.crash.trace import Truncate, Unlink, Write

ROOMY = BufferLimits(segment_bytes_max=8 * KIB, disk_reserve_bytes=0)
TIGHT = BufferLimits(
    bytes_max=12 * KIB, policy=Policy.SHED, segment_bytes_max=3 * KIB, disk_reserve_bytes=0
)
DEEDS = 60

sizes = pytest.mark.parametrize("limits", [ROOMY, TIGHT], ids=["roomy", "tight"])


@pytest.fixture(autouse=True)
def frequent_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """The delicate moments of a write-ahead log come often."""
    monkeypatch.setattr(shared_sqlite, "WAL_PAGES_BEFORE_CHECKPOINT", 24)


async def try_cuts(
    story: Story, limits: BufferLimits, seed: int, *, share: float = 0.05, strict: bool = False
) -> int:
    """Cut the power at a share of the points of a life; returns how many states were tried."""
    tried = crashes(story.trace, seed, share=share, strict=strict)
    return await replay(story.trace, tried, laws_hold(story, limits))


@sizes
@pytest.mark.parametrize("seed", range(3))
def test_every_power_cut_keeps_what_was_acknowledged(
    tmp_path: Path, limits: BufferLimits, seed: int
) -> None:
    """In each of some thousand states in which the disk may be, all laws hold (buffer_laws.py)."""

    async def live_and_cut() -> int:
        return await try_cuts(await tell(tmp_path, limits, seed, DEEDS), limits, seed)

    assert in_virtual_time(live_and_cut()) > 300


async def test_threads_change_nothing_about_it(tmp_path: Path) -> None:
    """The same in real time, with the threads that a real agent has."""
    story = await tell(tmp_path, ROOMY, 10, DEEDS, threads=True)
    assert await try_cuts(story, ROOMY, 10, share=0.03) > 100


@sizes
def test_it_holds_where_only_the_sync_of_a_folder_keeps_a_name(
    tmp_path: Path, limits: BufferLimits
) -> None:
    """Stricter than ext4 and XFS are, as POSIX allows."""

    async def live_and_cut() -> int:
        story = await tell(tmp_path, limits, 11, DEEDS)
        return await try_cuts(story, limits, 11, share=0.02, strict=True)

    assert in_virtual_time(live_and_cut()) > 100


@sizes
def test_the_power_may_be_cut_again_while_it_recovers(tmp_path: Path, limits: BufferLimits) -> None:
    """Opening after a power cut may be cut short, too, and the laws are the same."""
    tried = 0

    async def live_and_cut_twice() -> None:
        story = await tell(tmp_path, limits, 12, DEEDS)
        check = laws_hold(story, limits)

        async def recover_and_cut(folder: Path, crash: Crash) -> None:
            nonlocal tried
            with recording(folder) as trace:
                async with opened(folder, limits):
                    pass
            again = crashes(trace, crash.length, draws=1, share=0.3)
            tried += await replay(trace, again, lambda place, _: check(place, crash))

        first = crashes(story.trace, 12, draws=1, share=0.002)
        await replay(story.trace, first, recover_and_cut)

    in_virtual_time(live_and_cut_twice())
    assert tried > 100


def test_without_the_sync_at_each_commit_the_loss_is_found(tmp_path: Path) -> None:
    """The laws are not empty words."""

    async def live_and_cut() -> None:
        story = await tell(tmp_path, ROOMY, 13, DEEDS, synchronous="NORMAL")
        await try_cuts(story, ROOMY, 13)

    with pytest.raises(Violation) as caught:
        in_virtual_time(live_and_cut())
    assert "lost" in reason_of(caught.value)


@sizes
def test_the_recorded_lives_see_everything(tmp_path: Path, limits: BufferLimits) -> None:
    """Power was cut around all that a buffer ever does: a life without it would prove less."""
    seen: set[str] = set()
    for seed in range(3):
        folder = tmp_path / str(seed)
        story = in_virtual_time(tell(folder, limits, seed, DEEDS))
        seen |= {gap.reason for chunk in story.chunks.values() for gap in chunk.header.gaps}
        seen |= {step.name for step in story.steps}
        seen |= {type(operation).__name__ for operation in story.trace.operations}
        assert len(list(folder.glob(f"{FOLDER_NAME}/*"))) > 1
    expected = {"dead_letter", "split", "discarded", "append several", "release", "bury", "retry"}
    expected |= {"reopen", "new epoch"} | {each.__name__ for each in (Write, Truncate, Unlink)}
    if limits.policy is Policy.SHED:
        expected |= {"shed"}
    assert expected - seen == set()
