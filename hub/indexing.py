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
    """What the worker last said: how many chunks it was behind, None while nobody knows, and the
    head arrival of the store that it had seen by then."""

    reported_behind: int | None = None
    seen: int = 0
    error: str = ""
    chunks_done: int = 0
    starts: int = 0

    def take(self, line: bytes) -> None:
        """Take in a line of the worker; one that cannot be read says nothing."""
        try:
            said = orjson.loads(line)
            behind, seen = _count(said["behind_chunks"]), int(said["seen"])
            done, error_text = int(said["done"]), str(said["error"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            log.warning("the indexing process said something strange: %s", error)
            return
        self.reported_behind, self.seen = behind, seen
        self.chunks_done += done
        self.error = error_text

    def forget(self) -> None:
        """Nobody knows any more."""
        self.reported_behind = None

    def behind_chunks(self, head_arrival: int) -> int | None:
        """How many chunks of a store with this head are not indexed; None while nobody knows.

        What the store took in since the worker looked counts as behind. A chunk that went meanwhile
        counts until the worker looks again.
        """
        if self.reported_behind is None:
            return None
        return max(0, self.reported_behind + max(0, head_arrival - self.seen))

    def to_wire(self, head_arrival: int) -> dict[str, Any]:
        """As answers and pages show it, for a store with this head."""
        return {"behind_chunks": self.behind_chunks(head_arrival), "error": self.error or None}


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
