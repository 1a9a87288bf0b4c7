"""Processes that answer questions, so that none of them ever holds up the hub itself.

A question that takes too long is ended with its process. Processes are started when there are questions
and ended when there have been none for a while.
"""

import asyncio
import logging
import struct
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from shared.child_process import end_child
from shared.errors import RpcError

log = logging.getLogger(__name__)

FRAME = struct.Struct("<I")
FRAME_BYTES_MAX = 256 * 1024 * 1024  # Of an answer; the limits of queries keep them far below.
ANSWER_SECONDS_MAX = 30.0
IDLE_SECONDS_MAX = 60.0
READY = 1
WAITING_MAX = 64
STOP_SECONDS = 2.0
_PIPE_BYTES = 1024 * 1024


@dataclass(slots=True)
class QueryPool:
    """Asks processes that `command` starts; at most `processes_max` at a time. `on_suspects` hears of
    day files that gave errors, and which."""

    command: Sequence[str]
    processes_max: int
    on_suspects: Callable[[Mapping[str, str]], None]
    answer_seconds_max: float = ANSWER_SECONDS_MAX
    idle_seconds_max: float = IDLE_SECONDS_MAX
    _idle: list[tuple[Process, float]] = field(default_factory=list)
    _slots: asyncio.Semaphore = field(init=False)
    _waiting: int = 0

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(self.processes_max)

    async def ask(self, method: str, params: Mapping[str, Any], now_ns: int) -> dict[str, Any]:
        """The answer to a question about stored data; raises RpcError."""
        if self._waiting >= WAITING_MAX:
            raise RpcError("busy", f"{WAITING_MAX} questions wait already: ask again in a moment")
        question = orjson.dumps({"method": method, "params": params, "now_ns": now_ns})
        self._waiting += 1
        try:
            async with self._slots:
                answer = await self._answer(question)
        finally:
            self._waiting -= 1
        if answer["suspects"]:
            self.on_suspects(answer["suspects"])
        if "error" in answer:
            raise RpcError(*answer["error"])
        result: dict[str, Any] = answer["result"]
        return result

    async def _answer(self, question: bytes) -> dict[str, Any]:
        try:
            return await self._exchange(question)
        except (EOFError, OSError) as error:  # It was killed, or ended while it was idle.
            log.warning("a query process ended while it was asked: %r; asking another", error)
        try:
            return await self._exchange(question)
        except (EOFError, OSError) as error:
            raise RpcError("internal", "the process that answers questions ended twice") from error

    async def _exchange(self, question: bytes) -> dict[str, Any]:
        process = await self._take()
        try:
            async with asyncio.timeout(self.answer_seconds_max):
                answer = await _exchange(process, question)
        except TimeoutError as error:
            await end_child(process, STOP_SECONDS, at_once=True)
            text = f"the answer took longer than {self.answer_seconds_max:g} s: narrow the question"
            raise RpcError("quota", text) from error
        except BaseException:  # Also when the caller left: half an answer is still on its way.
            await end_child(process, STOP_SECONDS, at_once=True)
            raise
        self._idle.append((process, asyncio.get_running_loop().time()))
        return answer

    async def _take(self) -> Process:
        while self._idle:
            process, _ = self._idle.pop()
            if process.returncode is None:
                return process
        return await self._start()

    async def run(self) -> None:
        """Keep one process ready, and end those that nobody needs, for ever."""
        while True:
            await self._keep_ready()
            await asyncio.sleep(self.idle_seconds_max / 4)
            now = asyncio.get_running_loop().time()
            late = [each for each in self._idle if now - each[1] > self.idle_seconds_max]
            for each in late[: len(self._idle) - READY]:
                self._idle.remove(each)
                await end_child(each[0], STOP_SECONDS)

    async def _keep_ready(self) -> None:
        """The first question of a quiet hour should not wait until a process has started."""
        if not self._idle and self._waiting == 0:
            process = await self._start()
            self._idle.append((process, asyncio.get_running_loop().time()))

    async def _start(self) -> Process:
        return await asyncio.create_subprocess_exec(
            *self.command, stdin=PIPE, stdout=PIPE, limit=_PIPE_BYTES
        )

    @property
    def processes(self) -> int:
        """How many processes wait for questions."""
        return len(self._idle)

    async def close(self) -> None:
        """End all processes."""
        while self._idle:
            await end_child(self._idle.pop()[0], STOP_SECONDS, at_once=True)


async def _exchange(process: Process, question: bytes) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(FRAME.pack(len(question)) + question)
    await process.stdin.drain()
    (size,) = FRAME.unpack(await process.stdout.readexactly(FRAME.size))
    if size > FRAME_BYTES_MAX:
        raise EOFError(f"an answer of {size} bytes")
    answer: dict[str, Any] = orjson.loads(await process.stdout.readexactly(size))
    return answer
