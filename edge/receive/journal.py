"""The journal of systemd, read along through journalctl; the place in it is kept with the entries.

`journalctl --follow` sees the current boot only, whatever cursor it is given (tried with systemd
252): what the machine said as it went down would be missing. So each round begins with a plain run
from the cursor to the end of the journal, over all boots, and only then follows.
"""

import asyncio
import contextlib
import logging
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter

from edge.receive.host_sample import host_facts
from edge.receive.journal_entry import Entry, entries_part, is_cursor, left_out, read_entry
from edge.receive.journal_lines import Line, LineCutter
from edge.receive.sink import Sink
from shared.backoff import Backoff, backoff_seconds
from shared.errors import BadInput, Unavailable
from shared.otlp_make import resource_of
from shared.records import KIB, MIB, Checkpoint, Part
from shared.runtime import Runtime

log = logging.getLogger(__name__)

KEY = "journal"
"""The name under which the cursor is saved."""

COMMAND = ("journalctl",)

LAST_WORDS_BYTES_MAX = 2 * KIB
END_SECONDS_MAX = 5.0  # A killed child is gone at once; one of its own children may hold the pipe.


@dataclass(frozen=True, slots=True)
class JournalLimits:
    """How the journal is read."""

    # Without a cursor: enough to see why the machine is as it is, and not months of history.
    since: str = "-1d"
    line_bytes_max: int = 1 * MIB  # Larger entries are core dumps.
    block_bytes: int = 256 * KIB
    linger_seconds: float = 0.25  # One commit for what comes within it.
    restart: Backoff = field(default_factory=Backoff)


@dataclass(frozen=True, slots=True)
class Batch:
    """What some lines gave: a part, the place after it if known, and how many were left out."""

    part: Part
    cursor: str | None
    left_out: int


