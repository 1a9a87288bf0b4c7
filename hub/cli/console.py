"""`headwater vm console`: the console of a machine in this terminal, through whatever hub is there."""

import asyncio
import contextlib
import random
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import click

from hub.cli.ask import Asker, asking
from hub.cli.client import Caller, Door
from hub.cli.console_keys import EXPLAINED, Keys, Wish
from hub.cli.console_link import ConsoleLink, connect
from hub.cli.console_position import ConsolePosition
from hub.cli.console_terminal import Typing, raw, window, write_out
from hub.cli.find_hubs import all_hubs
from hub.cli.output import say
from shared.backoff import Backoff, backoff_seconds
from shared.errors import Refused, RpcError, Unreachable
from shared.terminal import safe

PAUSES = Backoff(seconds_initial=0.2, seconds_max=3.0)  # A person is waiting.
BACK_BYTES = 16 * 1024
PATH_KINDS = frozenset({"node_unreachable", "no_path", "busy", "lost", "outcome_unknown"})
"""What another hub, or the same one later, may do better."""

LEAVING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


@click.command("console")
@click.argument("vm_name", metavar="VM")
@click.option("--node", help="The node it is on.")
@click.option("--read-only", "-r", is_flag=True, help="Only look on.")
@click.option(
    "--back",
    type=click.IntRange(0, 1 << 20),
    default=BACK_BYTES,
    show_default=True,
    help="Begin so many bytes before the end.",
)
@click.option(
    "--linger",
    type=click.FloatRange(0, 3600),
    default=2.0,
    show_default=True,
    help="After the end of a pipe: leave once nothing was shown for so many seconds.",
)
@asking
def console(
    asker: Asker,
    /,
    vm_name: str,
    node: str | None,
    read_only: bool,
    back: int,
    linger: float,
) -> None:
    """Show the console of a machine and type on it.

    In a terminal, Ctrl-] q leaves. Without one, what comes on standard input is typed. When a hub is
    lost it goes on through another, at the byte where it was.
    """
    params = {"vm": vm_name, "mode": "ro" if read_only else "rw"}
    if node:
        params["node"] = node
    asyncio.run(Viewing(asker, params, back, linger).run())


