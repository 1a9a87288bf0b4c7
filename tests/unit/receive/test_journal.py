"""The journal read along: every entry once, over full buffers, crashes, reboots and lost children."""

import asyncio
import contextlib
import json
import logging
import os
import shlex
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from prometheus_client import CollectorRegistry

from edge.receive.journal import KEY, Journal, JournalLimits, read_cursor
from edge.receive.journal_entry import LEFT_OUT
from shared.backoff import Backoff
from tests.unit.receive.sinks import ListSink, runtime

FAST = JournalLimits(
    line_bytes_max=10_000, block_bytes=4096, linger_seconds=0.01, restart=Backoff(0.01, 0.05)
)

JOURNALCTL = '''\
"""Behaves as journalctl does: --follow shows the current boot only, whatever the cursor."""
import os, sys, time
folder, options = sys.argv[1], sys.argv[2:]
assert {"--output=json", "--all", "--quiet"} <= set(options), options
with open(folder + "/children", "a") as file:
    file.write(f"{os.getpid()} {' '.join(options)}\\n")
if os.path.exists(folder + "/broken"):
    sys.exit(open(folder + "/broken").read())
(place,) = [o for o in options if o.startswith(("--after-cursor=", "--since="))]
after = int(place.partition("=c")[2] or 0)
follow = "--follow" in options
while not os.path.exists(folder + "/stop" if follow else folder + "/never"):
    with open(folder + "/store", "rb") as file:
        stored = file.read().split(b"\\n")[:-1]
    boot = stored[-1].partition(b" ")[0] if stored else b""
    for number, line in enumerate(stored, 1):
        its_boot, _, entry = line.partition(b" ")
        if number > after and (its_boot == boot or not follow):
            sys.stdout.buffer.write(entry + b"\\n")
    sys.stdout.flush()
    after = max(after, len(stored))
    if not follow:
        break
    time.sleep(0.01)
'''


