"""Who may still enter a buffer that fills up, and who has to leave for it. Pure rules."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from shared.records import MIB, Signal

SHED_ORDER = (Signal.TRACES, Signal.LOGS, Signal.METRICS, Signal.EVENTS)
"""What is given up first. A signal never pushes out one that comes after it."""

SHED_LOT = 0.01
"""The least share of the quota that is given up at once, so that gap records stay few."""


class Policy(StrEnum):
    """What a full buffer does."""

    REJECT = "reject"  # The source is told to come again: nothing that was kept is given up.
    SHED = "shed"  # The oldest of the least important goes, and a gap record says so.


def _events_floor() -> dict[Signal, float]:
    # An alert is small, and the last thing to be turned away because a log file was loud.
    return {Signal.EVENTS: 0.02}


@dataclass(frozen=True, slots=True)
class Quota:
    """How much may be in the buffer. Floors and ceilings are shares of `bytes_max`, by signal."""

    bytes_max: int = 500 * MIB
    policy: Policy = Policy.REJECT
    floors: Mapping[Signal, float] = field(default_factory=_events_floor)
    ceilings: Mapping[Signal, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if sum(self.floors.values()) > 1:
            raise ValueError("the floors of all signals together are more than the whole buffer")

    @property
    def easy_bytes(self) -> int:
        """Up to here anybody may enter, and nobody has to look closer."""
        reserved = sum(self.floor_bytes(signal) for signal in self.floors)
        return 0 if self.ceilings else self.bytes_max - reserved

    def floor_bytes(self, signal: Signal) -> int:
        """What is kept free for a signal, however full the rest is."""
        return int(self.floors.get(signal, 0.0) * self.bytes_max)

    def ceiling_bytes(self, signal: Signal) -> int:
        """What one signal may take at most."""
        return int(self.ceilings.get(signal, 1.0) * self.bytes_max)


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether data may enter, what must be shed for it (bytes by signal), or why it may not."""

    reason: str = ""
    shed: tuple[tuple[Signal, int], ...] = ()

    @property
    def admitted(self) -> bool:
        """Whether the data may enter."""
        return not self.reason


def admit(used: Mapping[Signal, int], signal: Signal, coming_bytes: int, quota: Quota) -> Admission:
    """Judge `coming_bytes` of a signal, given the bytes that are in the buffer by signal."""
    over_ceiling = used.get(signal, 0) + coming_bytes - quota.ceiling_bytes(signal)
    over_quota = coming_bytes - _room_bytes(used, signal, quota)
    if over_ceiling <= 0 and over_quota <= 0:
        return Admission()
    if quota.policy is Policy.REJECT:
        return Admission(_why(signal, over_ceiling, quota))
    shed = _victims(used, signal, over_ceiling, over_quota, quota)
    return Admission(shed=shed) if shed else Admission(_why(signal, over_ceiling, quota))


def _room_bytes(used: Mapping[Signal, int], signal: Signal, quota: Quota) -> int:
    """What is free for a signal: what others have a right to is not."""
    reserved = sum(
        max(0, quota.floor_bytes(other) - used.get(other, 0)) for other in Signal if other != signal
    )
    return quota.bytes_max - sum(used.values()) - reserved


def _why(signal: Signal, over_ceiling: int, quota: Quota) -> str:
    if over_ceiling > 0:
        return f"{signal} are at their limit of {quota.ceiling_bytes(signal)} bytes in the buffer"
    return f"the buffer is at its limit of {quota.bytes_max} bytes"


def _victims(
    used: Mapping[Signal, int], signal: Signal, over_ceiling: int, over_quota: int, quota: Quota
) -> tuple[tuple[Signal, int], ...]:
    lot = int(SHED_LOT * quota.bytes_max)
    of_own = min(max(over_ceiling, 0), used.get(signal, 0))
    if over_ceiling > of_own:
        return ()
    needed = over_quota - of_own
    shed = {signal: max(of_own, lot)} if of_own else {}
    for other in SHED_ORDER[: SHED_ORDER.index(signal) + 1]:
        spare = used.get(other, 0) - shed.get(other, 0)
        if other != signal:  # A floor protects from others, not from what is newer of one's own.
            spare -= quota.floor_bytes(other)
        if needed <= 0 or spare <= 0:
            continue
        taken = min(spare, max(needed, lot))
        shed[other] = shed.get(other, 0) + taken
        needed -= taken
    return tuple(shed.items()) if needed <= 0 else ()