@dataclass(slots=True)
class Viewing:
    """Shows one console over any number of connections."""

    asker: Asker
    params: Mapping[str, Any]
    back: int
    linger: float
    position: ConsolePosition = field(default_factory=ConsolePosition)
    rng: random.Random = field(default_factory=random.Random)
    is_terminal: bool = field(default_factory=lambda: sys.stdin.isatty())
    _doors: list[Door] = field(default_factory=list)
    _link: ConsoleLink | None = None
    _linked: asyncio.Event = field(default_factory=asyncio.Event)
    _shown_at: float = 0.0
    _is_moving: bool = False
    _leaving: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_read_only(self) -> bool:
        """Whether nothing is typed."""
        return bool(self.params["mode"] == "ro")

    async def run(self) -> None:
        """Show it until the machine's console ends or the person leaves. Raises what the first
        connection raised when there is none."""
        self._doors = await all_hubs(self.asker.doors, self.asker.data, say)
        link = await self._first()
        with contextlib.ExitStack() as held:
            if self.is_terminal:
                held.enter_context(raw(sys.stdin.fileno()))
            self._listen_to_signals()
            tasks = [asyncio.create_task(work) for work in self._works(link)]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    def _works(self, link: ConsoleLink) -> list[Any]:
        works = [self._show(link), self._leaving.wait()]
        if self.is_terminal or not self.is_read_only:
            works.append(self._type())
        return works

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in LEAVING:
            loop.add_signal_handler(number, self._leaving.set)
        if self.is_terminal:
            loop.add_signal_handler(signal.SIGWINCH, lambda: loop.create_task(self._fit()))

    def _tell(self, text: str) -> None:
        """Talk to the person; in a raw terminal a line has to begin at its left."""
        sys.stderr.write(f"\r\n[{safe(text)}]\r\n" if self.is_terminal else f"{safe(text)}\n")
        sys.stderr.flush()

    # ---- connections

    async def _first(self) -> ConsoleLink:
        """The first connection, by the first hub that has a path."""
        last: Exception | None = None
        for door in tuple(self._doors):
            try:
                return await self._open(door)
            except (Unreachable, Refused) as error:
                last = error
            except RpcError as error:
                if error.kind not in PATH_KINDS:
                    raise
                last = error
        raise last or RpcError("no_path", "no hub is known")

    async def _open(self, door: Door) -> ConsoleLink:
        since = self.position.offset
        begin = {"tail": self.back} if since is None else {"since": since}
        columns, rows = window()
        size = {"cols": columns, "rows": rows} if self.is_terminal else {}
        async with _calling(door) as caller:
            link = await connect(door, caller, {**self.params, **begin, **size})
        self._link = link
        self._linked.set()
        path = " and ".join(dict.fromkeys(str(hop["hub"]) for hop in link.path["hops"]))
        keys = f"; {EXPLAINED}" if self.is_terminal else ""
        looks = "looking at" if self.is_read_only else "connected to"
        self._tell(f"{looks} {self.params['vm']} on {link.path['node']} through {path}{keys}")
        return link

    async def _again(self, reason: str) -> ConsoleLink:
        """Another connection, through the next hubs in turn, for as long as it takes."""
        lost = "as you wish" if self._is_moving else f"{reason}; what was typed last may be lost"
        self._is_moving = False
        self._tell(f"{lost}; going on through another hub")
        attempt = 0
        while True:
            self._doors = [*self._doors[1:], self._doors[0]]
            try:
                return await self._open(self._doors[0])
            except (Unreachable, Refused) as error:
                reason = str(error)
            except RpcError as error:
                if error.kind not in PATH_KINDS:
                    raise
                reason = str(error)
            attempt += 1
            if attempt % len(self._doors) == 0:
                self._tell(f"{reason}; trying again")
            await asyncio.sleep(backoff_seconds(attempt // len(self._doors), PAUSES, self.rng))

    # ---- what is shown

    async def _show(self, link: ConsoleLink) -> None:
        while True:
            try:
                reason = await self._show_one(link)
            except Unreachable:
                reason = f"{link.door.name} is lost"
            except BrokenPipeError:
                return  # Whoever read it has enough.
            finally:
                self._link = None
                self._linked.clear()
                await link.close()
            if reason is None:
                return
            link = await self._again(reason)

    async def _show_one(self, link: ConsoleLink) -> str | None:
        """Show what comes until the end; returns why the connection ended, None with the console."""
        loop = asyncio.get_running_loop()
        while True:
            came = await link.next()
            if isinstance(came, bytes):
                await self._show_bytes(came)
                await link.taken(len(came))
                self._shown_at = loop.time()
            elif "closed" in came:
                why = str(came["closed"])
                if came.get("retryable"):
                    return why
                self._tell(f"the console is over: {why}")
                return None
            else:
                self.position.hear(came)

    async def _show_bytes(self, data: bytes) -> None:
        if missing := self.position.shown(len(data)):
            self._tell(f"{missing} bytes were shown too fast and are left out here")
        await asyncio.to_thread(write_out, data)

    # ---- what is typed

    async def _type(self) -> None:
        typing, keys = Typing(), Keys()
        while (data := await typing.next()) is not None:
            pieces = keys.read(data) if self.is_terminal else [data]
            for piece in pieces:
                if isinstance(piece, bytes):
                    await self._send(piece)
                elif piece is Wish.LEAVE:
                    return
                else:
                    await self._obey(piece)
        if not self.is_terminal:
            await self._wait_for_silence()

    async def _send(self, data: bytes) -> None:
        """Type it. In a terminal what is typed while there is no connection goes nowhere: nobody should
        type blindly."""
        if self.is_read_only:
            return
        if not self.is_terminal:
            await self._linked.wait()
        if self._link is not None:
            with contextlib.suppress(Unreachable):  # `_show` hears of it too, and says so.
                await self._link.write(data)

    async def _obey(self, wish: Wish) -> None:
        if wish is Wish.MOVE and self._link is not None:
            self._is_moving = True
            await self._link.close()
        elif wish is Wish.HELP:
            self._tell(EXPLAINED)

    async def _wait_for_silence(self) -> None:
        loop = asyncio.get_running_loop()
        self._shown_at = loop.time()
        left = self.linger
        while left > 0:
            await asyncio.sleep(left)
            left = self._shown_at + self.linger - loop.time()

    async def _fit(self) -> None:
        if self._link is not None:
            with contextlib.suppress(Unreachable):
                await self._link.say({"resize": list(window())})


@contextlib.asynccontextmanager
async def _calling(door: Door) -> AsyncIterator[Caller]:
    caller = Caller([door], lambda text: None)
    try:
        yield caller
    finally:
        await caller.close()