class FakeJournal:
    """A journal in a folder, and the command that reads it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir()
        (folder / "journalctl.py").write_text(JOURNALCTL)
        (folder / "store").touch()
        self.command = (sys.executable, "-S", "-E", str(folder / "journalctl.py"), str(folder))
        self.written = 0

    def write(self, *messages: object, boot: str = "boot") -> None:
        with (self.folder / "store").open("a") as file:
            for message in messages:
                self.written += 1
                entry = {"__CURSOR": f"c{self.written}", "MESSAGE": message, "PRIORITY": "6"}
                file.write(f"{boot} {json.dumps(entry)}\n")

    def write_raw(self, line: str) -> None:
        self.written += 1
        with (self.folder / "store").open("a") as file:
            file.write(f"boot {line}\n")

    def children(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "children").read_text().splitlines()
        return []

    def follows(self) -> bool:
        return any("--follow" in child for child in self.children())


class CountingRandom(Random):
    """Every wait before another attempt is drawn here once."""

    drawn = 0

    def uniform(self, a: float, b: float) -> float:
        self.drawn += 1
        return super().uniform(a, b)


@pytest.fixture
def journal(tmp_path: Path) -> FakeJournal:
    return FakeJournal(tmp_path / "journal")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def reading(
    sink: ListSink,
    command: tuple[str, ...],
    registry: CollectorRegistry | None = None,
    limits: JournalLimits = FAST,
    rng: Random | None = None,
) -> AsyncIterator[None]:
    """The source, running while the block does, and then cancelled."""
    world = replace(runtime(), rng=rng or Random(1))
    source = Journal(world, sink, "edge-1", command, limits, registry)
    task = asyncio.create_task(source.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_entries_are_kept_with_the_place_after_them(journal: FakeJournal) -> None:
    """Those that are there and those that come, in one transaction with the cursor."""
    sink = ListSink()
    journal.write("one", "two")
    async with reading(sink, journal.command):
        await until(lambda: sink.lines() == ["one", "two"])
        assert sink.checkpoints[KEY] == b"c2"
        await until(journal.follows)
        journal.write("three")
        await until(lambda: len(sink.lines()) == 3)
    assert sink.checkpoints[KEY] == b"c3"
    row = sink.rows()[0]
    assert row.resource["headwater.node"] == "edge-1"
    assert row.resource["host.name"]


async def test_a_new_edge_asks_for_the_last_day_and_then_for_what_it_has_not_seen(
    journal: FakeJournal,
) -> None:
    sink = ListSink()
    journal.write("one")
    async with reading(sink, journal.command):
        await until(journal.follows)
    first, second = journal.children()[:2]
    assert "--since=-1d" in first
    assert "--follow" not in first
    assert second.endswith("--after-cursor=c1 --follow --no-tail")


async def test_a_restart_goes_on_after_the_last_entry_that_was_kept(journal: FakeJournal) -> None:
    sink = ListSink()
    journal.write("one", "two")
    async with reading(sink, journal.command):
        await until(lambda: len(sink.lines()) == 2)
    journal.write("three")
    async with reading(sink, journal.command):
        await until(lambda: len(sink.lines()) == 3)
    assert sink.lines() == ["one", "two", "three"]


async def test_what_a_machine_said_as_it_went_down_is_read_after_the_reboot(
    journal: FakeJournal,
) -> None:
    """`journalctl --follow` would begin with the new boot, cursor or not."""
    sink = ListSink(checkpoints={KEY: b"c1"})
    journal.write("seen", "going down", boot="old")
    journal.write("up again", boot="new")
    async with reading(sink, journal.command):
        await until(lambda: len(sink.lines()) == 2)
    assert sink.lines() == ["going down", "up again"]


async def test_a_full_buffer_loses_and_doubles_nothing(journal: FakeJournal) -> None:
    sink = ListSink(refusals=2)
    messages = [f"message {number}" for number in range(1000)]
    journal.write(*messages)
    async with reading(sink, journal.command):
        await until(lambda: len(sink.lines()) >= 1000)
    assert sink.lines() == messages
    assert sink.refusals == 0


async def test_a_child_that_ends_is_started_again(journal: FakeJournal) -> None:
    sink, registry = ListSink(), CollectorRegistry()
    journal.write("one")
    async with reading(sink, journal.command, registry):
        await until(journal.follows)
        (journal.folder / "stop").touch()
        journal.write("two")
        await until(lambda: len(sink.lines()) == 2)
        (journal.folder / "stop").unlink()
    assert sink.lines() == ["one", "two"]
    assert (registry.get_sample_value("headwater_edge_journal_starts_total") or 0) >= 2


async def test_the_child_is_gone_when_the_source_ends(journal: FakeJournal) -> None:
    """Cancelled in the middle of following, it leaves no process behind."""
    async with reading(ListSink(), journal.command):
        await until(journal.follows)
    for child in journal.children():
        with pytest.raises(ProcessLookupError):
            os.kill(int(child.split()[0]), 0)


async def test_a_child_that_waits_for_a_full_buffer_is_gone_as_well(journal: FakeJournal) -> None:
    """Its pipe is full and nobody reads it, which must not keep it alive."""
    sink = ListSink(refusals=10_000, retry_after_seconds=60)
    journal.write(*["x" * 1000] * 500)
    async with reading(sink, journal.command):
        await until(lambda: sink.refusals < 10_000)
    (child,) = journal.children()
    with pytest.raises(ProcessLookupError):
        os.kill(int(child.split()[0]), 0)


async def test_entries_that_cannot_be_kept_leave_a_record_that_says_so(
    journal: FakeJournal,
) -> None:
    sink, registry = ListSink(), CollectorRegistry()
    journal.write("one")
    journal.write_raw("-- something else --")
    journal.write("x" * 20_000, "four")
    async with reading(sink, journal.command, registry):
        await until(lambda: len(sink.rows()) == 4)
    rows = sink.rows()
    assert [row.body for row in rows if LEFT_OUT not in row.attributes] == ["one", "four"]
    assert "not JSON" in rows[1].body
    assert "20" in rows[2].body
    assert "limit is 10000 bytes" in rows[2].body

    def entries(outcome: str) -> float | None:
        return registry.get_sample_value(
            "headwater_edge_journal_entries_total", {"outcome": outcome}
        )

    assert (entries("stored"), entries("left_out")) == (2, 2)


async def test_a_machine_without_journalctl_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And it is used as soon as it is there."""
    sink, command, attempts = ListSink(), tmp_path / "journalctl", CountingRandom(1)
    journal = FakeJournal(tmp_path / "journal")
    journal.write("one")

    def complaints() -> list[str]:
        return [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.WARNING]

    async with reading(sink, (str(command), str(journal.folder)), rng=attempts):
        await until(lambda: attempts.drawn >= 5)
        assert len(complaints()) == 1
        draft = tmp_path / "draft"
        draft.write_text(f'#!/bin/sh\nexec {shlex.join(journal.command[:-1])} "$@"\n')
        draft.chmod(0o755)
        draft.rename(command)
        await until(lambda: sink.lines() == ["one"])
    assert "cannot be started: No such file or directory" in complaints()[0]


async def test_the_reason_of_a_child_that_fails_is_logged(
    journal: FakeJournal, caplog: pytest.LogCaptureFixture
) -> None:
    (journal.folder / "broken").write_text("Failed to open the journal:\nno such luck")
    async with reading(ListSink(), journal.command):
        await until(lambda: len(journal.children()) >= 3)
    (record,) = [each for each in caplog.records if each.name == "edge.receive.journal"]
    assert "status 1: Failed to open the journal: no such luck" in record.getMessage()


@pytest.mark.parametrize("state", [b"", b"two words", b"\xff\xfe", b"x" * 600, b"line\n"])
def test_a_saved_place_that_cannot_be_one_is_not_used(
    state: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert read_cursor(state) is None
    assert "cannot be read" in caplog.text


def test_a_saved_place_is_read_again() -> None:
    assert read_cursor(b"s=1;i=2") == "s=1;i=2"
    assert read_cursor(None) is None


@pytest.mark.skipif(not shutil.which("journalctl"), reason="journalctl is not installed")
async def test_the_journalctl_of_this_machine_takes_our_options(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whether or not there is a journal to read: it gets to the end, and then follows."""
    registry = CollectorRegistry()
    limits = JournalLimits(since="-1s", restart=Backoff(60, 60))

    def starts() -> float:
        return registry.get_sample_value("headwater_edge_journal_starts_total") or 0

    async with reading(ListSink(), ("journalctl",), registry, limits):
        await until(lambda: starts() == 2)
        await asyncio.sleep(0.2)  # An option that it does not know would end it by now.
    assert caplog.records == []
    labels = {"outcome": "left_out"}
    assert not registry.get_sample_value("headwater_edge_journal_entries_total", labels)
