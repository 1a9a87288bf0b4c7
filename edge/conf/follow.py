"""Follows what hubs want of this edge: notes their words, asks for what differs, applies and tells."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from edge.conf.applier import Applier
from edge.conf.wish import Ask, Wish
from shared.conf import Document, read_document
from shared.conf_report import Report, Wanted
from shared.errors import BadInput, HeadwaterError
from shared.tasks import Bell

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0

Fetch = Callable[[str], Awaitable[bytes]]
"""The answer of a hub, by its id, to POST /edge/config; raises HeadwaterError."""


@dataclass(slots=True)
class Follower:
    """Keep `run` running. `fetch` asks a hub, and `changed` makes the next heartbeat come soon."""

    applier: Applier[Any]
    fetch: Fetch
    changed: Callable[[], None]
    wish: Wish = field(init=False)
    _bell: Bell = field(default_factory=Bell)

    def __post_init__(self) -> None:
        document = self.applier.document
        self.wish = Wish(document.hash, document.age)

    def heard(self, hub_id: str, wanted: Wanted | None) -> None:
        """A hub answered a heartbeat; None is of an older hub, which has no settings."""
        if wanted is None:
            return
        now = asyncio.get_running_loop().time()
        self.wish.heard(hub_id, wanted, now)
        if self.wish.next_ask(now) is not None:
            self._bell.ring()

    def gone(self, hub_id: str) -> None:
        """A hub is known no longer: what it said counts no more."""
        self.wish.forget(hub_id)

    def report(self) -> Report:
        """What the next heartbeat says."""
        return self.applier.report()

    async def run(self) -> None:
        """Follow, for ever."""
        while True:
            await self._bell.wait(LOOK_SECONDS)
            await self.step()

    async def step(self) -> None:
        """Ask for what differs and apply it, if there is such a thing now."""
        now = asyncio.get_running_loop().time()
        ask = self.wish.next_ask(now)
        if ask is None:
            if self.wish.is_content(now) and self.applier.forget_refusal():
                self.changed()
            return
        try:
            document = await self._ask(ask)
        except HeadwaterError as error:
            log.warning("the settings of this edge: %s", error)
            self.wish.has_failed(asyncio.get_running_loop().time())
            return
        if await self.applier.apply(document):
            self.wish.has_applied(document.hash, document.age)
        else:
            self.wish.has_refused(document.hash, asyncio.get_running_loop().time())
        self.changed()

    async def _ask(self, ask: Ask) -> Document:
        document = read_document(await self.fetch(ask.hub_id))
        if document.hash != ask.wanted.hash:
            # The hub has learned something since; its next answer to a heartbeat says so.
            raise BadInput(f"{ask.hub_id} gave other settings than it had said")
        return document
