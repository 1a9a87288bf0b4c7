"""Fetches the data of edges that may not push, down the links that they have dialled.

A heartbeat that names this hub rings. The edge then offers one batch after the other; each is taken in
by the very function that serves pushes, and only after its commit the edge is told of the receipt.
The edge offers each batch to one hub at a time, in its own order of preference, so hubs need not
agree on who pulls. Whatever is lost on the way is offered again, and found to be held already.
"""

import asyncio
import binascii
import hashlib
import logging
from base64 import b64decode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from hub.links import Links, LinkSession
from shared.backoff import Backoff, backoff_seconds
from shared.beat import Beat
from shared.envelope import BATCH_BYTES_MAX
from shared.errors import BadInput, HeadwaterError, RpcError
from shared.receipt import PushReply
from shared.records import MIB

log = logging.getLogger(__name__)

PULLS_MAX = 16
"""Batches that are fetched and taken in at once; edges that only wait for data do not count."""
PIECE_BYTES_MAX = 2 * MIB
CALL_SECONDS = 30.0  # A piece over a poor mobile link.
WAIT_SECONDS = 20.0  # How long an edge may hold our question until it has something.
WAIT_MARGIN_SECONDS = 5.0
LINK_SECONDS = 3.0  # An edge beats before it has dialled.
LINK_LOOK_SECONDS = 0.1
FAILURES_MAX = 8  # In a row; then the edge must ring again.
MARK_CHARACTERS_MAX = 200
REASON_CHARACTERS_MAX = 1000
_RETRY = Backoff(seconds_initial=0.5, seconds_max=5.0)


@dataclass(frozen=True, slots=True)
class Judged:
    """What a batch is answered with: an HTTP status, and the reply (200) or the reason."""

    status: int
    reply: PushReply | None = None
    reason: str = ""
    retry_after_seconds: float | None = None


TakeIn = Callable[[str, bytes, str], Awaitable[Judged]]
"""Takes in a node's batch, given its name, the bytes and its mark; returns after the commit."""


