"""The tail with wildcards, records of several lines and encodings, as a running task."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from edge.receive.log_wire import ESCAPED, PIECE
from edge.receive.reading import FollowLimits
from edge.receive.tail import FileTail, checkpoint_key
from edge.receive.tail_rule import TailRule
from shared.records import Signal
from tests.unit.receive.sinks import ListSink, runtime

FAST = FollowLimits(
    block_bytes=4096,
    line_bytes_max=1024,
    rotate_grace_seconds=0.05,
    partial_seconds_max=0.2,
    record_seconds_max=0.05,
    poll_seconds=0.01,
    scan_seconds=0.02,
)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def tailing(
    sink: ListSink,
    *rules: TailRule,
    limits: FollowLimits = FAST,
    registry: CollectorRegistry | None = None,
) -> AsyncIterator[FileTail]:
    """A tail that runs while the block does, and is then killed."""
    tail = FileTail(runtime(), sink, "edge-1", rules, limits, registry)
    task = asyncio.create_task(tail.run())
    try:
        yield tail
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def append(path: Path, text: str, encoding: str = "utf-8") -> None:
    with path.open("a", encoding=encoding, newline="") as file:
        file.write(text)


def logged(sink: ListSink) -> list[str]:
    return [row.body for row in sink.rows() if not row.event_name]


def value(registry: CollectorRegistry, name: str) -> float | None:
    return registry.get_sample_value(name)


async def test_files_that_appear_are_followed_from_their_start(tmp_path: Path) -> None:
    sink = ListSink()
    append(tmp_path / "a.log", "a1\n")
    async with tailing(sink, TailRule(f"{tmp_path}/**/*.log", exclude=("no.*",))):
        await until(lambda: sink.lines() == ["a1"])
        (tmp_path / "sub").mkdir()
        append(tmp_path / "sub" / "b.log", "b1\nb2\n")
        append(tmp_path / "no.log", "excluded\n")
        append(tmp_path / "a.log", "a2\n")
        await until(lambda: len(sink.lines()) == 4)
    assert sorted(sink.lines()) == ["a1", "a2", "b1", "b2"]


async def test_a_file_that_vanishes_is_let_go_after_its_last_line(tmp_path: Path) -> None:
    sink, path, registry = ListSink(), tmp_path / "a.log", CollectorRegistry()
    append(path, "one\n")
    async with tailing(sink, TailRule(f"{tmp_path}/*.log"), registry=registry):
        await until(lambda: sink.lines() == ["one"])
        append(path, "two\nlast, without an end")
        path.unlink()
        await until(lambda: value(registry, "headwater_edge_tail_files") == 0)
        assert sink.lines() == ["one", "two", "last, without an end"]
        append(path, "another file\n")
        await until(lambda: len(sink.lines()) == 4)
    assert sink.lines()[-1] == "another file"


async def test_a_renamed_file_that_the_wildcard_finds_again_is_not_read_again(
    tmp_path: Path,
) -> None:
    sink, path, older = ListSink(), tmp_path / "app.log", tmp_path / "app.2026-11-20.log"
    rule = TailRule(f"{tmp_path}/*.log")
    lines = [f"line {number}" for number in range(5)]
    append(path, "\n".join(lines) + "\n")
    async with tailing(sink, rule):
        await until(lambda: sink.lines() == lines)
        path.rename(older)
        append(path, "new\n")
        append(older, "late\n")
        await until(lambda: checkpoint_key(older) in sink.checkpoints)
        await until(lambda: "new" in sink.lines())
    assert sorted(logged(sink)) == sorted([*lines, "late", "new"])
    (event,) = [row for row in sink.rows() if row.event_name]
    assert (event.event_name, event.attributes["log.file.path"]) == ("tail.renamed", str(older))
    assert sink.parts[-1].signal in (Signal.LOGS, Signal.EVENTS)
    async with tailing(sink, rule):
        append(path, "after the restart\n")
        append(older, "later\n")
        await until(lambda: "after the restart" in logged(sink) and "later" in logged(sink))
    assert len(logged(sink)) == len(lines) + 4


async def test_a_file_renamed_while_nobody_looked_is_read_on_under_its_new_name(
    tmp_path: Path,
) -> None:
    sink, path, older = ListSink(), tmp_path / "app.log", tmp_path / "old-app.log"
    rule = TailRule(f"{tmp_path}/*.log")
    append(path, "one\n")
    async with tailing(sink, rule):
        await until(lambda: sink.lines() == ["one"])
    append(path, "two\n")
    path.rename(older)
    append(path, "three\n")
    async with tailing(sink, rule):
        await until(lambda: len(logged(sink)) == 3)
        await until(lambda: checkpoint_key(older) in sink.checkpoints)
    assert sorted(logged(sink)) == ["one", "three", "two"]


async def test_rotated_files_that_the_wildcard_finds_too_are_read_once(tmp_path: Path) -> None:
    sink, path = ListSink(), tmp_path / "app.log"
    written: list[str] = []
    async with tailing(sink, TailRule(f"{tmp_path}/*")):
        for generation in range(3):
            for older in range(generation - 1, 0, -1):
                os.rename(f"{path}.{older}", f"{path}.{older + 1}")
            if path.exists():
                path.rename(f"{path}.1")
            written.append(f"generation {generation}")
            append(path, written[-1] + "\n")
            await until(lambda: sink.lines() == written)
    async with tailing(sink, TailRule(f"{tmp_path}/*")):
        append(path, "end\n")
        await until(lambda: "end" in sink.lines())
    assert sink.lines() == [*written, "end"]


async def test_no_more_files_than_allowed_are_followed_and_the_newest_come_first(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sink, registry = ListSink(), CollectorRegistry()
    for number in range(5):
        append(tmp_path / f"{number}.log", f"in {number}\n")
        os.utime(tmp_path / f"{number}.log", (1000 + number, 1000 + number))
    limits = replace(FAST, files_max=2)
    async with tailing(sink, TailRule(f"{tmp_path}/*.log"), limits=limits, registry=registry):
        await until(lambda: len(sink.lines()) == 2)
        assert sorted(sink.lines()) == ["in 3", "in 4"]
        assert value(registry, "headwater_edge_tail_files_beyond") == 3
        (tmp_path / "4.log").unlink()
        await until(lambda: "in 2" in sink.lines())
        append(tmp_path / "0.log", "now the newest\n")
        await until(lambda: "now the newest" in sink.lines())
    told = [record for record in caplog.records if "are not followed" in record.message]
    assert len(told) == 1
    assert len(sink.lines()) == len(set(sink.lines()))


async def test_handles_are_bounded_and_closed_files_are_opened_again_when_they_grow(
    tmp_path: Path,
) -> None:
    sink, folder = ListSink(), str(tmp_path)
    paths = [tmp_path / f"{number}.log" for number in range(12)]
    limits = replace(FAST, handles_max=3)

    def handles() -> int:
        opened = 0
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(FileNotFoundError):
                opened += os.readlink(f"/proc/self/fd/{name}").startswith(folder)
        return opened

    async with tailing(sink, TailRule(f"{tmp_path}/*.log"), limits=limits):
        for turn in range(3):
            for path in paths:
                append(path, f"{path.name} {turn}\n")
            await until(lambda: len(sink.lines()) == len(paths) * (turn + 1))  # noqa: B023
            # One that is just being read is counted once it is read.
            assert handles() <= limits.handles_max + limits.blocks_max
        await until(lambda: handles() <= limits.handles_max)
    assert len(set(sink.lines())) == len(paths) * 3


async def test_a_record_that_is_not_finished_is_neither_lost_nor_doubled_by_a_restart(
    tmp_path: Path,
) -> None:
    sink, path = ListSink(), tmp_path / "app.log"
    rule = TailRule(str(path), multiline="java")
    patient = replace(FAST, record_seconds_max=60.0, partial_seconds_max=60.0)
    append(path, "INFO one\nERROR two\njava.io.IOException: x\n\tat a.B.c(B.java:1)\n")
    async with tailing(sink, rule, limits=patient):
        await until(lambda: len(sink.lines()) == 1)
    append(path, "\tat d.E.f(E.java:1)\nINFO three\n")
    async with tailing(sink, rule):
        await until(lambda: len(sink.lines()) == 3)
    assert sink.lines() == [
        "INFO one",
        "ERROR two\njava.io.IOException: x\n\tat a.B.c(B.java:1)\n\tat d.E.f(E.java:1)",
        "INFO three",
    ]
    assert all(PIECE not in row.attributes for row in sink.rows())


async def test_a_quiet_file_gives_its_last_record(tmp_path: Path) -> None:
    sink, path = ListSink(), tmp_path / "app.log"
    async with tailing(sink, TailRule(str(path), multiline=r"^\d")):
        append(path, "1 one\n more\n")
        await until(lambda: len(sink.lines()) == 1)
        append(path, " late\n2 two\n")
        await until(lambda: len(sink.lines()) == 3)
    assert sink.lines() == ["1 one\n more", " late", "2 two"]
    assert [row.attributes.get(PIECE) for row in sink.rows()] == [None, 2, None]


@pytest.mark.parametrize(
    ("encoding", "setting"),
    [
        ("utf-16", "utf-8"),
        ("utf-16", "utf-16"),
        ("utf-16le", "utf-16le"),
        ("utf-16be", "utf-16be"),
        ("latin-1", "latin-1"),
        ("utf-8-sig", "utf-8"),
    ],
)
async def test_files_in_other_encodings_are_read_and_read_on(
    tmp_path: Path, encoding: str, setting: str
) -> None:
    sink, path = ListSink(), tmp_path / "app.log"
    rule = TailRule(str(path), encoding=setting)
    text = "eins äöü\r\nzwei ÿ\n" + "x" * 2500 + "\n"
    path.write_bytes(text.encode(encoding))
    expected = ["eins äöü", "zwei ÿ", "x" * 1024, "x" * 1024, "x" * 452]
    async with tailing(sink, rule):
        await until(lambda: len(sink.lines()) == 5)
    later = {"utf-16": "utf-16le", "utf-8-sig": "utf-8"}.get(encoding, encoding)
    append(path, "drei ß\n", later)
    async with tailing(sink, rule):
        await until(lambda: len(sink.lines()) == 6)
    assert sink.lines() == [*expected, "drei ß"]


async def test_a_file_that_is_not_in_its_encoding_stops_no_other(tmp_path: Path) -> None:
    sink, bad, good = ListSink(), tmp_path / "bad.log", tmp_path / "good.log"
    bad.write_bytes(b"\xff\xfe" + b"\x00\xd8" * 3 + "\n".encode("utf-16le") + b"odd")
    append(good, "fine\n")
    async with tailing(sink, TailRule(str(bad), encoding="utf-16"), TailRule(str(good))):
        await until(lambda: len(sink.lines()) >= 2)
        append(good, "still fine\n")
        await until(lambda: "still fine" in sink.lines())
    (spoilt,) = [row for row in sink.rows() if "\\xed" in row.body]
    assert spoilt.attributes == {ESCAPED: True}


async def test_a_file_that_may_not_be_read_stops_no_other(tmp_path: Path) -> None:
    sink = ListSink()
    (tmp_path / "folder.log").mkdir()
    os.mkfifo(tmp_path / "pipe.log")
    append(tmp_path / "good.log", "fine\n")
    names = ["folder.log", "pipe.log", "good.log"]
    async with tailing(sink, *(TailRule(str(tmp_path / name)) for name in names)):
        await until(lambda: sink.lines() == ["fine"])
