"""Streams that a hub opens down the link: a console on this side, and bytes both ways."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol, runtime_checkable

import msgspec
from msgspec import Meta

from shared.errors import BadInput, HeadwaterError, RpcError
from shared.stream_end import Send, StreamEnd, StreamEnds


class Source(Protocol):
    """What a stream is connected to on this machine. All verbs may raise RpcError; closing it ends a
    read that waits."""

    async def read(self) -> bytes: ...
    async def write(self, data: bytes) -> None: ...
    async def resize(self, columns: int, rows: int) -> None: ...
    async def close(self) -> None: ...


@runtime_checkable
class Speaks(Protocol):
    """A source that has words to say beside its bytes; it says them by `tell`."""

    tell: Callable[[dict[str, Any]], Awaitable[None]]


Opener = Callable[[dict[str, Any]], Awaitable[Source]]
"""Makes a source from the parameters of a call; raises RpcError."""


class _Open(msgspec.Struct, frozen=True):
    stream: Annotated[int, Meta(ge=1, le=2**32 - 1)]
    method: Annotated[str, Meta(max_length=100)]
    params: dict[str, Any] = {}


class _Window(msgspec.Struct, frozen=True, array_like=True):
    columns: Annotated[int, Meta(ge=1, le=10_000)]
    rows: Annotated[int, Meta(ge=1, le=10_000)]


class _Wire:
    """A source and a stream, joined. It is over when either is, and then both are let go."""

    def __init__(self, source: Source, end: StreamEnd, drop: Callable[[], None]) -> None:
        self._source, self._end, self._drop = source, end, drop
        self._window: _Window | None = None
        self._news = asyncio.Event()
        end.on_control = self._note
        if isinstance(source, Speaks):
            source.tell = end.control

    def _note(self, value: dict[str, Any]) -> None:
        if "resize" not in value:
            return  # A word that a later version may know.
        try:
            self._window = msgspec.convert(value["resize"], _Window)
        except msgspec.ValidationError as error:
            raise BadInput(f"resize: {error}") from error
        self._news.set()

    async def up(self) -> None:
        """From the source to the hub; the end of the source ends the stream."""
        why = ""
        try:
            while data := await self._source.read():
                await self._end.write(data)
        except HeadwaterError as error:
            why = str(error)
        finally:
            await self._end.close(why)
            self._drop()
            self._news.set()

    async def down(self) -> None:
        """From the hub to the source; the end of the stream lets go of the source."""
        try:
            while data := await self._end.read():
                await self._source.write(data)
        except HeadwaterError as error:
            await self._end.close(str(error))
        finally:
            with contextlib.suppress(HeadwaterError):
                await self._source.close()

    async def fit(self) -> None:
        """Tell the source how large the window is, the latest size only."""
        while not self._end.is_over:
            await self._news.wait()
            self._news.clear()
            window, self._window = self._window, None
            if window is not None:
                with contextlib.suppress(HeadwaterError):  # It just ended; `up` says so.
                    await self._source.resize(window.columns, window.rows)


@dataclass(slots=True)
class LinkStreams:
    """The streams of one link; `openers` by the method that opens them."""

    openers: Mapping[str, Opener]
    send: Send
    ends: StreamEnds = field(init=False)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.ends = StreamEnds(self.send)

    async def open(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer the call that opens a stream; raises RpcError."""
        end, wanted = self._expect(params)
        try:
            source = await self.openers[wanted.method](wanted.params)
        except BaseException:
            self.ends.drop(end.number)
            raise
        wire = _Wire(source, end, lambda: self.ends.drop(end.number))
        for work in (wire.up(), wire.down(), wire.fit()):
            task = asyncio.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return {}

    def _expect(self, params: dict[str, Any]) -> tuple[StreamEnd, _Open]:
        try:
            wanted = msgspec.convert(params, _Open)
            if wanted.method not in self.openers:
                raise RpcError("method_not_found", f"no stream is called {wanted.method!r}")
            return self.ends.add(wanted.stream), wanted
        except msgspec.ValidationError as error:
            raise RpcError("invalid_params", str(error)) from error
        except BadInput as error:
            raise RpcError("busy", str(error), {"retryable": True}) from error

    async def close(self, why: str) -> None:
        """The link is gone: end all streams, and let go of their sources."""
        self.ends.broke(why)
        if self._tasks:
            _, slow = await asyncio.wait(list(self._tasks), timeout=1.0)
            for task in slow:
                task.cancel()
            await asyncio.gather(*slow, return_exceptions=True)
