"""Hubs that are gone for good, as a part of a hub: `peers.remove`, `peers.admit`, and what follows."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from msgspec import Meta, Struct

from hub.describe import time_of_ms
from hub.ground import Ground
from hub.params import read
from hub.peering.clock_poison import may_witness, stamp_time_ms
from hub.peering.farewell import (
    WHY_LENGTH_MAX,
    Farewell,
    Farewells,
    FarewellSection,
    HubName,
    read_section,
)
from hub.peering.sections import Section
from hub.peers import Peer
from hub.rpc import Method
from hub.store.farewell_table import (
    load_addresses,
    load_farewells,
    save_addresses,
    save_farewells,
)
from hub.web.routes import RouteSpec
from shared.errors import BadInput, HeadwaterError, RpcError, Unavailable

log = logging.getLogger(__name__)


class RemoveHub(Struct, forbid_unknown_fields=True):
    """Which hub is gone for good, and why; `lose` gives up what only it has."""

    hub: HubName
    why: Annotated[str, Meta(max_length=WHY_LENGTH_MAX)] = ""
    lose: bool = False


class AdmitHub(Struct, forbid_unknown_fields=True):
    """Which hub may take part again."""

    hub: HubName


@dataclass(slots=True)
class FarewellPart(Section):
    """Keeps hubs out that people have sent away, here and by gossip at all others."""

    ground: Ground
    book: Farewells
    _theirs: dict[str, str] = field(default_factory=dict)
    """The digest that each peer told last."""
    _has_unsaved: bool = False
    """Whether addresses of gone hubs are to be written down."""
    _arrived: "asyncio.Queue[list[Farewell]]" = field(default_factory=lambda: asyncio.Queue(64))
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One decision at a time: what is written last must be what counts."""

    def methods(self) -> Mapping[str, Method]:
        """What people decide."""
        return {
            "peers.remove": Method(self.remove, RemoveHub),
            "peers.admit": Method(self.admit, AdmitHub),
        }

    def routes(self) -> Sequence[RouteSpec]:
        """No doors of its own."""
        return ()

    def sections(self) -> Sequence[Section]:
        """What peers are told."""
        return [self]

    async def run(self) -> None:
        """Write down what peers tell, and act by it."""
        for word in self.book.words():
            await self._act(word)
        await self._save_addresses()
        while True:
            words = await self._arrived.get()
            try:
                await self._keep(words)
            except HeadwaterError as error:  # The peer tells it again: our digest differs still.
                log.warning("hubs that are gone are not noted: %s", error)

    async def close(self) -> None:
        """Nothing is held."""

    # ---- the section

    @property
    def name(self) -> str:
        """Under which name it travels."""
        return "farewells"

    def of_mine(self, peer: str, now: float) -> FarewellSection | None:
        """All words to a peer that has others; nothing while nobody was ever sent away.

        A hub that lost its disk says that it knows nothing, or it would not be told again.
        """
        if not self.book.by_hub and not self._theirs.get(peer):
            return None
        same = self._theirs.get(peer) == self.book.digest
        return FarewellSection(self.book.digest, [] if same else self.book.words())

    def take(self, body: bytes, from_hub: str, now: float) -> None:
        """Hear a peer; raises BadInput."""
        told = read_section(body)
        self._theirs[from_hub] = told.digest
        fresh = self.book.newer(told.words)
        if fresh and not self._arrived.full():
            self._arrived.put_nowait(fresh)

    # ---- decisions

    async def remove(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Send a hub away for good, on all hubs: nothing waits for its copies, and it is refused."""
        wanted = read(RemoveHub, raw)
        peer = self._peer(wanted.hub)
        if peer.verdict == "alive":
            raise RpcError("invalid_state", f"{wanted.hub} is alive: stop it first, with make stop")
        if not wanted.lose and (text := _at_stake(peer)):
            raise RpcError("invalid_state", f"{text}, or give them up with --lose")
        await self._decide(wanted.hub, wanted.why, peer.url, gone=True)
        return {"removed": wanted.hub}

    async def admit(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Let a hub take part again that was sent away."""
        hub = read(AdmitHub, raw).hub
        if hub == self.ground.hub_id:
            raise RpcError(
                "invalid_state", f"{hub} is this hub, and nobody hears it: ask another hub"
            )
        word = self.book.gone(hub)
        if word is None:
            gone = ", ".join(each.hub for each in self.book.words() if each.gone)
            removed = f"removed are {gone}" if gone else "no hub is removed"
            raise RpcError("not_found", f"no hub {hub} was removed: {removed}")
        await self._decide(hub, "", word.url, gone=False)
        return {"admitted": hub}

    def _peer(self, hub: str) -> Peer:
        if hub == self.ground.hub_id:
            raise RpcError("invalid_state", f"{hub} is this hub: stop it, then ask another one")
        peer = self.ground.mesh.peers.by_id(hub)
        if peer is None:
            was = (
                "was removed already" if self.book.gone(hub) else "is unknown: see headwater peers"
            )
            raise RpcError("not_found", f"{hub} {was}")
        return peer

    async def _decide(self, hub: str, why: str, url: str, *, gone: bool) -> None:
        word = self.book.decide(hub, await self.ground.stamp(), why, url, gone=gone)
        try:
            self.book.newer([word])
        except BadInput as error:
            raise RpcError("invalid_state", str(error)) from error
        await self._keep([word])
        self.ground.mesh.tell_soon()

    async def _keep(self, words: list[Farewell]) -> None:
        """Write first, then act: what is told to others is on this disk."""
        async with self._turn:
            fresh = self.book.newer(words)
            await self.ground.database.write(lambda db: save_farewells(db, fresh))
            self.book.take(fresh)
            for word in fresh:
                _follow(self.ground, word)
                self._tell(word)
                await self._act(word)
        await self._save_addresses()

    async def _save_addresses(self) -> None:
        """Write down what the settings of this hub name that is gone; what fails is written the next time,
        and only this hub misses it meanwhile."""
        if not self._has_unsaved:
            return
        held = dict(self.book.hub_by_url)
        try:
            await self.ground.database.write(lambda db: save_addresses(db, held))
        except Unavailable as error:
            log.warning("where removed hubs were is not noted: %s", error)
            return
        self._has_unsaved = held != self.book.hub_by_url

    def _tell(self, word: Farewell) -> None:
        by = {"peer": word.hub, "by": word.stamp.hub_id}
        if word.gone:
            self.ground.report("peer.removed", {**by, "why": word.why})
        else:
            self.ground.report("peer.admitted", by)

    async def _act(self, word: Farewell) -> None:
        mesh = self.ground.mesh
        if not word.gone:
            urls = self.book.lose(word.hub)
            self._has_unsaved = self._has_unsaved or bool(urls)
            mesh.meet({word.hub: urls[0] if urls else word.url})
            return
        self._theirs.pop(word.hub, None)
        known = mesh.peers.nameless_at(self.book.urls(word.hub))
        for peer in {
            peer.url: peer for peer in [*mesh.peers.of(word.hub, word.url), *known]
        }.values():
            self.locate(word.hub, peer)
            try:
                await mesh.forget(peer)
            except Unavailable as error:  # It is out; by the word it is so after a restart, too.
                log.warning("%s is not deleted from the disk: %s", peer.key, error)

    def locate(self, hub: str, peer: Peer) -> None:
        """Note where a hub that is gone is named by the settings: after a restart nobody may answer there,
        and an address without a name would count as a peer."""
        if peer.configured and self.book.located(hub, peer.url):
            self._has_unsaved = True

    def answered(self, hub: str, peer: Peer) -> None:
        """A hub that is gone has answered at an address of the settings."""
        self.locate(hub, peer)
        if self._has_unsaved and not self._arrived.full():
            self._arrived.put_nowait([])

    # ---- keeping out

    def refusal(self, hub: str) -> str:
        """Why a hub may not take part; empty when it may."""
        word = self.book.gone(hub)
        if word is None:
            return ""
        why = f" ({word.why})" if word.why else ""
        return (
            f"{hub} was removed from this mesh through {word.stamp.hub_id}{why}:"
            f" `headwater peers admit {hub}` lets it in again"
        )

    def describe(self) -> list[dict[str, Any]]:
        """Who is gone, for people."""
        wall_ms = self.ground.runtime.wall_ms()
        return [
            {
                "hub": word.hub,
                "through": word.stamp.hub_id,
                "at": time_of_ms(stamp_time_ms(word.stamp, wall_ms)),
                "why": word.why,
                "urls": self.book.urls(word.hub),
            }
            for word in self.book.words()
            if word.gone
        ]


def _at_stake(peer: Peer) -> str:
    """What may be lost with a hub and what saves it; empty when all that it had is here."""
    if peer.answered_at is None:
        text = (
            f"this hub has not heard {peer.hub_id} since it started, and cannot tell whether chunks"
        )
        return f"{text} of it are missing: ask a hub that heard it last"
    if peer.lag_chunks:
        text = f"{peer.lag_chunks:,} chunks of {peer.hub_id} never came here"
        return f"{text}: start it once more so that they can"
    return ""


def _follow(ground: Ground, word: Farewell) -> None:
    """Have our stamps come after a word, unless no sound clock made it: it would carry all of us away,
    and words are not compared by stamps alone."""
    if may_witness(word.stamp, ground.runtime.wall_ms()):
        ground.clock.witness(word.stamp)


def build(ground: Ground) -> FarewellPart:
    """The part of this hub; from now on its mesh keeps out who is gone. Raises BadInput."""
    book = Farewells()
    with ground.database.reading() as connection:
        book.take(load_farewells(connection))
        addresses = load_addresses(connection)
    named = {url: hub for url, hub in addresses.items() if url in ground.config.peers}
    book.hub_by_url = {url: hub for url, hub in named.items() if book.gone(hub)}
    for word in book.words():
        _follow(ground, word)
    part = FarewellPart(ground, book)
    ground.mesh.refusal, ground.mesh.on_outcast = part.refusal, part.answered
    ground.in_status["removed_hubs"] = part.describe
    return part
