"""Node records and how two copies of one become one.

A record has three groups with three rules. *Facts* are written by the node: the higher
`(incarnation, number)` wins. *Observation* is what a hub saw: the higher `(incarnation, beat)` wins,
then last write wins by `(last_seen_ms, hub_id)`. *Intent* is written by people, per field: the higher
`(reissue, stamp)` wins. Which hub heard which beat is in no record: see `hub.nodes.heard`.

Each rule is the maximum of a total order, with the contents as the last word, so merging is
commutative, associative and idempotent, reads no clock, and gives equal bytes on all hubs.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

import msgspec
import orjson
from msgspec import Meta
from msgspec.structs import force_setattr

from shared.stamp import Stamp

Count = Annotated[int, Meta(ge=0, le=2**53)]
"""A number of something, exact in every reader of JSON."""

UNIX_MS_MAX = 253_402_300_799_999
UnixMs = Annotated[int, Meta(ge=0, le=UNIX_MS_MAX)]
"""A time that can be written as a date: up to the end of the year 9999."""

Reissue = Annotated[int, Meta(ge=0, le=2**31 - 1)]
"""How often a person had to repeat an order over a stamp that was ahead of its time."""

REMOVED = "removed"
DRAINING = "draining"
LABELS = "labels"
ROLE = "role"
REGISTERED = "registered"


def pack(told: Any) -> bytes:
    """What a node told, as canonical JSON. Raises TypeError when it is no JSON object.

    Bytes are taken to be packed already: no JSON text becomes bytes when it is read.
    """
    if isinstance(told, bytes):
        return told
    if not isinstance(told, dict):
        raise TypeError(f"expected an object, and not {type(told).__name__}")
    written = orjson.dumps(told, option=orjson.OPT_SORT_KEYS)
    return bytes(memoryview(written))  # The writer leaves kilobytes of room behind what it wrote.


class Facts(msgspec.Struct, frozen=True, gc=False):
    """Who and what the node is. `data` is open: fields of newer versions survive.

    It is given as a dict and kept `packed`: as objects, 100,000 nodes would fill half a gigabyte.
    """

    incarnation: Count
    number: Count
    packed: Any = msgspec.field(name="data")

    def __post_init__(self) -> None:
        force_setattr(self, "packed", pack(self.packed))

    @property
    def data(self) -> dict[str, Any]:
        """What the node told, read anew at each call."""
        return _unpack(self.packed)


class Observation(msgspec.Struct, frozen=True, gc=False):
    """One beat of the node as a hub received it, with load, buffer and VM summary in `data`.

    That is given as a dict and kept `packed`, like that of facts.
    """

    incarnation: Count
    beat: Count
    last_seen_ms: UnixMs
    hub_id: str
    packed: Any = msgspec.field(name="data")

    def __post_init__(self) -> None:
        force_setattr(self, "packed", pack(self.packed))
        force_setattr(self, "hub_id", sys.intern(self.hub_id))

    @property
    def data(self) -> dict[str, Any]:
        """What the node told, read anew at each call."""
        return _unpack(self.packed)

    @property
    def buffer(self) -> Any:
        """What `data` says under that name, read without the rest; None when it says nothing."""
        return _some.decode(self.packed).buffer

    @property
    def vms(self) -> list[Any]:
        """The same of machines; empty when it says nothing."""
        told = _some.decode(self.packed).vms
        return told if isinstance(told, list) else []

    @property
    def run(self) -> str:
        """The same of the run of its agent; empty when it says nothing."""
        told = _run.decode(self.packed).run
        return told if isinstance(told, str) else ""


class _Some(msgspec.Struct, gc=False):
    buffer: Any = None
    vms: Any = None


class _Run(msgspec.Struct, gc=False):
    run: Any = None


def _unpack(packed: bytes) -> dict[str, Any]:
    told: dict[str, Any] = orjson.loads(packed)
    return told


_some = msgspec.json.Decoder(_Some)
_run = msgspec.json.Decoder(_Run)


class Intent(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One field that a person set, and when; a reissue outranks every stamp below it.

    Almost all intents have reissue 0, which is not written: their bytes are those of older versions.
    """

    value: Any
    stamp: Stamp
    reissue: Reissue = 0


