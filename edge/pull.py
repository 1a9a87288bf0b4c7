"""Offers batches to hubs instead of sending them: how an edge that may not push is emptied.

The shipper pushes as ever, to a client that sends nothing. `Offers` is that client: it keeps each
batch until the hub that it is meant for has fetched it over the link (`edge.pull`) and has said what
became of it (`edge.pull.confirm`), and hands that to the shipper as the answer to its push. So which
hub gets what, lanes, credit, retries with the same bytes, and what a refusal leads to are decided by
the same code in both modes. Each batch is offered to one hub at a time: no two fetch the same.

A lost answer or a lost confirmation changes nothing: the offer stands and is fetched again.
"""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from edge.hubs import Hubs, HubView
from shared.beat import PULLING_HUBS_MAX
from shared.errors import Unreachable
from shared.http import Reply
from shared.records import MIB
from shared.runtime import HttpReply
from shared.tasks import Bell

PATH = "/edge/batches"
MARK_HEADER = "x-headwater-mark"
PIECE_BYTES_MAX = 2 * MIB  # In base64 it fits the largest answer that a link carries.
LINK_SECONDS = 3.0  # A link that broke is dialled again within this, or the hub is not there.
RING_SECONDS = 0.5  # From one ring for the same offer to the next, doubled each time.


@dataclass(slots=True)
class Offer:
    """A batch that waits for one hub. Its name is the SHA-256 (hex) of its bytes."""

    name: str
    url: str
    body: bytes
    mark: str
    patience_seconds: float
    deadline: float
    answer: "asyncio.Future[HttpReply]"
    asked_at: float | None = None
    """When its hub first came for it; None until then."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a batch as it crosses the link. An empty name: nothing is offered."""

    name: str = ""
    size_bytes: int = 0
    offset: int = 0
    body: bytes = b""
    mark: str = ""


@dataclass(slots=True)
class Offers:
    """The shipper's client on an edge that may not push. `beat_now` tells the hubs that they may come."""

    hubs: Hubs
    beat_now: Callable[[], None]
    _waiting: list[Offer] = field(default_factory=list)
    _bells: dict[str, Bell] = field(default_factory=dict)
    _polls: dict[str, int] = field(default_factory=dict)

    async def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        timeout_seconds: float = 10.0,
        reply_bytes_max: int = 64 * MIB,
    ) -> HttpReply:
        """Offer a batch to the hub of this address; returns what the hub says of it.

        Raises Unreachable when the hub does not come for it, or does not go on, within the time.
        """
        view = self._view_at(url)
        loop = asyncio.get_running_loop()
        seconds = timeout_seconds if view.linked else min(timeout_seconds, LINK_SECONDS)
        offer = Offer(
            hashlib.sha256(body).hexdigest(),
            view.url,
            body,
            (headers or {}).get(MARK_HEADER, ""),
            timeout_seconds,
            loop.time() + seconds,
            loop.create_future(),
        )
        self._waiting.append(offer)
        try:
            return await self._wait(offer, view)
        finally:
            self._waiting.remove(offer)

    async def close(self) -> None:
        """There is nothing to close."""

    def _view_at(self, url: str) -> HubView:
        view = self.hubs.views.get(url.removesuffix(PATH))
        if view is None or urlsplit(url).path != urlsplit(view.url).path + PATH:
            raise Unreachable(url, "this edge does not push", sent=False)
        return view

    def _ring(self, view: HubView) -> None:
        """Tell the hub; a heartbeat does if it neither waits for an offer nor fetches one."""
        if self._polls.get(view.url):
            self._bell(view).ring()
        elif not any(each.asked_at is not None for each in self._of(view)):
            self.beat_now()

    async def _wait(self, offer: Offer, view: HubView) -> HttpReply:
        loop, pause = asyncio.get_running_loop(), RING_SECONDS
        while not offer.answer.done():
            left = offer.deadline - loop.time()
            if left <= 0:
                raise _unreachable(offer)
            if offer.asked_at is None:
                self._ring(view)
                left, pause = min(left, pause), 2 * pause
            await asyncio.wait([offer.answer], timeout=left)
        return offer.answer.result()

    def _of(self, view: HubView) -> list[Offer]:
        return [each for each in self._waiting if each.url == view.url and not each.answer.done()]

    def _bell(self, view: HubView) -> Bell:
        return self._bells.setdefault(view.url, Bell())

    # ---- what heartbeats tell

    def wanted_hubs(self) -> list[str]:
        """The ids of the hubs for which something waits."""
        urls = {offer.url for offer in self._waiting if not offer.answer.done()}
        views = (view for view in self.hubs.views.values() if view.url in urls)
        return sorted(view.hub_id for view in views if view.hub_id)[:PULLING_HUBS_MAX]

    # ---- what hubs ask

    async def wait_for_offer(self, view: HubView, seconds: float) -> None:
        """Wait until something is offered to this hub, at most so long."""
        if self._of(view):
            return
        bell = self._bell(view)
        self._polls[view.url] = self._polls.get(view.url, 0) + 1
        try:
            await bell.wait(seconds)
        finally:
            self._polls[view.url] -= 1

    def piece(self, view: HubView, name: str, offset: int, bytes_max: int) -> Piece:
        """A piece of the oldest offer to this hub, or of the named one; nothing when it is gone.

        The hub that asks is at work: the wait for its answer begins anew.
        """
        offer = self._find(view, name)
        if offer is None:
            return Piece()
        body = offer.body[offset : offset + min(bytes_max, PIECE_BYTES_MAX)]
        if body:
            now = asyncio.get_running_loop().time()
            offer.asked_at = now if offer.asked_at is None else offer.asked_at
            offer.deadline = now + offer.patience_seconds
        return Piece(offer.name, len(offer.body), offset, body, offer.mark)

    def _find(self, view: HubView, name: str) -> Offer | None:
        return next((each for each in self._of(view) if name in ("", each.name)), None)

    def confirm(self, view: HubView, name: str, reply: Reply) -> float | None:
        """Take what a hub says of an offer; returns when it came for it, None if nobody waits.

        An offer that ran out of time has been made again meanwhile, or is about to be.
        """
        offer = self._find(view, name) if name else None
        if offer is None or offer.asked_at is None:
            return None
        offer.answer.set_result(reply)
        return offer.asked_at


def _unreachable(offer: Offer) -> Unreachable:
    was_there = offer.asked_at is not None
    reason = "it did not say what became of a batch" if was_there else "it did not come for a batch"
    return Unreachable(offer.url, f"{reason} over the link", sent=was_there)
