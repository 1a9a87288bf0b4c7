"""Sinks for tests: what a receiver handed over, in memory, with as much room as the test gives."""

import time
from dataclasses import dataclass, field
from random import Random
from typing import NoReturn

from shared.errors import BufferFull
from shared.otlp_rows import LogRow, log_rows
from shared.records import Checkpoint, Part
from shared.runtime import Runtime


def _no_network(*_: object) -> NoReturn:
    raise AssertionError("receivers do not use the network")


def runtime(*, threads: bool = True) -> Runtime:
    """The real clock, repeatable chance, no network."""
    return Runtime(time.time_ns, Random(1), _no_network, _no_network, threads)


@dataclass
class ListSink:
    """Keeps parts and checkpoints together; refuses as often as `refusals` says."""

    parts: list[Part] = field(default_factory=list)
    checkpoints: dict[str, bytes] = field(default_factory=dict)
    refusals: int = 0
    retry_after_seconds: float = 0.0

    async def append(self, part: Part, checkpoint: Checkpoint | None = None) -> None:
        if self.refusals:
            self.refusals -= 1
            raise BufferFull("the buffer is full", self.retry_after_seconds)
        self.parts.append(part)
        if checkpoint:
            self.checkpoints[checkpoint.key] = checkpoint.state

    async def checkpoint(self, key: str) -> bytes | None:
        return self.checkpoints.get(key)

    def rows(self) -> list[LogRow]:
        return [row for part in self.parts for row in log_rows(part.encoding, part.body)]

    def lines(self) -> list[str]:
        return [row.body for row in self.rows()]