_NO_INTENT: dict[str, Intent] = {}


class NodeRecord(msgspec.Struct, frozen=True, gc=False):
    """All that hubs share about one node."""

    node_id: str
    facts: Facts | None = None
    observation: Observation | None = None
    intent: dict[str, Intent] = {}

    def __post_init__(self) -> None:
        # Of 100,000 nodes each name is kept once, and so is the dict of all for which nobody wants
        # anything: no record is ever changed in place.
        force_setattr(self, "node_id", sys.intern(self.node_id))
        if not self.intent:
            force_setattr(self, "intent", _NO_INTENT)

    def intent_value(self, field: str) -> Any:
        """What people want of this field; None when nobody said."""
        held = self.intent.get(field)
        return held.value if held else None


_decoder = msgspec.json.Decoder(NodeRecord)


def to_bytes(record: NodeRecord) -> bytes:
    """The canonical bytes: equal records give equal bytes, whatever the order of their keys."""
    return canonical(record)


def canonical(value: Any) -> bytes:
    """A record, a part of one, or a list or dict of such, as canonical bytes. Raises TypeError for
    what cannot be written as JSON."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_SORT_KEYS)


def _plain(value: Any) -> Any:
    return _PLAIN[type(value)](value)


def _plain_record(record: NodeRecord) -> dict[str, Any]:
    return {
        "facts": record.facts,
        "intent": record.intent,
        "node_id": record.node_id,
        "observation": record.observation,
    }


def _plain_facts(facts: Facts) -> dict[str, Any]:
    return {
        "data": orjson.Fragment(facts.packed),
        "incarnation": facts.incarnation,
        "number": facts.number,
    }


def _plain_observation(seen: Observation) -> dict[str, Any]:
    return {
        "beat": seen.beat,
        "data": orjson.Fragment(seen.packed),
        "hub_id": seen.hub_id,
        "incarnation": seen.incarnation,
        "last_seen_ms": seen.last_seen_ms,
    }


_PLAIN: Mapping[type, Callable[[Any], Any]] = {
    NodeRecord: _plain_record,
    Facts: _plain_facts,
    Observation: _plain_observation,
    Intent: msgspec.to_builtins,
    Stamp: msgspec.to_builtins,
}


def from_bytes(stored: bytes) -> NodeRecord:
    """Read canonical bytes; raises msgspec.ValidationError or DecodeError."""
    return _decoder.decode(stored)


def merge(mine: NodeRecord, theirs: NodeRecord) -> NodeRecord:
    """The one record that both sides agree on."""
    if mine == theirs:
        return mine
    return NodeRecord(
        mine.node_id,
        _latest(mine.facts, theirs.facts, _facts_order),
        _latest(mine.observation, theirs.observation, _observation_order),
        _merge_fields(mine.intent, theirs.intent, intent_order),
    )


Value = TypeVar("Value")


def _facts_order(facts: Facts) -> Any:
    return facts.incarnation, facts.number


def _observation_order(seen: Observation) -> Any:
    return seen.incarnation, seen.beat, seen.last_seen_ms, seen.hub_id


def intent_order(intent: Intent) -> Any:
    """Of two intents for one field the one with the larger order wins."""
    return intent.reissue, intent.stamp


def _latest(
    mine: Value | None, theirs: Value | None, order: Callable[[Value], Any]
) -> Value | None:
    if mine is None or theirs is None:
        return mine if theirs is None else theirs
    mine_order, their_order = order(mine), order(theirs)
    if mine_order != their_order:
        return mine if mine_order > their_order else theirs
    # A restarted writer can reuse a number, so equal numbers may carry different contents.
    # Any rule would do, as long as every hub picks the same one: the larger bytes win.
    return max(mine, theirs, key=canonical)


def _merge_fields(
    mine: Mapping[str, Value], theirs: Mapping[str, Value], order: Callable[[Value], Any]
) -> dict[str, Value]:
    merged: dict[str, Value] = {}
    for field in sorted(mine.keys() | theirs.keys()):
        winner = _latest(mine.get(field), theirs.get(field), order)
        if winner is not None:
            merged[field] = winner
    return merged
