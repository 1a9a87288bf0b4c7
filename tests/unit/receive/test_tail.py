"""The tail as a running task: what is kept, and what survives a full buffer and a crash."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from edge.receive.place import Place
from edge.receive.reading import FollowLimits
from edge.receive.sink import Sink
from edge.receive.tail import FileTail, checkpoint_key, read_place
from tests.unit.receive.sinks import ListSink, runtime

FAST = FollowLimits(
    block_bytes=4096, line_bytes_max=1024, rotate_grace_seconds=0.05, poll_seconds=0.01
)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def tailing(sink: Sink, *paths: Path) -> AsyncIterator[None]:
    """A tail that runs while the block does, and is then killed."""
    task = asyncio.create_task(FileTail(runtime(), sink, "edge-1", paths, FAST).run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


async def test_lines_arrive_with_the_file_they_came_from(tmp_path: Path) -> None:
    sink, path = ListSink(), tmp_path / "app.log"
    async with tailing(sink, path):
        append(path, "one\ntwo\n")
        await until(lambda: len(sink.lines()) == 2)
    row = sink.rows()[0]
    assert row.body == "one"
    assert row.resource["log.file.path"] == str(path)
    assert row.resource["log.file.name"] == "app.log"
    assert row.resource["headwater.node"] == "edge-1"
    assert row.time_ns == row.observed_ns > 0


async def test_several_files_are_followed_each_on_its_own(tmp_path: Path) -> None:
    sink, paths = ListSink(), [tmp_path / "a.log", tmp_path / "b.log"]
    async with tailing(sink, *paths, tmp_path / "." / "a.log", tmp_path / "never.log"):
        for path in paths:
            append(path, f"in {path.name}\n")
        await until(lambda: len(sink.lines()) == 2)
    assert sorted(sink.lines()) == ["in a.log", "in b.log"]
    assert sorted(sink.checkpoints) == [checkpoint_key(path) for path in paths]


async def test_a_full_buffer_loses_and_doubles_nothing(tmp_path: Path) -> None:
    sink, path = ListSink(refusals=2), tmp_path / "app.log"
    lines = [f"line {number}" for number in range(1000)]
    append(path, "\n".join(lines) + "\n")
    async with tailing(sink, path):
        await until(lambda: len(sink.lines()) >= 1000)
    assert sink.lines() == lines
    assert sink.refusals == 0


class Crash(Exception):
    """The process ends here."""


class CrashingSink(ListSink):
    """Dies at one append, before or after the commit."""

    crash_at = 0
    after_commit = False

    async def append(self, part, checkpoint=None):  # type: ignore[no-untyped-def]
        dies = len(self.parts) == self.crash_at
        if dies and not self.after_commit:
            raise Crash
        await super().append(part, checkpoint)
        if dies:
            raise Crash


async def test_a_crash_before_or_after_any_commit_loses_and_doubles_nothing(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    lines = [f"line {number:04d} with some words" for number in range(1000)]
    append(path, "\n".join(lines) + "\n")
    for after_commit in (False, True):
        sink = CrashingSink()
        sink.after_commit = after_commit
        for crash_at in range(3):
            sink.crash_at = crash_at
            with contextlib.suppress(ExceptionGroup):
                await FileTail(runtime(), sink, "edge-1", [path], FAST).run()
        sink.crash_at = -1
        async with tailing(sink, path):
            await until(lambda: len(sink.lines()) >= len(lines))  # noqa: B023  # Waited for here.
        assert sink.lines() == lines


async def test_a_file_is_followed_through_rotation_while_it_is_written(tmp_path: Path) -> None:
    sink, path = ListSink(), tmp_path / "app.log"
    written: list[str] = []
    async with tailing(sink, path):
        for generation in range(4):
            lines = [f"generation {generation} line {number}" for number in range(200)]
            append(path, "\n".join(lines) + "\n")
            written += lines
            await asyncio.sleep(0)
            await until(lambda: any(f"generation {generation} " in line for line in sink.lines()))  # noqa: B023
            path.rename(path.with_name(f"app.log.{9 - generation}"))
        await until(lambda: len(sink.lines()) >= len(written))
    assert sink.lines() == written


def test_a_saved_place_that_cannot_be_read_counts_as_none() -> None:
    assert read_place("tail:/x", None) is None
    assert read_place("tail:/x", b"\xff") is None
    assert read_place("tail:/x", b'{"device":1,"inode":2,"offset":3}') == Place(1, 2, 3)
