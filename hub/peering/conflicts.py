"""What two hubs said of one node while they were apart, and which of them holds. Pure.

Told when two records become one after a split: who wins is decided by `shared.merge` alone, and this only
says what was decided, so that nobody's word is lost in silence.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import orjson

from hub.peering.islands import Islands
from shared.conf import Entry
from shared.conf import later as later_entry
from shared.merge import REMOVED, Facts, NodeRecord, Observation, merge
from shared.stamp import Stamp

VALUE_LENGTH_MAX = 120

UNNOTICED_MS = 10_000
"""Hubs can be apart for so long before one of them knows."""

LATER_STAMP = "later stamp"
LARGER_BYTES = "larger bytes"
LATER_LIFE = "removed or let back later"


class Written(Protocol):
    """What somebody wrote through a hub: a wish for a node, or a setting."""

    @property
    def value(self) -> Any: ...
    @property
    def stamp(self) -> Stamp: ...


class Side(msgspec.Struct, frozen=True, order=True):
    """One of two values: as JSON that may be cut, and which hub wrote it when."""

    value: str
    hub: str = ""
    at_ms: int = 0


class Conflict(msgspec.Struct, frozen=True, order=True):
    """Two values for one thing, of which one holds now, by a rule. A setting is of no node."""

    node_id: str
    field: str
    rule: str
    winner: Side
    loser: Side


@dataclass(frozen=True, slots=True)
class Between:
    """The split after which records are merged: who was with whom from which wall time on, in order."""

    moments: tuple[tuple[int, Islands], ...]

    def covers(self, intent: Written) -> bool:
        """Whether it was written after the split began, or while nobody had noticed it yet."""
        return intent.stamp.wall_ms >= self.moments[0][0] - UNNOTICED_MS

    def were_apart(self, one: Written, other: Written) -> bool:
        """Whether the hub that wrote later could not know what the earlier one wrote."""
        hubs = {one.stamp.hub_id, other.stamp.hub_id}
        first_ms, last_ms = sorted((one.stamp.wall_ms, other.stamp.wall_ms))
        meanwhile = self._in_force(first_ms, last_ms)
        return len(hubs) == 2 and not any(hubs <= set(island) for island in meanwhile)

    def _in_force(self, first_ms: int, last_ms: int) -> Iterator[tuple[str, ...]]:
        for number, (at_ms, islands) in enumerate(self.moments):
            until_ms = self.moments[number + 1][0] if number + 1 < len(self.moments) else None
            has_begun = number == 0 or at_ms <= last_ms
            if has_begun and (until_ms is None or until_ms > first_ms):
                yield from islands


def conflicts_of(mine: NodeRecord, theirs: NodeRecord, between: Between) -> list[Conflict]:
    """Where two records of one node contradict each other, the same from either side, in order.

    Intents of one field with other values, both written during the split by hubs that were apart; facts
    or observations of equal order with other contents, which no sound node or hub ever makes.
    """
    merged = merge(mine, theirs)
    found = [*_of_intents(mine, theirs, merged, between), *_of_contents(mine, theirs, merged)]
    return sorted(found)


def conflict_of_settings(mine: Entry, theirs: Entry, between: Between) -> Conflict | None:
    """The same of one setting of the cluster, the same from either side."""
    if not _clash(mine, theirs, between):
        return None
    winner, loser = (mine, theirs) if later_entry(mine, theirs) == mine else (theirs, mine)
    rule = LARGER_BYTES if mine.stamp == theirs.stamp else LATER_STAMP
    return Conflict("", f"{mine.key} for {mine.scope}", rule, _side(winner), _side(loser))


def _of_intents(
    mine: NodeRecord, theirs: NodeRecord, merged: NodeRecord, between: Between
) -> Iterator[Conflict]:
    for name in mine.intent.keys() & theirs.intent.keys():
        one, other = mine.intent[name], theirs.intent[name]
        if _clash(one, other, between):
            winner, loser = (one, other) if merged.intent[name] == one else (other, one)
            rule = LARGER_BYTES if one.stamp == other.stamp else LATER_STAMP
            yield Conflict(mine.node_id, name, rule, _side(winner), _side(loser))
    yield from _of_ended_lives(mine, theirs, between)
    yield from _of_ended_lives(theirs, mine, between)


def _clash(one: Written, other: Written, between: Between) -> bool:
    return (
        one.value != other.value
        and between.covers(one)
        and between.covers(other)
        and between.were_apart(one, other)
    )


def _of_ended_lives(ended: NodeRecord, kept: NodeRecord, between: Between) -> Iterator[Conflict]:
    """What one side wanted of a node, and the other side ended by removing it or letting it back."""
    end = kept.intent.get(REMOVED)
    if end is None or not between.covers(end):
        return
    for name, held in ended.intent.items():
        if name in (REMOVED, *kept.intent) or held.stamp >= end.stamp:
            continue
        if between.covers(held) and between.were_apart(held, end):
            yield Conflict(ended.node_id, name, LATER_LIFE, _side(end), _side(held))


def _of_contents(mine: NodeRecord, theirs: NodeRecord, merged: NodeRecord) -> Iterator[Conflict]:
    for name, one, other, kept in (
        ("facts", mine.facts, theirs.facts, merged.facts),
        ("observation", mine.observation, theirs.observation, merged.observation),
    ):
        if one is None or other is None or one == other or _order(one) != _order(other):
            continue
        winner, loser = (one, other) if kept == one else (other, one)
        yield Conflict(mine.node_id, name, LARGER_BYTES, _content(winner), _content(loser))


def _order(said: Facts | Observation) -> tuple[Any, ...]:
    if isinstance(said, Facts):
        return said.incarnation, said.number
    return said.incarnation, said.beat, said.last_seen_ms, said.hub_id


def _side(said: Written) -> Side:
    return Side(_text(said.value), said.stamp.hub_id, said.stamp.wall_ms)


def _content(said: Facts | Observation) -> Side:
    if isinstance(said, Facts):
        return Side(_text(said.data))
    return Side(_text(said.data), said.hub_id, said.last_seen_ms)


def _text(value: Any) -> str:
    written = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    return written if len(written) <= VALUE_LENGTH_MAX else written[: VALUE_LENGTH_MAX - 1] + "…"
