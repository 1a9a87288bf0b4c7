"""A store in memory that judges like the real one, and parts to keep in it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import groupby

from hub.accept import Link, judge_all
from hub.own_log import OwnLimits, OwnLog
from hub.replicate import LogKey
from shared.codec import decompress
from shared.errors import Unavailable
from shared.otlp_rows import LogRow, log_rows
from shared.ranges import Ranges, of_seqs
from shared.receipt import ChunkOutcome
from shared.records import Chunk, Encoding, Part, Signal
from tests.unit.otlp import samples
from tests.unit.otlp.samples import T0
from tests.unit.receive.sinks import runtime

HUB = "hub-1"
LIFE = "life"


@dataclass
class MemoryStore:
    """Keeps chunks as the rules of a hub judge them; refuses as often as `refusals` says.

    With `lies`, a commit succeeds and its caller is told that it failed.
    """

    chunks: dict[LogKey, dict[int, Chunk]] = field(default_factory=dict)
    forgotten: set[tuple[LogKey, int]] = field(default_factory=set)
    refusals: int = 0
    lies: int = 0
    commits: list[int] = field(default_factory=list)
    senders: set[str] = field(default_factory=set)
    gate: asyncio.Event | None = None

    @property
    def held(self) -> Mapping[LogKey, Ranges]:
        return {key: self.have(key) for key in self.chunks}

    def have(self, key: LogKey) -> Ranges:
        return of_seqs(self.chunks.get(key, {}))

    async def proven(self, key: LogKey, mark: int = 0) -> tuple[Ranges, list[tuple[int, str]]]:
        await asyncio.sleep(0)
        have = self.have(key)
        known = [seq for seq in (have.last, mark) if seq in have]
        return have, [
            (seq, self.chunks[key][seq].hash.hex())
            for seq in known
            if (key, seq) not in self.forgotten
        ]

    async def keep(self, chunks: Sequence[Chunk], peer: str) -> tuple[ChunkOutcome, ...]:
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(0)
        if self.refusals:
            self.refusals -= 1
            raise Unavailable("no room")
        self.senders.add(peer)
        outcomes = self._judge(chunks)
        self.commits.append(len(chunks))
        if self.lies:
            self.lies -= 1
            raise Unavailable("was it kept?")
        return outcomes

    def _judge(self, chunks: Sequence[Chunk]) -> tuple[ChunkOutcome, ...]:
        outcomes: list[ChunkOutcome] = []
        for key, group in groupby(chunks, lambda each: (each.header.origin, each.header.epoch)):
            mine = self.chunks.setdefault(key, {})
            links = {seq: Link(c.hash, c.header.previous_hash) for seq, c in mine.items()}
            judged = judge_all(list(group), links)
            mine.update({chunk.header.seq: chunk for chunk in judged.fresh})
            outcomes.extend(judged.outcomes)
        return tuple(outcomes)

    def log(self, epoch: str = LIFE) -> list[Chunk]:
        """The own log of the hub, in order."""
        return [chunk for _, chunk in sorted(self.chunks.get((HUB, epoch), {}).items())]

    def rows(self) -> list[LogRow]:
        """All log rows of the hub, in the order of epochs and numbers."""
        return [
            row
            for key in self.chunks
            for chunk in self.log(key[1])
            if chunk.header.signal in (Signal.LOGS, Signal.EVENTS)
            for row in log_rows(Encoding(chunk.header.encoding), decompress(chunk.body))
        ]

    def texts(self) -> list[str]:
        return [row.body for row in self.rows()]


def own_log(store: MemoryStore, limits: OwnLimits | None = None) -> OwnLog:
    """The own log of the hub over a store."""
    return OwnLog(HUB, LIFE, store, runtime(threads=False), Counter(), limits=limits)


@asynccontextmanager
async def running(log: OwnLog) -> AsyncIterator[OwnLog]:
    """The log with its loop, which is ended at the end."""
    loop = asyncio.create_task(log.run())
    try:
        yield log
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)


def part(text: str = "hello", encoding: Encoding = Encoding.PROTO) -> Part:
    """A part with one log line, `{text} 0`."""
    request = samples.logs(T0, text=text)
    if encoding is Encoding.PROTO:
        body = request.SerializeToString()
    else:
        body = b"[" + samples.to_json(request) + b"]"
    return Part(Signal.LOGS, encoding, body, 1, T0, T0)
