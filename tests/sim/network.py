"""A network that loses, delays, repeats and reorders, by the luck of one seed.

A request may be lost on its way (never delivered), its answer may be lost (delivered all the same),
or a proxy may deliver it a second time. A loss shows itself as a reset now or as silence until the
caller's time is up.
"""

import asyncio
from dataclasses import dataclass, replace
from random import Random
from urllib.parse import urlsplit

from starlette.types import ASGIApp

from shared.errors import Refused, TooLarge, Unreachable
from shared.http import CONNECT_SECONDS_MAX
from shared.link import OPEN_SECONDS_MAX
from shared.serve import PING_SECONDS, PONG_SECONDS_MAX
from tests.sim.asgi import Answer, Order, exchange
from tests.sim.process import Process
from tests.sim.trace import Trace
from tests.sim.wire import TO_EDGE, TO_HUB, CallerEnd, Wire


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad the network is. Shares are 0 to 1."""

    request_loss: float = 0.0
    reply_loss: float = 0.0
    repeats: float = 0.0
    silent_share: float = 0.0  # Of the losses; the others are noticed at once.
    link_cuts: float = 0.0  # Per message on a link; the message may have arrived or not.
    delay_seconds_max: float = 0.02
    slow_share: float = 0.0  # Of the messages; these take up to twenty times as long.


CALM = Weather()
STORM = Weather(0.3, 0.3, 0.1, 0.3, 0.2, 0.05, 0.05)


KEPT_SHARE = 0.5
"""Of the requests into a one-way partition; the others need a new connection, which needs both ways."""


RESENT_FACTOR = 20.0
"""TCP sends what was lost again after a while, and then after twice as long, and so on."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What will become of one request; drawn at once, so that luck depends on nothing else."""

    delay_seconds: float
    delay_back_seconds: float
    is_lost: bool
    answer_is_lost: bool
    is_silent: bool
    repeat_after_seconds: float | None


@dataclass(frozen=True, slots=True)
class Site:
    """Who listens at an address now."""

    process: Process
    app: ASGIApp


