"""Keeps the process that makes the indexes running, and knows how far behind it is."""

import asyncio
import contextlib
import logging
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import orjson

from shared.backoff import Backoff, backoff_seconds
from shared.child_process import end_child

log = logging.getLogger(__name__)

WORD_SECONDS = 0.1  # What comes within it is told together.
STOP_SECONDS = 3.0
_RESTART = Backoff(seconds_initial=0.5, seconds_max=30.0)
_CALM_SECONDS = 60.0  # After that long a life, the next start is again a first one.


@dataclass(slots=True)
class IndexState:
    """What the worker last said. `behind_chunks` is None while nobody knows."""

    behind_chunks: int | None = None
    behind_records: int | None = None
    error: str = ""
    chunks_done: int = 0
    starts: int = 0

    def take(self, line: bytes) -> None:
        """Take in a line of the worker; one that cannot be read says nothing."""
        try:
            said = orjson.loads(line)
            chunks, records = _count(said["behind_chunks"]), _count(said["behind_records"])
            done, error_text = int(said["done"]), str(said["error"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            log.warning("the indexing process said something strange: %s", error)
            return
        self.behind_chunks, self.behind_records = chunks, records
        self.chunks_done += done
        self.error = error_text

    def forget(self) -> None:
        """Nobody knows any more."""
        self.behind_chunks = self.behind_records = None

    def to_wire(self) -> dict[str, Any]:
        """As answers and pages show it."""
        return {
            "behind_chunks": self.behind_chunks,
            "behind_records": self.behind_records,
            "error": self.error or None,
        }


def _count(said: Any) -> int | None:
    return None if said is None else int(said)


@dataclass(slots=True)
class Indexing:
    """The indexing process of one hub: started again whenever it ends."""

    folder: Path
    identity: str
    log_level: str
    rng: Random
    state: IndexState = field(default_factory=IndexState)
    _process: Process | None = None

    async def run(self) -> None:
        """Keep it running, for ever; cancel to stop it."""
        failures = 0
        loop = asyncio.get_running_loop()
        while True:
            began_at = loop.time()
            try:
                await self._live()
            except (OSError, ValueError) as error:  # ValueError: a line without an end.
                log.warning("the indexing process cannot be used: %s", error)
            failures = 0 if loop.time() - began_at > _CALM_SECONDS else failures + 1
            await asyncio.sleep(backoff_seconds(failures, _RESTART, self.rng))

    async def _live(self) -> None:
        """One life of the process."""
        words = (str(self.folder), self.identity, self.log_level)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "hub.index.worker", *words),
            stdin=PIPE,
            stdout=PIPE,
        )
        self._process = process
        self.state.starts += 1
        try:
            assert process.stdout is not None  # As it was asked for.
            async for line in process.stdout:
                self.state.take(line)
            log.warning("the indexing process ended with %s", await process.wait())
        finally:
            self._process = None
            self.state.forget()
            # An index loses nothing by it, and a hub that stops should not wait for a bunch.
            await end_child(process, STOP_SECONDS, at_once=True)

    async def tell(self, news: Callable[[], Awaitable[None]], head: Callable[[], int]) -> None:
        """Tell the process of news as they come, for ever; `head` is the last arrival number."""
        told = 0
        while True:
            if head() == told:
                await news()
            told = head()
            self._write_word()
            await asyncio.sleep(WORD_SECONDS)

    def _write_word(self) -> None:
        stdin = self._process.stdin if self._process else None
        if stdin is None or stdin.transport.get_write_buffer_size() > 0:
            return  # One word that waits to be read is as good as many.
        with contextlib.suppress(OSError, RuntimeError):  # It is ending, and will be started again.
            stdin.write(b"\n")
