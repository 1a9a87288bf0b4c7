"""Giving back the slots of nodes that are gone: those that stay move together, in their order. Pure."""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

Item = TypeVar("Item", int, float)

NOWHERE = -1


@dataclass(frozen=True, slots=True)
class SlotMove:
    """Which of the old slots stay; `kept` rises."""

    kept: Sequence[int]
    slots: int
    """How many there were."""
    _place: "array[int]" = field(init=False, repr=False)

    def __post_init__(self) -> None:
        place = array("l", [NOWHERE]) * self.slots
        for new, old in enumerate(self.kept):
            place[old] = new
        object.__setattr__(self, "_place", place)

    def of(self, slot: int) -> int:
        """Where a slot is now; NOWHERE for one that was given back."""
        return self._place[slot]

    def of_all(self, slots: "array[int]") -> "array[int]":
        """The same of many, without those that were given back."""
        places = map(self._place.__getitem__, slots)
        return array(slots.typecode, (place for place in places if place != NOWHERE))

    def column(self, held: "array[Item]") -> "array[Item]":
        """What was held by slot, by the new ones; it may reach less far than the slots did."""
        reached = self.kept[: bisect_left(self.kept, len(held))]
        return array(held.typecode, map(held.__getitem__, reached))
