"""What the outside world is to a hub or an edge: clocks, chance, threads and the network.

Everything that a simulation must control comes in through this one value. Monotonic time is not here:
it is the running event loop's `time()`, which a virtual-time loop replaces.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random, SystemRandom
from typing import Any, Protocol, TypeVar

Result = TypeVar("Result")


class HttpReply(Protocol):
    """What callers need to know of an HTTP answer."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> "dict[str, str]": ...
    @property
    def body(self) -> bytes: ...


class HttpClient(Protocol):
    """A keep-alive client to any number of hubs; raises shared.errors.Unreachable and TooLarge only."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        timeout_seconds: float = 10.0,
        reply_bytes_max: int = 64 * 1024 * 1024,
    ) -> HttpReply: ...

    async def close(self) -> None: ...


class Duplex(Protocol):
    """A message stream in both directions; both verbs raise Unreachable once it is gone."""

    async def send(self, message: bytes) -> None: ...
    async def receive(self) -> bytes: ...
    async def close(self) -> None: ...


async def offload_to_thread(work: Callable[[], Result]) -> Result:
    """Run blocking work off the event loop."""
    return await asyncio.to_thread(work)


async def run_inline(work: Callable[[], Result]) -> Result:
    """Run blocking work right here; what a simulation does instead of using threads."""
    return work()


@dataclass(frozen=True)
class Runtime:
    """The world of one process. `threads` is False in simulations: SQLite work then runs inline."""

    wall_ns: Callable[[], int]
    rng: Random
    http: Callable[[], HttpClient]
    dial: Callable[[str, dict[str, str]], Awaitable[Duplex]]
    threads: bool = True

    def wall_ms(self) -> int:
        """Wall time in Unix milliseconds, for display and stamps; never for time-outs."""
        return self.wall_ns() // 1_000_000

    def token_hex(self, size_bytes: int) -> str:
        """Unguessable in production (system randomness), repeatable in simulations."""
        return self.rng.randbytes(size_bytes).hex()

    async def offload(self, work: Callable[[], Any]) -> Any:
        """Run blocking work where it does not hold up the event loop."""
        return await (offload_to_thread(work) if self.threads else run_inline(work))


def system_runtime() -> Runtime:
    """The real world."""
    from shared.http import HttpxClient  # Imported late: start-up of other commands stays quick.
    from shared.link import dial

    return Runtime(wall_ns=time.time_ns, rng=SystemRandom(), http=HttpxClient, dial=dial)