class _Piece(msgspec.Struct, frozen=True):
    """What an edge answers to edge.pull. An empty name: it offers nothing to this hub now."""

    name: Annotated[str, Meta(pattern=r"\A([0-9a-f]{64})?\Z")]
    size_bytes: Annotated[int, Meta(ge=0)]
    offset: Annotated[int, Meta(ge=0)]
    wire: str
    mark: Annotated[str, Meta(max_length=MARK_CHARACTERS_MAX)] = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as it was fetched; the name is the SHA-256 (hex) of the bytes."""

    name: str
    wire: bytes
    mark: str


@dataclass(slots=True)
class Pulls:
    """Keep `run` running and tell of every heartbeat by `heard`."""

    hub_id: str
    links: Links
    take_in: TakeIn
    rng: Random
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PULLS_MAX))
    _rung: set[str] = field(default_factory=set)
    _followed: set[str] = field(default_factory=set)
    _tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Pull whenever an edge rings, for ever."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            await asyncio.Event().wait()

    def heard(self, beat: Beat) -> None:
        """Begin to pull from an edge whose beat names this hub; one that is pulled already goes on."""
        node_id = beat.node_id
        if self.hub_id not in beat.pull or self._tasks is None:
            return
        self._rung.add(node_id)
        if node_id not in self._followed:
            self._followed.add(node_id)
            self._tasks.create_task(self._follow(node_id))

    async def _follow(self, node_id: str) -> None:
        """Pull from one edge until it has nothing for us, for a while, and does not ring."""
        try:
            while node_id in self._rung:
                self._rung.discard(node_id)
                await self._empty(node_id)
        finally:
            self._followed.discard(node_id)

    async def _empty(self, node_id: str) -> None:
        failures = 0
        while failures < FAILURES_MAX:
            try:
                session = await self._session(node_id)
                if session is None or not await self._pull_next(session):
                    return
                failures = 0
            except HeadwaterError as error:
                if failures == 0:
                    log.info("pulling from %s: %s", node_id, error)
                await asyncio.sleep(backoff_seconds(failures, _RETRY, self.rng))
                failures += 1
        log.warning("pulling from %s failed %d times, until it rings again", node_id, failures)

    async def _session(self, node_id: str) -> LinkSession | None:
        """This hub's own link to the edge; None when the edge does not dial."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LINK_SECONDS
        while (session := self.links.sessions.get(node_id)) is None:
            if loop.time() >= deadline:
                return None
            await asyncio.sleep(LINK_LOOK_SECONDS)
        return session

    async def _pull_next(self, session: LinkSession) -> bool:
        """Fetch the next batch, or wait for one; returns whether the edge may have more."""
        async with self._room:
            if await self._pull(session):
                return True
        waited = await self._ask(session, seconds=WAIT_SECONDS, bytes_max=0)
        return bool(waited.name)

    async def _pull(self, session: LinkSession) -> bool:
        first = await self._ask(session, bytes_max=PIECE_BYTES_MAX)
        if not first.name:
            return False
        if first.size_bytes > BATCH_BYTES_MAX:
            reason = f"the batch is larger than the limit of {BATCH_BYTES_MAX} bytes"
            await self._confirm(session, first.name, Judged(413, reason=reason))
            return True
        batch = await self._rest(session, first)
        if batch is not None:
            judged = await self.take_in(session.node_id, batch.wire, batch.mark)
            await self._confirm(session, batch.name, judged)
        return True

    async def _rest(self, session: LinkSession, first: _Piece) -> Batch | None:
        """The whole of a batch; None when the edge has taken the offer back meanwhile."""
        wire = bytearray(_bytes_of(first, 0))
        while len(wire) < first.size_bytes:
            piece = await self._ask(
                session, name=first.name, offset=len(wire), bytes_max=PIECE_BYTES_MAX
            )
            if piece.name != first.name:
                return None
            wire += _bytes_of(piece, len(wire))
        if hashlib.sha256(wire).hexdigest() != first.name:
            raise BadInput(f"{session.node_id} offers a batch that does not match its name")
        return Batch(first.name, bytes(wire), first.mark)

    async def _ask(self, session: LinkSession, *, seconds: float = 0.0, **params: Any) -> _Piece:
        """Ask for a piece, or with `bytes_max` 0 what there is; `seconds` to wait for an offer."""
        asked = {"hub_id": self.hub_id, "wait_seconds": seconds, **params}
        patience = seconds + WAIT_MARGIN_SECONDS if seconds else CALL_SECONDS
        answer = await session.call("edge.pull", asked, patience)
        try:
            return msgspec.convert(answer, _Piece)
        except msgspec.ValidationError as error:
            text = f"{session.node_id} answers edge.pull with something else: {error}"
            raise BadInput(text) from error

    async def _confirm(self, session: LinkSession, name: str, judged: Judged) -> None:
        """Tell the edge what became of a batch; raises RpcError when it does not answer."""
        told: dict[str, Any] = {"hub_id": self.hub_id, "name": name, "status": judged.status}
        if judged.reply is not None:
            told["reply"] = msgspec.to_builtins(judged.reply)
        else:
            told["reason"] = judged.reason[:REASON_CHARACTERS_MAX]
            told["retry_after_seconds"] = judged.retry_after_seconds
        answer = await session.call("edge.pull.confirm", told, CALL_SECONDS)
        if not isinstance(answer, dict):
            raise RpcError("internal", f"{session.node_id} confirms with something else")


def _bytes_of(piece: _Piece, offset: int) -> bytes:
    """The bytes of a piece that must begin at this offset; raises BadInput.

    Only the last piece may be a short one: no edge keeps a place here with a byte at a time.
    """
    try:
        body = b64decode(piece.wire, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadInput(f"a piece of a batch is not base64: {error}") from error
    if piece.offset != offset or len(body) != min(PIECE_BYTES_MAX, piece.size_bytes - offset):
        raise BadInput(f"a piece of a batch does not fit: {len(body)} bytes at {piece.offset}")
    return body
