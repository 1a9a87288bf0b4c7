"""What hubs say to each other about nodes and about themselves. Values and rules, no network."""

from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from hub.registry import Registry
from shared.beat import check_json
from shared.errors import BadInput
from shared.merge import NodeRecord, UnixMs

VERSION = 1
"""Of what hubs say to each other. New fields leave it as it is: older hubs pass them over."""

PAGE_RECORDS = 1000  # A page is decoded and merged in a few milliseconds.
SECTIONS_MAX = 32


class HubRecord(msgspec.Struct, frozen=True):
    """A hub as it describes itself."""

    hub_id: str
    url: str
    version: str
    instance: str
    started_ms: UnixMs
    nodes: int = 0
    links: int = 0
    chunks: int = 0
    records: int = 0
    stored_bytes: int = 0
    head_arrival: int = 0


class Gossip(msgspec.Struct, frozen=True):
    """One side of an exchange. `instance` names the life of the sender's change numbers; `since` is
    where the sender stands in the receiver's, and `through` where `records` reach in the sender's.

    `wall_ms` is the sender's clock when it wrote this; an answer also says in `received_ms` when the
    question came. `sections` hold what parts of the sender tell their like, as JSON.
    """

    sender: HubRecord
    since_instance: str
    since: int
    through: int
    records: list[NodeRecord]
    peers: dict[str, str]
    wall_ms: int
    version: int = VERSION
    received_ms: UnixMs = 0
    sections: Annotated[dict[str, Raw], Meta(max_length=SECTIONS_MAX)] = {}


_decoder = msgspec.json.Decoder(Gossip)


def write(gossip: Gossip) -> bytes:
    """The exchange as JSON."""
    return msgspec.json.encode(gossip)


def read(body: bytes) -> Gossip:
    """Read an exchange; raises BadInput."""
    try:
        gossip = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"the gossip cannot be read: {error}") from error
    if gossip.version != VERSION:
        raise BadInput(
            f"{gossip.sender.hub_id} speaks version {gossip.version} of the talk between hubs, "
            f"and this hub speaks {VERSION}: run the same release on both"
        )
    if len(gossip.records) > PAGE_RECORDS:
        raise BadInput(f"gossip holds at most {PAGE_RECORDS} records, not {len(gossip.records)}")
    check_json(msgspec.to_builtins(gossip.records))
    return gossip


@dataclass(slots=True)
class Exchange:
    """Where two hubs stand with each other's changes."""

    instance: str = ""
    heard_through: int = 0
    told_through: int = 0

    def meet(self, instance: str) -> None:
        """Begin anew with a peer that has restarted: its numbers, and its memory of ours, are new."""
        if instance != self.instance:
            self.instance, self.heard_through, self.told_through = instance, 0, 0

    def page_for_peer(self, registry: Registry) -> tuple[list[NodeRecord], int]:
        """What the peer has not been told, oldest first."""
        return registry.changed_since(self.told_through, PAGE_RECORDS)

    def told(self, through: int) -> None:
        """The peer has answered, so it has merged everything up to here."""
        self.told_through = max(self.told_through, through)

    def heard(self, through: int) -> None:
        """We have merged everything of the peer up to here."""
        self.heard_through = max(self.heard_through, through)
