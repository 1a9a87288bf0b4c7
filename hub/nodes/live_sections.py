"""What hubs tell each other about liveness: whom they heard, how many edges are with them, and leave."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

import msgspec
from msgspec import Meta

from hub.gossip import Gossip
from hub.nodes import heard_wire
from hub.nodes.heard_wire import HeardReply
from hub.nodes.hints import Hints, LoadSection
from hub.nodes.hold import Holds, LeavingSection
from hub.nodes.life import Life
from hub.peering.clock_samples import Echo
from hub.peering.sections import Section
from hub.peering.witness import Witness
from hub.peers import Peer, Peers
from shared.codec import compress, decompress
from shared.errors import BadInput


class HeardTalk(msgspec.Struct, frozen=True):
    """What a hub heard (hub.nodes.heard_wire, as a zstd frame, which takes a tenth of a millisecond and
    two fifths of the bytes), or nothing while it waits for an answer; how far it is with what the
    other one heard; and whether it is cut off from all hubs, so that its silence about
    a node says nothing."""

    heard: Annotated[bytes, Meta(max_length=heard_wire.BYTES_MAX)] = b""
    reply: HeardReply | None = None
    isolated: bool = False


class LeavingTalk(msgspec.Struct, frozen=True):
    """The last word of a hub that stops in order, in a message of its own."""

    hub_id: Annotated[str, Meta(min_length=1, max_length=300)]
    instance: Annotated[str, Meta(max_length=64)]
    leaving: LeavingSection


def _no_peer(hub_id: str) -> bool:
    """No address of it is left."""
    return False


def _all_may(hub_id: str) -> None:
    """Nobody was sent away."""


_talk = msgspec.json.Decoder(HeardTalk)
_load = msgspec.json.Decoder(LoadSection)
_leaving = msgspec.json.Decoder(LeavingSection)
_last_word = msgspec.json.Decoder(LeavingTalk)


@dataclass(slots=True)
class HeardGossip(Section, Witness):
    """The section about beats. The answer to a peer's section goes with our next one to it."""

    life: Life
    peers: Peers
    isolated: set[str] = field(default_factory=set)
    """The peers that say that they reach no other hub."""
    _replies: dict[str, HeardReply] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Under which name it travels."""
        return "heard"

    def of_mine(self, peer: str, now: float) -> HeardTalk:
        """What the peer has not confirmed yet."""
        section = self.life.told.section(peer, self.life.interval_seconds, now)
        reply, is_isolated = self._replies.get(peer), self.peers.is_isolated
        heard = b"" if section is None else compress(heard_wire.write(section))
        return HeardTalk(heard, reply, is_isolated)

    def take(self, body: bytes, from_hub: str, now: float) -> None:
        """Hear a peer; raises BadInput."""
        try:
            talk = _talk.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadInput(f"what a hub heard cannot be read: {error}") from error
        (self.isolated.add if talk.isolated else self.isolated.discard)(from_hub)
        if talk.reply is not None:
            self.life.told.confirmed(from_hub, talk.reply)
        if talk.heard:
            section = heard_wire.read(decompress(talk.heard, heard_wire.BYTES_MAX))
            self._replies[from_hub] = self.life.book.take(from_hub, section, now)

    def forgot(self, peer: Peer) -> None:
        """Drop what it told; an address that was a second one of a hub goes without that."""
        if peer.hub_id and self.peers.by_id(peer.hub_id) is None:
            self.life.drop_hub(peer.hub_id)
            self.isolated.discard(peer.hub_id)
            self._replies.pop(peer.hub_id, None)


@dataclass(frozen=True, slots=True)
class LoadGossip(Section):
    """The section about how many edges are with a hub."""

    hints: Hints

    @property
    def name(self) -> str:
        """Under which name it travels."""
        return "load"

    def of_mine(self, peer: str, now: float) -> LoadSection:
        """Our load."""
        return self.hints.of_mine()

    def take(self, body: bytes, from_hub: str, now: float) -> None:
        """Hear a peer; raises BadInput."""
        try:
            self.hints.take(_load.decode(body), from_hub, now)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadInput(f"the load of a hub cannot be read: {error}") from error


@dataclass(slots=True)
class LeavingGossip(Section, Witness):
    """The section of a hub that is about to stop. A message without it says: I am here, unless it is
    one that the same run of the hub wrote before it left."""

    holds: Holds
    is_peer: Callable[[str], bool] = _no_peer
    """Whether a hub is known under another address still."""
    check_admitted: Callable[[str], None] = _all_may
    """Raises Refused for a hub that people sent away."""
    _left: dict[str, str] = field(default_factory=dict)
    """Which run of a hub said that it leaves."""

    @property
    def name(self) -> str:
        """Under which name it travels."""
        return "leaving"

    def of_mine(self, peer: str, now: float) -> LeavingSection | None:
        """Our plans."""
        return self.holds.of_mine(now)

    def take(self, body: bytes, from_hub: str, now: float) -> None:
        """Hear a peer; raises BadInput."""
        try:
            self.holds.take(_leaving.decode(body), from_hub, now)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadInput(f"what a hub says of its leave cannot be read: {error}") from error

    def take_last_word(self, body: bytes, now: float) -> None:
        """Hear a peer that tells it in a message of its own; raises BadInput or Refused."""
        try:
            told = _last_word.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadInput(f"what a hub says of its leave cannot be read: {error}") from error
        self.check_admitted(told.hub_id)
        self._left[told.hub_id] = told.instance
        self.holds.take(told.leaving, told.hub_id, now)

    def answered(self, peer: Peer, echo: Echo, answer: Gossip) -> None:
        """A peer is here, or about to go."""
        self._look(answer, echo.received_at)

    def heard(self, message: Gossip, now: float, wall_ms: int) -> None:
        """A peer is here, or about to go."""
        self._look(message, now)

    def forgot(self, peer: Peer) -> None:
        """Wait for it no more, unless only a second address of it is gone."""
        if peer.hub_id and not self.is_peer(peer.hub_id):
            self._left.pop(peer.hub_id, None)
            self.holds.drop(peer.hub_id)

    def _look(self, message: Gossip, now: float) -> None:
        hub_id, instance = message.sender.hub_id, message.sender.instance
        if self.name in message.sections:
            self._left[hub_id] = instance
        elif self._left.get(hub_id, "") != instance:
            self._left.pop(hub_id, None)
            self.holds.take(None, hub_id, now)