class JournalCounters:
    """What became of the entries, and how often journalctl had to be started."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.entries = Counter(
            "headwater_edge_journal_entries",
            "Entries of the journal by outcome: stored, left_out.",
            ["outcome"],
            registry=registry,
        )
        self.starts = Counter(
            "headwater_edge_journal_starts", "Starts of journalctl.", registry=registry
        )


class Journal:
    """Reads the journal from where it stopped, for ever; keep `run` running.

    The journal is the queue: when the buffer is full reading waits, and nothing is lost before the
    journal itself forgets it. Each entry is kept once, over crashes and reboots. An entry that is
    too large or unreadable is replaced by a record that says so.
    """

    def __init__(
        self,
        runtime: Runtime,
        sink: Sink,
        node_id: str,
        command: Sequence[str] = COMMAND,
        limits: JournalLimits | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._runtime = runtime
        self._sink = sink
        self._resource = resource_of({"headwater.node": node_id, **host_facts()})
        self._command = tuple(command)
        self._limits = limits or JournalLimits()
        self._counters = JournalCounters(registry or CollectorRegistry())
        self._cursor: str | None = None
        self._complaint = ""
        self._progressed = False

    async def run(self) -> None:
        """Read the journal, for ever; journalctl is killed when this ends."""
        self._cursor = read_cursor(await self._sink.checkpoint(KEY))
        failures = 0
        while True:
            self._progressed = False
            self._complain(await self._round())
            failures = 0 if self._progressed else failures + 1
            rng, limits = self._runtime.rng, self._limits.restart
            await asyncio.sleep(backoff_seconds(failures, limits, rng))

    async def _round(self) -> str:
        """To the end, then along; returns the reason why that ended."""
        return await self._run() or await self._run("--follow", "--no-tail") or "it ended by itself"

    async def _run(self, *options: str) -> str:
        """One child from its start to its end; what it complained of if it failed."""
        cursor = self._cursor
        place = f"--after-cursor={cursor}" if cursor else f"--since={self._limits.since}"
        command = (*self._command, "--output=json", "--all", "--quiet", place, *options)
        try:
            child = await asyncio.create_subprocess_exec(
                *command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, limit=self._limits.block_bytes
            )
        except OSError as error:
            return f"cannot be started: {error.strerror or error}"
        self._counters.starts.inc()
        try:
            return await self._read_out(child)
        finally:
            await _end(child)

    async def _read_out(self, child: Process) -> str:
        assert child.stdout is not None
        assert child.stderr is not None
        async with asyncio.TaskGroup() as tasks:
            last_words = tasks.create_task(_last_words(child.stderr))
            await self._read(child.stdout)
        status = await child.wait()
        return f"ended with status {status}: {last_words.result()}" if status else ""

    async def _read(self, stream: asyncio.StreamReader) -> None:
        cutter = LineCutter(self._limits.line_bytes_max)
        while block := await stream.read(self._limits.block_bytes):
            if lines := cutter.feed(block):
                await self._take(lines)
            if len(block) < self._limits.block_bytes // 2:
                await asyncio.sleep(self._limits.linger_seconds)

    async def _take(self, lines: Sequence[Line]) -> None:
        observed_ns = self._runtime.wall_ns()
        batch: Batch = await self._runtime.offload(lambda: self._batch(lines, observed_ns))
        await self._keep(batch)
        self._cursor = batch.cursor or self._cursor
        self._progressed = True
        self._complaint = ""  # It works: the next complaint is news again.
        self._counters.entries.labels("left_out").inc(batch.left_out)
        self._counters.entries.labels("stored").inc(len(lines) - batch.left_out)

    def _batch(self, lines: Sequence[Line], observed_ns: int) -> Batch:
        entries: list[Entry] = []
        failures = 0
        for line in lines:
            try:
                entries.append(self._entry(line, observed_ns))
            except BadInput as error:
                failures += 1
                entries.append(left_out(line, str(error), observed_ns))
        cursor = next((entry.cursor for entry in reversed(entries) if entry.cursor), None)
        return Batch(entries_part(entries, self._resource), cursor, failures)

    def _entry(self, line: Line, observed_ns: int) -> Entry:
        if not line.is_whole:
            raise BadInput(f"the limit is {self._limits.line_bytes_max} bytes")
        return read_entry(line.head, observed_ns)

    async def _keep(self, batch: Batch) -> None:
        checkpoint = Checkpoint(KEY, batch.cursor.encode()) if batch.cursor else None
        waits = 0
        while True:
            try:
                return await self._sink.append(batch.part, checkpoint)
            except Unavailable as error:
                # The journal itself is the queue: nothing is lost by waiting.
                if not waits:
                    log.warning("the journal waits: %s", error)
                waits += 1
                await asyncio.sleep(max(0.1, error.retry_after_seconds))

    def _complain(self, complaint: str) -> None:
        if complaint != self._complaint:  # Once, not at every attempt.
            self._complaint = complaint
            log.warning("the journal is not read: %s %s", self._command[0], complaint)


def read_cursor(state: bytes | None) -> str | None:
    """A saved cursor; None when there is none, or none that can be one, which is logged."""
    if state is None:
        return None
    cursor = state.decode("ascii", "replace")
    if is_cursor(cursor):
        return cursor
    log.error("the saved place in the journal cannot be read: some entries may be kept twice")
    return None


async def _last_words(stream: asyncio.StreamReader) -> str:
    """The end of what a child says on its standard error, on one line."""
    said = b""
    while block := await stream.read(LAST_WORDS_BYTES_MAX):
        said = (said + block)[-LAST_WORDS_BYTES_MAX:]
    return " ".join(said.decode("utf-8", "replace").split()) or "no reason given"


async def _end(child: Process) -> None:
    """Kill a child that still runs, and read its pipes to the end: only then are they closed."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):  # It ended just now.
            child.kill()
    try:
        async with asyncio.timeout(END_SECONDS_MAX):
            await child.communicate()
    except TimeoutError:
        log.warning("a child of the killed process %d still holds its output", child.pid)
