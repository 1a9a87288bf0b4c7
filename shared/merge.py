"""Node records and how two copies of one become one.

A record has three groups with three rules. *Facts* are written by the node: the higher
`(incarnation, number)` wins. *Observation* is what a hub saw: the higher `(incarnation, beat)` wins,
then last write wins by `(last_seen_ms, hub_id)`. *Intent* is written by people, per field: the higher
`(reissue, stamp)` wins. Beside them, `heard` keeps for each hub the last beat that reached it directly.

Each rule is the maximum of a total order, with the contents as the last word, so merging is
commutative, associative and idempotent, reads no clock, and gives equal bytes on all hubs.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

import msgspec
import orjson
from msgspec import Meta

from shared.stamp import Stamp

Count = Annotated[int, Meta(ge=0, le=2**53)]
"""A number of something, exact in every reader of JSON."""

UnixMs = Annotated[int, Meta(ge=0, le=253_402_300_799_999)]
"""A time that can be written as a date: up to the end of the year 9999."""

Reissue = Annotated[int, Meta(ge=0, le=2**31 - 1)]
"""How often a person had to repeat an order over a stamp that was ahead of its time."""

REMOVED = "removed"
DRAINING = "draining"
LABELS = "labels"


class Facts(msgspec.Struct, frozen=True):
    """Who and what the node is. `data` is open: fields of newer versions survive."""

    incarnation: Count
    number: Count
    data: dict[str, Any]


class Observation(msgspec.Struct, frozen=True):
    """One beat of the node as a hub received it, with load, buffer and VM summary in `data`."""

    incarnation: Count
    beat: Count
    last_seen_ms: UnixMs
    hub_id: str
    data: dict[str, Any]


class Intent(msgspec.Struct, frozen=True, omit_defaults=True):
    """One field that a person set, and when; a reissue outranks every stamp below it.

    Almost all intents have reissue 0, which is not written: their bytes are those of older versions.
    """

    value: Any
    stamp: Stamp
    reissue: Reissue = 0


class Heard(msgspec.Struct, frozen=True, order=True, array_like=True):
    """The last beat that reached one hub directly."""

    incarnation: Count
    beat: Count
    last_seen_ms: UnixMs


class NodeRecord(msgspec.Struct, frozen=True):
    """All that hubs share about one node."""

    node_id: str
    facts: Facts | None = None
    observation: Observation | None = None
    intent: dict[str, Intent] = {}
    heard: dict[str, Heard] = {}

    def intent_value(self, field: str) -> Any:
        """What people want of this field; None when nobody said."""
        held = self.intent.get(field)
        return held.value if held else None


_decoder = msgspec.json.Decoder(NodeRecord)


def to_bytes(record: NodeRecord) -> bytes:
    """The canonical bytes: equal records give equal bytes, whatever the order of their keys."""
    return orjson.dumps(msgspec.to_builtins(record), option=orjson.OPT_SORT_KEYS)


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
        _merge_fields(mine.heard, theirs.heard, lambda heard: heard),
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
    return max(mine, theirs, key=_canonical)


def _merge_fields(
    mine: Mapping[str, Value], theirs: Mapping[str, Value], order: Callable[[Value], Any]
) -> dict[str, Value]:
    merged: dict[str, Value] = {}
    for field in sorted(mine.keys() | theirs.keys()):
        winner = _latest(mine.get(field), theirs.get(field), order)
        if winner is not None:
            merged[field] = winner
    return merged


def _canonical(value: Any) -> bytes:
    return orjson.dumps(msgspec.to_builtins(value), option=orjson.OPT_SORT_KEYS)
