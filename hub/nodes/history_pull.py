"""Brings the observations of other hubs here: hubs say in their gossip how far they hold which log."""

import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from hub.bodies import read_body
from hub.mesh import Mesh
from hub.nodes.history_share import (
    HistoryPage,
    HistorySection,
    HistoryShare,
    PageWanted,
    Want,
    page_of,
    read_page,
)
from hub.nodes.others_told import OthersTold
from hub.peering.sections import Section
from hub.peering.witness import Witness
from hub.peers import Peer
from hub.store.check_table import append, head_of, lines_since
from shared.errors import BadInput, HeadwaterError, Unreachable
from shared.records import KIB, MIB
from shared.runtime import Runtime
from shared.sqlite import Database
from shared.tasks import Bell

log = logging.getLogger(__name__)

PATH = "/peer/history"
QUESTION_BYTES_MAX = 4 * KIB
PAGE_BYTES_MAX = 8 * MIB
"""A thousand lines with the longest names and reasons that a line may have are 2 MiB."""

ASK_SECONDS = 10.0
PULL_SECONDS = 1.0
WHOLE_EVERY = 30
"""Of so many messages to a peer one names all logs that are held here; the others only our own."""

_section = msgspec.json.Decoder(HistorySection)
_wanted = msgspec.json.Decoder(PageWanted)


def page_for(connection: sqlite3.Connection, wanted: PageWanted) -> HistoryPage:
    """The lines that a peer asks for, from one moment of the file."""
    connection.execute("BEGIN")
    try:
        head = head_of(connection, wanted.log).head
        lines = lines_since(connection, wanted.log, wanted.after, wanted.limit)
    finally:
        connection.execute("ROLLBACK")
    return page_of(wanted, lines, head)


@dataclass(slots=True)
class HistoryPull(Section, Witness):
    """The section about observations, the door for them, and the loop that pulls them."""

    share: HistoryShare
    others: OthersTold
    mesh: Mesh
    database: Database
    runtime: Runtime
    live_hubs: Callable[[], Iterable[str]]
    counters: Counter[str]
    _told: Counter[str] = field(default_factory=Counter)
    """How often we told a peer how far we are."""
    _said: dict[str, str] = field(default_factory=dict)
    """By hub, what went wrong last: told once, and not each second."""
    _bell: Bell = field(default_factory=Bell)

    @property
    def name(self) -> str:
        """Under which name it travels."""
        return "history"

    def of_mine(self, peer: str, now: float) -> HistorySection:
        """How far we are: all logs at first and now and then, else our own."""
        is_whole = self._told[peer] % WHOLE_EVERY == 0
        self._told[peer] += 1
        return self.share.of_mine(whole=is_whole)

    def take(self, body: bytes, from_hub: str, now: float) -> None:
        """Hear a peer; raises BadInput."""
        try:
            section = _section.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadInput(f"what a hub holds of observations cannot be read: {error}") from error
        self.share.take(section, from_hub)
        if self.share.wanted((from_hub,)):
            self._bell.ring()

    def forgot(self, peer: Peer) -> None:
        """Drop what it told; an address that was a second one of a hub goes without that."""
        if peer.hub_id and self.mesh.peers.by_id(peer.hub_id) is None:
            self.share.forget(peer.hub_id)
            self._told.pop(peer.hub_id, None)
            self._said.pop(peer.hub_id, None)

    # ---- the asking side

    async def step(self) -> float:
        """Pull all that is offered and not here; what fails is tried when it is offered again."""
        await self._bell.wait(PULL_SECONDS)
        while wants := self.share.wanted(self.live_hubs()):
            for want in wants:
                await self._try(want)
        return 0.0

    async def _try(self, want: Want) -> None:
        try:
            has_come_on = await self._pull(want)
        except HeadwaterError as error:
            self._fail(want, str(error))
            return
        if has_come_on:
            self._said.pop(want.hub, None)
        else:
            self._fail(want, "it has not the lines that it offered")

    def _fail(self, want: Want, reason: str) -> None:
        self.counters["history_pulls_failed"] += 1
        self.share.withdraw(want)
        if self._said.get(want.hub) != reason:
            self._said[want.hub] = reason
            log.warning("observations from %s: %s", want.hub, reason)

    async def _pull(self, want: Want) -> bool:
        """Bring one page to the disk; whether there was anything on it. Raises HeadwaterError."""
        page = await self._ask(want)
        before = self.share.head(page.log)
        job = partial(
            append, log=page.log, after=page.after, lines=page.lines, through=page.through
        )
        reached = await self.database.write(job)
        self.share.hold(page.log, reached)
        self.others.take(page.log, page.lines)
        self.counters["history_lines_pulled"] += len(page.lines)
        return reached > before

    async def _ask(self, want: Want) -> HistoryPage:
        peer = self.mesh.peers.by_id(want.hub)
        if peer is None:
            raise Unreachable(want.hub, "it is no peer any more", sent=False)
        body = msgspec.json.encode(want.page)
        reply = await self.mesh.post(peer, PATH, body, ASK_SECONDS, reply_bytes_max=PAGE_BYTES_MAX)
        page: HistoryPage = await self.runtime.offload(partial(read_page, reply.body, want.page))
        return page

    # ---- the answering side

    async def serve(self, request: Request) -> Response:
        """POST /peer/history: lines of a log after a number."""
        body = await read_body(request, QUESTION_BYTES_MAX)
        try:
            wanted = _wanted.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadInput(f"the question for observations cannot be read: {error}") from error
        page = await self.runtime.offload(partial(self._page, wanted))
        return Response(page, media_type="application/json")

    def _page(self, wanted: PageWanted) -> bytes:
        with self.database.reading() as connection:
            return msgspec.json.encode(page_for(connection, wanted))
