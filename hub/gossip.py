"""What hubs say to each other about themselves, each second. Values and rules, no network.

What they say about nodes has messages of its own: see hub.peering.exchange_wire.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from hub.peering.refusals import OtherVersion
from shared.errors import BadInput
from shared.merge import UnixMs
from shared.readers import NAME

VERSION = 3
"""Of what hubs say to each other. New fields leave it as it is: older hubs pass them over."""

SECTIONS_MAX = 32
HUBS_MAX = 64
"""More hubs than any cluster has."""

HubId = Annotated[str, Meta(pattern=rf"\A{NAME.pattern}\Z")]
Url = Annotated[str, Meta(max_length=2048)]
Word = Annotated[str, Meta(max_length=128)]


class HubRecord(msgspec.Struct, frozen=True):
    """A hub as it describes itself."""

    hub_id: HubId
    url: Url
    version: Word
    instance: Word
    started_ms: UnixMs
    nodes: int = 0
    links: int = 0
    chunks: int = 0
    records: int = 0
    stored_bytes: int = 0
    head_arrival: int = 0


class Gossip(msgspec.Struct, frozen=True):
    """One side of an exchange: a hub, and the addresses of the hubs that it knows.

    `wall_ms` is the sender's clock when it wrote this; an answer also says in `received_ms` when the
    question came. `sections` hold what parts of the sender tell their like, as JSON.
    """

    sender: HubRecord
    peers: Annotated[dict[HubId, Url], Meta(max_length=HUBS_MAX)]
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
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"the gossip cannot be read: {error}") from error
    if gossip.version != VERSION:
        raise OtherVersion(gossip.sender.hub_id, gossip.version, VERSION)
    return gossip
