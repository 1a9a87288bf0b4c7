"""Which day files have served their time. Pure: sizes and the day come in as arguments.

Age and bytes are limits of one signal. Age is the operator's plain word and always holds. Bytes hold
back: they take the oldest file first, and stop at one whose chunks are not yet on enough hubs, since a
peer that is down for a day must not turn a limit on room into the loss of the only copy. Until it is
back the signal is over its limit, which `over_limit` tells; the disk itself is for `hub.disk_guard`.

A clock that runs ahead would make everything old at once, so the clocks of the peers are asked first.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from shared.signals import Signal


class Reason(StrEnum):
    """Why a day file goes."""

    AGE = "age"
    BYTES = "bytes"


@dataclass(frozen=True, slots=True)
class DayFile:
    """What one day file holds; `day` is a UTC day as in 2026-11-21, bytes are as stored (compressed)."""

    day: str
    signal: str
    stored_bytes: int
    chunks: int
    records: int
    newest_received_ms: int
    is_safe: bool = True
    """Whether all of its chunks are on enough hubs."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How long and how much of one signal is kept; 0 is no limit."""

    days: int = 0
    """Whole days before today."""
    stored_bytes: int = 0


KEEP_FOR_EVER = Policy()

AHEAD_MS_MAX = 3_600_000  # Time zones and summer time are not clocks: nobody sound is an hour off.
WAIT_FOR_PEERS_SECONDS = 60.0

POLICIES: Mapping[str, Policy] = {
    Signal.LOGS: Policy(14),  # Two weeks of a fault that shows on Mondays only.
    Signal.METRICS: Policy(90),  # A quarter, to compare with; they are small.
    Signal.TRACES: Policy(7),  # The bulk of the bytes, and read within hours.
    Signal.EVENTS: Policy(400),  # A year and a bit; they are few.
}
"""What a hub keeps unless it is told otherwise."""


def age_days(day: str, today: str) -> int:
    """How many days a day lies back; below 0 when it is yet to come. Raises ValueError."""
    return (date.fromisoformat(today) - date.fromisoformat(day)).days


def is_clock_sound(peer_offsets_ms: Iterable[float | None], up_seconds: float) -> bool:
    """Whether the day may be believed, given how far the clock of each peer is ahead of ours.

    None is a peer that has not answered: in the first minute it is waited for. Where only two hubs
    disagree, the one that is ahead holds back; being behind deletes nothing too early.
    """
    offsets_ms = list(peer_offsets_ms)
    heard = [offset for offset in offsets_ms if offset is not None]
    if not heard:
        return not offsets_ms or up_seconds >= WAIT_FOR_PEERS_SECONDS
    return statistics.median(heard) >= -AHEAD_MS_MAX


def expired(
    files: Iterable[DayFile], policies: Mapping[str, Policy], today: str
) -> list[tuple[DayFile, Reason]]:
    """The files that must go, oldest first, and why; never one of today or of a day to come.

    A signal without a policy is kept for ever.
    """
    found: list[tuple[DayFile, Reason]] = []
    for signal, of_signal in sorted(_by_signal(files).items()):
        policy = policies.get(signal, KEEP_FOR_EVER)
        aged = [file for file in of_signal if _is_aged(file, policy, today)]
        left = of_signal[len(aged) :]
        found += [(file, Reason.AGE) for file in aged]
        found += [(file, Reason.BYTES) for file in _beyond_bytes(left, policy, today)]
    return sorted(found, key=lambda pair: (pair[0].day, pair[0].signal))


def over_limit(files: Iterable[DayFile], policies: Mapping[str, Policy]) -> dict[str, int]:
    """By how many bytes each signal with a limit is beyond it; those within are left out."""
    found = {
        signal: _excess_bytes(of_signal, policies.get(signal, KEEP_FOR_EVER))
        for signal, of_signal in _by_signal(files).items()
    }
    return {signal: excess for signal, excess in found.items() if excess > 0}


def _by_signal(files: Iterable[DayFile]) -> dict[str, list[DayFile]]:
    """The files of each signal, oldest first."""
    grouped: dict[str, list[DayFile]] = {}
    for file in sorted(files, key=lambda file: file.day):
        grouped.setdefault(file.signal, []).append(file)
    return grouped


def _is_aged(file: DayFile, policy: Policy, today: str) -> bool:
    return 0 < policy.days < age_days(file.day, today)


def _beyond_bytes(files: Sequence[DayFile], policy: Policy, today: str) -> list[DayFile]:
    """The oldest of the files of one signal, no more than brings it within its limit."""
    gone: list[DayFile] = []
    excess = _excess_bytes(files, policy)
    for file in files:
        if excess <= 0 or not file.is_safe or age_days(file.day, today) <= 0:
            break
        gone.append(file)
        excess -= file.stored_bytes
    return gone


def _excess_bytes(files: Iterable[DayFile], policy: Policy) -> int:
    if policy.stored_bytes <= 0:
        return 0
    return sum(file.stored_bytes for file in files) - policy.stored_bytes
