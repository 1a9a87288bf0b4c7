"""What an edge tells every hub at each beat, and what the hub answers."""

from typing import Annotated, Any

import msgspec
import orjson
from msgspec import Meta

from shared.conf_report import Report, Wanted
from shared.errors import BadInput
from shared.merge import Count
from shared.readers import NAME

JSON_LEVELS_SPARE = 40  # Records and answers carry what a beat says some levels deeper.

PULLING_HUBS_MAX = 64
"""More hubs than any cluster has; an edge offers to a few of them at a time."""

NodeId = Annotated[str, Meta(pattern=rf"\A{NAME.pattern}\Z")]


class Beat(msgspec.Struct, frozen=True):
    """One heartbeat. Facts travel with every beat: they are small, and a hub may be new.

    `pull` names the hubs for which data waits here that they are to fetch over their links: an edge
    that may not push tells them so. `wall_ms` is the edge's clock when it spoke, by which hubs
    estimate how wrong it is. `conf` says which settings from hubs it has.
    """

    node_id: NodeId
    incarnation: Count
    beat: Count
    epoch: Annotated[str, Meta(min_length=1, max_length=64)]
    facts_number: Count
    facts: dict[str, Any]
    load: dict[str, Any]
    buffer: dict[str, Any]
    vms: list[dict[str, Any]] = []
    vms_total: int = 0
    pull: Annotated[list[NodeId], Meta(max_length=PULLING_HUBS_MAX)] = []
    wall_ms: Count = 0
    conf: Report = Report()


class BeatReply(msgspec.Struct, frozen=True):
    """What a hub answers: when to come again, what it holds of this log, and which hubs there are.

    `proofs` and `credit_bytes_per_s` are those of shared.receipt.PushReply; `conf` recognises the
    settings that the edge should have.
    """

    hub_id: str
    interval_seconds: float
    have: list[list[int]]
    safe: list[list[int]]
    hubs: dict[str, str]
    proofs: list[tuple[int, str]] = []
    credit_bytes_per_s: float | None = None
    conf: Wanted | None = None


class _Buffer(msgspec.Struct):
    """What hubs reckon with in `buffer`; the rest is for people."""

    pending_chunks: Count = 0
    pending_records: Count = 0
    records: Count = 0
    oldest_age_s: float | None = None


class _Vm(msgspec.Struct):
    """What hubs find machines by in `vms`; the rest is for people."""

    id: str
    name: str


_beat_decoder = msgspec.json.Decoder(Beat)
_reply_decoder = msgspec.json.Decoder(BeatReply)


def write(value: Beat | BeatReply) -> bytes:
    """The beat or its reply as JSON."""
    return msgspec.json.encode(value)


def read_beat(body: bytes) -> Beat:
    """Read a beat from anybody; raises BadInput."""
    try:
        beat = _beat_decoder.decode(body)
        msgspec.convert(beat.buffer, _Buffer)
        msgspec.convert(beat.vms, list[_Vm])
        check_json([beat.facts, beat.load, beat.buffer, beat.vms])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"the heartbeat cannot be read: {error}") from error
    return beat


def check_json(value: Any) -> None:
    """Refuse what is read without trouble but could not be written again; raises BadInput.

    That is, integers beyond 64 bits, and nesting that comes near what the JSON writer allows.
    """
    for _ in range(JSON_LEVELS_SPARE):
        value = [value]
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise BadInput(f"this cannot be kept as JSON: {error}") from error


def read_beat_reply(body: bytes) -> BeatReply:
    """Read a reply; raises BadInput."""
    try:
        return _reply_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"the hub's answer to a heartbeat cannot be read: {error}") from error
