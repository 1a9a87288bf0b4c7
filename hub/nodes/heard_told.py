"""What a hub tells its peers of the beats that it heard: the sender's side of hub.nodes.heard_wire.

A log of moves is kept once for all peers; each peer has a place in it that only its own answer moves.
A lost message or answer therefore costs a repetition and never a beat. Rules only: time comes in.
"""

from array import array
from bisect import bisect_right
from dataclasses import dataclass, field

from hub.nodes.heard_wire import (
    AGE_DS_MAX,
    BEATS_MAX,
    INTERVAL_DS_MAX,
    NAMES_MAX,
    HeardReply,
    HeardSection,
)

RETIRED_SPARE = 1024
"""Numbers of removed nodes that are borne before all nodes are numbered anew."""

PATIENCE_SECONDS = 0.8
"""How long an answer may be under way before the same is told again. Less than the second between two
messages to a hub, so that what was lost is in the next one; our answers to its own come in between."""


@dataclass(slots=True)
class _Place:
    """How far one peer is, by its own word, and what it was told since."""

    names: int = 0
    through: int = 0
    told_names: int = 0
    told_through: int = 0
    told_at: float = float("-inf")

    def awaits(self, now: float) -> bool:
        """Whether the answer to what was told last may come yet."""
        return now - self.told_at < PATIENCE_SECONDS

    def told(self, names: int, through: int, now: float) -> None:
        """Note what goes out."""
        if (names, through) != (self.names, self.through):
            self.told_names, self.told_through, self.told_at = names, through, now

    def confirmed(self, names: int, through: int) -> None:
        """Note an answer; one that was written before our last word came leaves us waiting."""
        is_behind = names < self.names or through < self.through  # It lost what it knew.
        self.names, self.through = names, through
        if is_behind or (names, through) == (self.told_names, self.told_through):
            self.told_at = float("-inf")


@dataclass(slots=True)
class HeardTold:
    """The moves of this hub's nodes. `numbering` is a text that no other run of any hub uses."""

    numbering: str
    run: int = 0
    _names: list[str] = field(default_factory=list)
    _number: dict[str, int] = field(default_factory=dict)
    _moved_at: "array[float]" = field(default_factory=lambda: array("d"))
    _change: "array[int]" = field(default_factory=lambda: array("Q"))
    _log_change: "array[int]" = field(default_factory=lambda: array("Q"))
    _log_number: "array[int]" = field(default_factory=lambda: array("L"))
    _changes: int = 0
    _places: dict[str, _Place] = field(default_factory=dict)

    def moved(self, node_id: str, now: float) -> None:
        """Note that a node's beat moved here just now. Only this hub's own ear knows what is news."""
        number = self._number.get(node_id)
        if number is None:
            number = self._new_number(node_id)
        self._changes += 1
        self._moved_at[number], self._change[number] = now, self._changes
        self._log_change.append(self._changes)
        self._log_number.append(number)
        if len(self._log_number) > 2 * len(self._names) + BEATS_MAX:
            self._compact()

    def _new_number(self, node_id: str) -> int:
        if len(self._names) > 2 * len(self._number) + RETIRED_SPARE:
            self._begin_anew()
        number = self._number[node_id] = len(self._names)
        self._names.append(node_id)
        self._moved_at.append(0.0)
        self._change.append(0)
        return number

    def _begin_anew(self) -> None:
        """Number the nodes from 0 again, without those that live no more; peers start over."""
        kept = sorted(self._number.values(), key=lambda number: self._change[number])
        self._names = [self._names[number] for number in kept]
        self._number = {node_id: number for number, node_id in enumerate(self._names)}
        self._moved_at = array("d", (self._moved_at[number] for number in kept))
        self._change = array("Q", (self._change[number] for number in kept))
        self._log_number = array("L", range(len(kept)))
        self._log_change = array("Q", self._change)
        self._places.clear()
        self.run += 1

    def _compact(self) -> None:
        """Drop from the log what was overtaken by a later move of the same node."""
        rows = zip(self._log_number, self._log_change, strict=True)
        kept = [(number, change) for number, change in rows if self._change[number] == change]
        self._log_number = array("L", (number for number, _ in kept))
        self._log_change = array("Q", (change for _, change in kept))

    def forget(self, node_id: str) -> None:
        """Tell no more of a node that was removed; its number is given to nobody else."""
        self._number.pop(node_id, None)

    def section(self, peer: str, interval_seconds: float, now: float) -> HeardSection | None:
        """What `peer` has not confirmed yet: oldest moves first, bounded, at least names first.

        None while its answer to what it was told last may be under way: nothing new is no news of
        ours then, and must not be taken for our word that we hear nobody else.
        """
        place = self._places.setdefault(peer, _Place())
        if place.awaits(now):
            return None
        first, known = place.names, min(place.names + NAMES_MAX, len(self._names))
        numbers, through = self._moves(place.through, known)
        place.told(known, through, now)
        moved_at, now_ds = self._moved_at, now * 10 + 0.5
        return HeardSection(
            f"{self.numbering}.{self.run}",
            max(1, min(round(interval_seconds * 10), INTERVAL_DS_MAX)),
            through,
            first,
            self._names[first:known],
            [b - a for a, b in zip([0, *numbers], numbers, strict=False)],
            [_clip(int(now_ds - moved_at[n] * 10)) for n in numbers],
        )

    def _moves(self, after: int, known: int) -> tuple[list[int], int]:
        """The numbers below `known` that moved after a change, sorted, and the change they reach."""
        start = bisect_right(self._log_change, after)
        stop = min(start + BEATS_MAX, len(self._log_number))
        if stop == start:
            return [], after
        change = self._change
        rows = zip(self._log_number[start:stop], self._log_change[start:stop], strict=True)
        told = [(number, at) for number, at in rows if change[number] == at]
        through = self._log_change[stop - 1]
        unknown = min((at for number, at in told if number >= known), default=through + 1)
        return sorted(number for number, at in told if at < unknown), min(through, unknown - 1)

    def confirmed(self, peer: str, reply: HeardReply) -> None:
        """Take a peer's answer: its next section begins there. Whatever it says, nothing is lost."""
        place = self._places.setdefault(peer, _Place())
        if reply.numbering != f"{self.numbering}.{self.run}":
            self._places[peer] = _Place()
            return
        place.confirmed(min(reply.names, len(self._names)), min(reply.through, self._changes))

    def dropped(self, peer: str) -> None:
        """Forget a peer that is configured no more."""
        self._places.pop(peer, None)


def _clip(age_ds: int) -> int:
    return 0 if age_ds < 0 else min(AGE_DS_MAX, age_ds)
