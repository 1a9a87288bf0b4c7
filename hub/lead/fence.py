"""Leave to act alone: a fence, whose number goes with every write that must not come too late."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from shared.errors import Refused


class Leadership(Protocol):
    """What a duty needs to know of the leadership of its hub."""

    @property
    def term(self) -> int: ...
    def is_leading(self, now: float) -> bool: ...


class LeaseProvider(Protocol):
    """Who gives leave to act alone; another engine, such as etcd, can take the place of ours."""

    def acquire(self, name: str) -> "Fence | None": ...
    def check(self, fence: "Fence") -> None: ...


@dataclass(frozen=True, slots=True)
class Fence:
    """Leave to act alone for `name`. Give `number` to hub.store.lead_table.guard with each write.

    Not `is_exclusive` with leader = static: then another island may act, too, and no number tells.
    """

    name: str
    number: int
    is_exclusive: bool


@dataclass(frozen=True, slots=True)
class LeaderLease:
    """Leave to act as long as this hub leads. A grown number means that it led before, and lost."""

    leadership: Leadership
    clock: Callable[[], float]
    is_exclusive: bool

    def acquire(self, name: str) -> Fence | None:
        """Leave to act for `name` now, None when this hub does not lead."""
        if not self.leadership.is_leading(self.clock()):
            return None
        return Fence(name, self.leadership.term, self.is_exclusive)

    def check(self, fence: Fence) -> None:
        """Raise Refused when this fence is over. A long duty asks before each step."""
        if not self.leadership.is_leading(self.clock()):
            raise Refused(f"this hub no longer leads, so it may not go on with {fence.name}")
        if fence.number != self.leadership.term:
            raise Refused(
                f"fence {fence.number} of {fence.name} is over: this hub lost the lead since"
            )
