"""What an edge tells every hub at each beat, and what the hub answers."""

import re
import sys
from typing import Annotated, Any

import msgspec
import orjson
from msgspec import Meta
from msgspec.structs import force_setattr

from shared.conf_report import Report, Wanted
from shared.errors import BadInput
from shared.merge import Count
from shared.orders import Ordered, QueuedOrder
from shared.readers import NAME

JSON_LEVELS_SPARE = 40  # Records and answers carry what a beat says some levels deeper.

PULLING_HUBS_MAX = 64
"""More hubs than any cluster has; an edge offers to a few of them at a time."""

NodeId = Annotated[str, Meta(pattern=rf"\A{NAME.pattern}\Z")]

RUN_BYTES = 8
Run = Annotated[str, Meta(pattern=r"\A([0-9a-f]{16})?\Z")]
"""A run of an agent: so many random bytes in hex."""

OUTRANK_HEADER = "x-headwater-outrank"
"""With it a hub asks a run that it takes for a copy to show by a higher incarnation that it is none."""

OUTRANK_MAX = 10_000
"""A copy was not started so many times more often; whoever asks for more is not believed."""

_run = re.compile(r"[0-9a-f]{16}")


class Beat(msgspec.Struct, frozen=True):
    """One heartbeat. Facts travel with every beat: they are small, and a hub may be new.

    `pull` names the hubs for which data waits here that they are to fetch over their links: an edge
    that may not push tells them so. `wall_ms` is the edge's clock when it spoke, by which hubs
    estimate how wrong it is. `conf` says which settings from hubs it has, and `uses` names the hub
    that it pushes to: its id, or its address as long as that is not known. `run` is drawn anew at each
    start of the agent, so that hubs tell two copies of it from one; older edges name none. `ordered` says
    what became of the orders for machines that hubs had kept for this edge.
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
    uses: Annotated[str, Meta(max_length=300)] = ""
    run: Run = ""
    ordered: Ordered = {}

    def __post_init__(self) -> None:
        # A hub keeps the name of a node in many tables: one text for all of them.
        force_setattr(self, "node_id", sys.intern(self.node_id))


class BeatReply(msgspec.Struct, frozen=True):
    """What a hub answers: when to come again, what it holds of this log, and which hubs there are.

    `proofs` and `credit_bytes_per_s` are those of shared.receipt.PushReply; `conf` recognises the
    settings that the edge should have. `prefer` names the hub that it should push to instead; empty
    for this one, None from a hub that gives no hints. `orders` are those for its machines that waited
    for it: each is done once, however many hubs hand it over.
    """

    hub_id: str
    interval_seconds: float
    have: list[list[int]]
    safe: list[list[int]]
    hubs: dict[str, str]
    proofs: list[tuple[int, str]] = []
    credit_bytes_per_s: float | None = None
    conf: Wanted | None = None
    prefer: str | None = None
    orders: list[QueuedOrder] = []


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


def run_number(run: str) -> int:
    """The run as one number; 0 for none, and for what is none."""
    return int(run, 16) if _run.fullmatch(run) else 0


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
        if beat.vms:
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
