"""A timer wheel: which slots are to be looked at when, an eighth of a second precise."""

from array import array
from dataclasses import dataclass, field
from math import ceil

from hub.nodes.slot_move import SlotMove

TURNS_PER_SECOND = 8
_NONE = 0


@dataclass(slots=True)
class Wheel:
    """One timer per slot; setting it again moves it. Times are monotonic seconds."""

    began_at: float
    _buckets: "dict[int, array[int]]" = field(default_factory=dict)
    _armed: "array[int]" = field(default_factory=lambda: array("Q"))
    _turned: int = 0

    def reach(self, slots: int) -> None:
        """Make room for so many slots, without timers."""
        missing = slots - len(self._armed)
        if missing > 0:
            self._armed.extend([_NONE] * missing)

    def _turn(self, at: float) -> int:
        return ceil((at - self.began_at) * TURNS_PER_SECOND)

    def set(self, slot: int, due: float) -> None:
        """Look at the slot at the first turn that is not before `due`, and at no other."""
        turn = max(self._turn(due), self._turned + 1)
        if self._armed[slot] == turn:
            return
        self._armed[slot] = turn
        bucket = self._buckets.get(turn)
        if bucket is None:
            bucket = self._buckets[turn] = array("L")
        bucket.append(slot)

    def set_before(self, slot: int, due: float) -> None:
        """Look at the slot by `due` at the latest; an earlier timer stays as it is."""
        armed = self._armed[slot]
        if armed == _NONE or armed > max(self._turn(due), self._turned + 1):
            self.set(slot, due)

    def clear(self, slot: int) -> None:
        """Look at the slot no more."""
        self._armed[slot] = _NONE

    def follow(self, move: SlotMove) -> None:
        """Slots have moved."""
        for turn, bucket in self._buckets.items():
            armed = array("L", (slot for slot in bucket if self._armed[slot] == turn))
            self._buckets[turn] = move.of_all(armed)
        self._armed = move.column(self._armed)

    def due(self, now: float, slots_max: int) -> list[int]:
        """The slots whose time has come, at most so many; the rest comes with the next call."""
        reached = int((now - self.began_at) * TURNS_PER_SECOND)
        due: list[int] = []
        while self._turned < reached:
            turn = self._turned + 1
            bucket = self._buckets.pop(turn, None)
            if bucket is not None:
                room = slots_max - len(due)
                for slot in bucket[:room]:
                    if self._armed[slot] == turn:
                        self._armed[slot] = _NONE
                        due.append(slot)
                if len(bucket) > room:
                    self._buckets[turn] = bucket[room:]
                    break
            self._turned = turn
        return due
