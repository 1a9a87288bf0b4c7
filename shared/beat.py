"""What an edge tells every hub at each beat, and what the hub answers."""

from typing import Any

import msgspec

from shared.errors import BadInput


class Beat(msgspec.Struct, frozen=True):
    """One heartbeat. Facts travel with every beat: they are small, and a hub may be new."""

    node_id: str
    incarnation: int
    beat: int
    epoch: str
    facts_number: int
    facts: dict[str, Any]
    load: dict[str, Any]
    buffer: dict[str, Any]
    vms: list[dict[str, Any]] = []
    vms_total: int = 0


class BeatReply(msgspec.Struct, frozen=True):
    """What a hub answers: when to come again, what it holds of this log, and which hubs there are."""

    hub_id: str
    interval_seconds: float
    have: list[list[int]]
    safe: list[list[int]]
    hubs: dict[str, str]


_beat_decoder = msgspec.json.Decoder(Beat)
_reply_decoder = msgspec.json.Decoder(BeatReply)


def write(value: Beat | BeatReply) -> bytes:
    """The beat or its reply as JSON."""
    return msgspec.json.encode(value)


def read_beat(body: bytes) -> Beat:
    """Read a beat from anybody; raises BadInput."""
    try:
        return _beat_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"the heartbeat cannot be read: {error}") from error


def read_beat_reply(body: bytes) -> BeatReply:
    """Read a reply; raises BadInput."""
    try:
        return _reply_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"the hub's answer to a heartbeat cannot be read: {error}") from error
