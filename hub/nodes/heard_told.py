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
"""Numbers of earlier incarnations that are borne before all nodes are numbered anew."""


@dataclass(slots=True)
class _Place:
    """How far one peer is, by its own word."""

    names: int = 0
    through: int = 0


@dataclass(slots=True)
class HeardTold:
    """The moves of this hub's nodes. `numbering` is a text that no other run of any hub uses."""

    numbering: str
    run: int = 0
    _names: list[str] = field(default_factory=list)
    _number: dict[str, int] = field(default_factory=dict)
    _incarnation: "array[int]" = field(default_factory=lambda: array("Q"))
    _base: "array[int]" = field(default_factory=lambda: array("Q"))
    _beat: "array[int]" = field(default_factory=lambda: array("Q"))
    _moved_at: "array[float]" = field(default_factory=lambda: array("d"))
    _change: "array[int]" = field(default_factory=lambda: array("Q"))
    _log_change: "array[int]" = field(default_factory=lambda: array("Q"))
    _log_number: "array[int]" = field(default_factory=lambda: array("L"))
    _changes: int = 0
    _places: dict[str, _Place] = field(default_factory=dict)

    def moved(self, node_id: str, incarnation: int, beat: int, now: float) -> None:
        """Note that a node's beat moved here just now; older beats are no news."""
        number = self._number.get(node_id)
        if number is None or self._incarnation[number] != incarnation:
            number = self._renumber(node_id, number, incarnation, beat)
            if number is None:
                return
        elif beat <= self._beat[number]:
            return
        self._changes += 1
        self._beat[number], self._moved_at[number] = beat, now
        self._change[number] = self._changes
        self._log_change.append(self._changes)
        self._log_number.append(number)
        if len(self._log_number) > 2 * len(self._names) + BEATS_MAX:
            self._compact()

    def _renumber(self, node_id: str, old: int | None, incarnation: int, beat: int) -> int | None:
        """A number for a new life of a node: its base is another, so its number is too."""
        if old is not None and incarnation < self._incarnation[old]:
            return None
        if len(self._names) > 2 * len(self._number) + RETIRED_SPARE:
            self._begin_anew()
        number = len(self._names)
        self._names.append(node_id)
        self._number[node_id] = number
        self._incarnation.append(incarnation)
        self._base.append(beat)
        self._beat.append(beat)
        self._moved_at.append(0.0)
        self._change.append(0)
        return number

    def _begin_anew(self) -> None:
        """Number the nodes from 0 again, without those that live no more; peers start over."""
        kept = sorted(self._number.values(), key=lambda number: self._change[number])
        self._names = [self._names[number] for number in kept]
        self._number = {node_id: number for number, node_id in enumerate(self._names)}
        self._incarnation = array("Q", (self._incarnation[number] for number in kept))
        self._base = array("Q", (self._base[number] for number in kept))
        self._beat = array("Q", (self._beat[number] for number in kept))
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

    def section(self, peer: str, interval_seconds: float, now: float) -> HeardSection:
        """What `peer` has not confirmed yet: oldest moves first, bounded, at least names first."""
        place = self._places.setdefault(peer, _Place())
        first, known = place.names, min(place.names + NAMES_MAX, len(self._names))
        numbers, through = self._moves(place.through, known)
        beat, base, moved_at, now_ds = self._beat, self._base, self._moved_at, now * 10
        return HeardSection(
            f"{self.numbering}.{self.run}",
            max(1, min(round(interval_seconds * 10), INTERVAL_DS_MAX)),
            through,
            first,
            [(self._names[n], self._incarnation[n], base[n]) for n in range(first, known)],
            [b - a for a, b in zip([0, *numbers], numbers, strict=False)],
            [beat[n] - base[n] for n in numbers],
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
            place.names = place.through = 0
            return
        place.names = min(reply.names, len(self._names))
        place.through = min(reply.through, self._changes)

    def dropped(self, peer: str) -> None:
        """Forget a peer that is configured no more."""
        self._places.pop(peer, None)


def _clip(age_ds: int) -> int:
    return 0 if age_ds < 0 else min(AGE_DS_MAX, age_ds)