class Network:
    """All connections of a fleet."""

    def __init__(self, rng: Random, trace: Trace) -> None:
        self.weather = CALM
        self.trace = trace
        self._rng = rng
        self._sites: dict[str, Site] = {}
        self._cuts: set[tuple[str, str]] = set()
        self._sent = 0
        self._arrived: dict[tuple[str, str], int] = {}
        self._cleared = asyncio.Event()
        self._wires: dict[Wire, None] = {}

    # ---- what a scenario does

    def clear_up(self) -> None:
        """The weather is fair from now on, and what is stuck on its way learns it soon."""
        self.weather = CALM
        self._cleared.set()

    def listen(self, url: str, process: Process, app: ASGIApp) -> None:
        """Deliver what goes to this address to this application, in this process."""
        self._sites[url] = Site(process, app)

    def unplug(self, process: Process) -> None:
        """The process is gone: nobody listens, and its connections break."""
        for url in [url for url, site in self._sites.items() if site.process is process]:
            del self._sites[url]
        for wire in [wire for wire in self._wires if process in (wire.caller, wire.process)]:
            wire.cut()

    def separate(self, name: str, other: str) -> None:
        """Nothing passes between two machines any more."""
        self._cuts |= {(name, other), (other, name)}
        self.trace.note("partition", name, other)
        self._starve_wires()

    def silence(self, name: str, other: str) -> None:
        """What one machine sends to the other does not arrive any more; what that one sends does."""
        self._cuts.add((name, other))
        self.trace.note("one-way partition", name, other)
        self._starve_wires()

    def _starve_wires(self) -> None:
        for wire in list(self._wires):
            if self.separated(wire.caller, wire.process):
                wire.starve()

    def rejoin(self, name: str, other: str) -> None:
        """Let traffic pass again, both ways."""
        self._cuts -= {(name, other), (other, name)}
        self.trace.note("partition ends", name, other)

    def passes(self, sender: Process, receiver: Process) -> bool:
        """Whether what one process sends reaches the other."""
        return (sender.machine, receiver.machine) not in self._cuts

    def separated(self, one: Process, other: Process) -> bool:
        """Whether two processes cannot keep a connection: in some direction nothing passes."""
        return not (self.passes(one, other) and self.passes(other, one))

    def is_whole(self, name: str, other: str) -> bool:
        """Whether everything passes between two machines."""
        return self._cuts.isdisjoint({(name, other), (other, name)})

    # ---- requests

    def delay(self) -> float:
        """How long the next message takes, in seconds."""
        factor = 20.0 if self._rng.random() < self.weather.slow_share else 1.0
        return 0.0002 + self._rng.uniform(0, self.weather.delay_seconds_max) * factor

    def _fate(self) -> Fate:
        weather, rng = self.weather, self._rng
        again = rng.uniform(0.01, 3.0)
        return Fate(
            self.delay(),
            self.delay(),
            rng.random() < weather.request_loss,
            rng.random() < weather.reply_loss,
            rng.random() < weather.silent_share,
            again if rng.random() < weather.repeats else None,
        )

    async def request(
        self, caller: Process, order: Order, timeout_seconds: float, reply_bytes_max: int
    ) -> Answer:
        """Send a request; raises Unreachable or TooLarge."""
        try:
            async with asyncio.timeout(timeout_seconds):
                answer = await self._request(caller, order, timeout_seconds)
        except TimeoutError as error:
            self.trace.note("timeout", caller.name, order.url)
            raise Unreachable(order.url, "TimeoutError", sent=True) from error
        if len(answer.body) > reply_bytes_max:
            raise TooLarge("the answer", reply_bytes_max)
        return answer

    async def _request(self, caller: Process, order: Order, seconds: float) -> Answer:
        fate = self._fate()
        self._sent = number = self._sent + 1
        self.trace.note("request", caller.name, order.url, len(order.body))
        await asyncio.sleep(fate.delay_seconds)
        site = await self._find(caller, order.url, min(seconds, CONNECT_SECONDS_MAX))
        if not self.passes(caller, site.process):
            await self._lose("no way", caller, order.url, replace(fate, is_silent=True))
        if fate.is_lost:
            await self._lose("request lost", caller, order.url, fate)
        self._note_order(caller, site.process, number)
        if fate.repeat_after_seconds is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(fate.repeat_after_seconds, self._repeat, order)
        answer = await self._deliver(site, order)
        await asyncio.sleep(fate.delay_back_seconds)
        if not self.passes(site.process, caller):
            fate = replace(fate, answer_is_lost=True, is_silent=True)
        if fate.answer_is_lost:
            await self._lose("reply lost", caller, order.url, fate)
        self.trace.note("reply", caller.name, order.url, answer.status, len(answer.body))
        return answer

    async def _find(self, caller: Process, url: str, connect_seconds: float) -> Site:
        site = self._sites.get(_origin(url))
        if site is None:
            self.trace.note("refused", caller.name, url)
            raise Unreachable(url, "connection refused", sent=False, kind="refused")
        if self.separated(caller, site.process) and not self._is_kept(caller, site.process):
            self.trace.note("no way", caller.name, url)
            await asyncio.sleep(connect_seconds)
            raise Unreachable(url, "no way there", sent=False)
        return site

    def _is_kept(self, caller: Process, process: Process) -> bool:
        """Whether a connection from before is left over: requests pass one way then, and no answer."""
        return self.passes(caller, process) and self._rng.random() < KEPT_SHARE

    def _note_order(self, caller: Process, process: Process, number: int) -> None:
        pair = caller.name, process.name
        if number < self._arrived.get(pair, 0):
            self.trace.note("reordered", *pair)
        self._arrived[pair] = max(number, self._arrived.get(pair, 0))

    async def _lose(self, kind: str, caller: Process, url: str, fate: Fate) -> None:
        self.trace.note(kind, caller.name, url, "silently" if fate.is_silent else "reset")
        if fate.is_silent:  # Until the caller's time is up, or packets sent again come through.
            await self._cleared.wait()
            await asyncio.sleep(fate.delay_back_seconds * RESENT_FACTOR)
        raise Unreachable(url, "connection reset", sent=True)

    async def _deliver(self, site: Site, order: Order) -> Answer:
        """Let the site work on it to the end, whether or not the caller still waits."""
        task = site.process.serve(exchange(site.app, order))
        await asyncio.wait({task})
        if task.cancelled() or not site.process.alive:
            self.trace.note("died while answering", site.process.name, order.url)
            raise Unreachable(order.url, "connection reset", sent=True)
        return self._outcome(task, order)

    def _outcome(self, task: "asyncio.Task[Answer]", order: Order) -> Answer:
        error = task.exception()
        if error is not None:
            self.trace.fail(f"{order.method} {order.url} fell over: {error!r}")
            return Answer(500, {}, b"")
        answer = task.result()
        if answer.status >= 400:
            self.trace.note(f"status {answer.status}", order.url, answer.body[:200])
        return answer

    def _repeat(self, order: Order) -> None:
        site = self._sites.get(_origin(order.url))
        if site is not None:
            self.trace.note("repeated", order.url)
            task = site.process.serve(exchange(site.app, order))
            task.add_done_callback(lambda done: self._repeated(site, done, order))

    def _repeated(self, site: Site, task: "asyncio.Task[Answer]", order: Order) -> None:
        if not task.cancelled() and site.process.alive:
            self._outcome(task, order)

    # ---- links

    async def dial(self, caller: Process, url: str, headers: dict[str, str]) -> CallerEnd:
        """Open a WebSocket; raises Unreachable or Refused."""
        fate = self._fate()
        await asyncio.sleep(fate.delay_seconds)
        site = await self._find(caller, url, OPEN_SECONDS_MAX)
        if fate.is_lost or fate.answer_is_lost:
            self.trace.note("dial lost", caller.name, url)
            await asyncio.sleep(OPEN_SECONDS_MAX if fate.is_silent else 0)
            raise Unreachable(url, "connection reset", sent=False)
        wire = Wire(self, caller, site.process, url)
        self._wires[wire] = None
        if not await wire.open(site.app, Order("GET", url, headers)):
            wire.cut()
            raise Refused(f"{url} refuses the link")
        await asyncio.sleep(fate.delay_back_seconds)
        self.trace.note("link", caller.name, url)
        return CallerEnd(wire)

    def cuts_link(self) -> tuple[bool, bool]:
        """Of a message on a link: whether the link breaks, and if so, whether after it arrived."""
        return self._rng.random() < self.weather.link_cuts, self._rng.random() < 0.5

    def tears_link(self) -> tuple[int, float]:
        """Which end of a torn link knows first, and after how many seconds the other does."""
        seconds = self._rng.uniform(0, PING_SECONDS + PONG_SECONDS_MAX)
        return self._rng.choice((TO_HUB, TO_EDGE)), seconds

    def forget(self, wire: Wire) -> None:
        """A link has ended."""
        del self._wires[wire]
        self.trace.note("link ends", wire.caller.name, wire.url)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


class Client:
    """The HTTP client of one process, as shared.runtime.HttpClient wants it."""

    def __init__(self, network: Network, process: Process) -> None:
        self._network, self._process = network, process

    async def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        timeout_seconds: float = 10.0,
        reply_bytes_max: int = 64 * 1024 * 1024,
    ) -> Answer:
        """One request, one answer; raises Unreachable or TooLarge."""
        order = Order(method, url, headers or {}, body)
        return await self._network.request(self._process, order, timeout_seconds, reply_bytes_max)

    async def close(self) -> None:
        """Nothing is held open between requests."""
