"""What is safe and what to pull. Pure rules over arrival numbers and ranges.

Each hub numbers the chunks it commits (`arrival`). A peer that asks for what came after arrival N has
everything up to N on its own disk, so N is its confirmation.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from shared.ranges import NOTHING, Ranges, of_spans

LogKey = tuple[str, str]

RUN_CHUNKS_MAX = 64  # A run becomes safe as a whole, so it must not grow for ever.


@dataclass(slots=True)
class _Run:
    key: LogKey
    first_seq: int
    last_seq: int
    last_arrival: int

    def extends(self, key: LogKey, seq: int) -> bool:
        grown = self.last_seq - self.first_seq + 1
        return self.key == key and seq == self.last_seq + 1 and grown < RUN_CHUNKS_MAX


@dataclass(slots=True)
class SafeLedger:
    """Knows which chunks of each log are on enough hubs.

    `peers` maps each known peer to the last arrival it confirmed. With `copies` wanted, a chunk is safe
    once `copies - 1` peers have confirmed it; a hub that knows no peer needs no confirmation.
    """

    copies: int
    peers: dict[str, int] = field(default_factory=dict)
    _unsafe: dict[LogKey, "deque[_Run]"] = field(default_factory=dict)

    def arrived(self, arrivals: Iterable[tuple[LogKey, int, int]]) -> None:
        """Note chunks that were just committed, in arrival order."""
        for key, seq, arrival in arrivals:
            of_log = self._unsafe.setdefault(key, deque())
            if of_log and of_log[-1].extends(key, seq):
                of_log[-1].last_seq, of_log[-1].last_arrival = seq, arrival
            else:
                of_log.append(_Run(key, seq, seq, arrival))
        self._forget_safe()

    def confirm(self, peer: str, arrival: int) -> bool:
        """A peer has everything up to `arrival`; returns whether more is safe than before.

        The number may go back: a peer that lost its disk starts again from zero.
        """
        before = self.safe_arrival
        self.peers[peer] = arrival
        self._forget_safe()
        return self.safe_arrival > before

    @property
    def safe_arrival(self) -> int:
        """Chunks up to this arrival are on enough hubs."""
        needed = min(self.copies - 1, len(self.peers))
        if needed <= 0:
            return 2**63 - 1
        return sorted(self.peers.values(), reverse=True)[needed - 1]

    def _forget_safe(self) -> None:
        safe_arrival = self.safe_arrival
        for key, runs in list(self._unsafe.items()):
            while runs and runs[0].last_arrival <= safe_arrival:
                runs.popleft()
            if not runs:
                del self._unsafe[key]

    def unsafe(self, key: LogKey) -> Ranges:
        """What of this log waits for its copies."""
        runs = self._unsafe.get(key)
        if not runs:
            return NOTHING
        return of_spans((run.first_seq, run.last_seq) for run in runs)


def missing(theirs: Mapping[LogKey, Ranges], mine: Mapping[LogKey, Ranges]) -> dict[LogKey, Ranges]:
    """What a peer has and we lack, by log."""
    lacking = {key: ranges - mine.get(key, NOTHING) for key, ranges in theirs.items()}
    return {key: ranges for key, ranges in lacking.items() if ranges}


def joined(one: Mapping[LogKey, Ranges], other: Mapping[LogKey, Ranges]) -> dict[LogKey, Ranges]:
    """What is in either of two vectors, in the order of the logs' names."""
    keys = one.keys() | other.keys()
    return {key: one.get(key, NOTHING) | other.get(key, NOTHING) for key in sorted(keys)}
