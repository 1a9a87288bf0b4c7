"""How pulling and sweeping one peer goes: what came, what went wrong, how much to ask for. Pure."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hub.lag import PeerLag
from hub.replicate import LogKey, joined
from shared.ranges import Ranges
from shared.records import KIB, MIB

PAGE_BYTES_MIN = 256 * KIB
PAGE_BYTES_INITIAL = 2 * MIB
QUICK_SECONDS = 1.0
SLOW_SECONDS = 5.0


@dataclass(slots=True)
class Standing:
    """Where we stand with one peer. The errors are what it does wrong now, empty when nothing."""

    lag: PeerLag = field(default_factory=PeerLag)
    error: str = ""
    sweep_error: str = ""
    faults: Counter[str] = field(default_factory=Counter)
    """How often it said what no sound hub says, by reason."""
    pages: int = 0
    chunks: int = 0
    stored_bytes: int = 0
    page_bytes: int = PAGE_BYTES_INITIAL
    empty_turns: int = 0
    saved: tuple[str, int] = ("", 0)
    saved_at: float = float("-inf")

    @property
    def trouble(self) -> str:
        """What people should know of this peer; empty when all is well."""
        return self.error or self.sweep_error

    def note_fault(self, reason: str) -> None:
        """It said what no sound hub says."""
        self.faults[reason] += 1

    def note_page(self, chunks: int, stored_bytes: int, delay_ms: int) -> None:
        """A page of the peer's chunks is on our disk; its oldest chunk was `delay_ms` old then."""
        self.pages += 1
        self.chunks += chunks
        self.stored_bytes += stored_bytes
        self.lag.delay_ms = delay_ms

    def note_pace(self, took_seconds: float) -> None:
        """Ask for larger pages on a quick way and for smaller ones on a slow way.

        Large pages cost less; but on a slow link a page must come before the patience ends.
        """
        if took_seconds < QUICK_SECONDS:
            self.page_bytes *= 2
        elif took_seconds > SLOW_SECONDS:
            self.page_bytes //= 2
        self.page_bytes = max(self.page_bytes, PAGE_BYTES_MIN)


@dataclass(slots=True)
class SweepCount:
    """What the sweeps of one peer have come to; times are monotonic seconds.

    `in_vain` is what the peer lists and did not help: it was gone when we asked, or it cannot be a
    part of its log here. It is left alone for a while.
    """

    sweeps: int = 0
    equal: int = 0
    postponed: int = 0
    failed: int = 0
    repaired: int = 0
    taken_over: int = 0
    """Numbers that count as dropped here since the peer dropped them and nobody holds them."""
    ended_at: float | None = None
    error: str = ""
    in_vain: dict[LogKey, Ranges] = field(default_factory=dict)

    def forgive(self) -> None:
        """Ask again for what did not come."""
        self.in_vain = {}

    def note_in_vain(self, lacking: dict[LogKey, Ranges]) -> None:
        """This was asked for and is lacking still."""
        self.in_vain = joined(self.in_vain, lacking)

    def note_taken_over(self, chunks: int, in_vain: dict[LogKey, Ranges]) -> None:
        """So many need not come any more; this still did not."""
        self.taken_over += chunks
        self.in_vain = in_vain


def describe_standing(standing: Standing, sweeps: SweepCount, now: float) -> dict[str, Any]:
    """How pulling from a peer goes, as RPC and pages show it; `now` is monotonic seconds."""
    ended_at = sweeps.ended_at
    return {
        "lag_seconds": round(standing.lag.seconds(now), 3),
        "lag_by_origin": dict(standing.lag.by_origin),
        "pulled_chunks": standing.chunks,
        "pulled_bytes": standing.stored_bytes,
        "delay_ms": standing.lag.delay_ms,
        "faults": dict(standing.faults),
        "sweeps": sweeps.sweeps,
        "sweeps_failed": sweeps.failed,
        "sweep_age_s": None if ended_at is None else round(now - ended_at, 1),
        "sweep_error": sweeps.error or None,
        "repaired_chunks": sweeps.repaired,
        "taken_over_chunks": sweeps.taken_over,
    }
