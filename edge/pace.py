"""How much to send to a hub at once, and how long to wait for its answer. Pure rules.

There is no time-out that fits a megabyte over a satellite and a kilobyte over a local network: it
grows with the size of the push and with what the way to this hub has been measured to carry.
"""

from dataclasses import dataclass

from shared.records import KIB, MIB

SECONDS_MIN = 10.0  # A hub whose disk is busy for a moment answers within this.
SECONDS_MAX = 3600.0
SLACK = 4.0  # A push may take four times as long as the measurements say.
DOUBLINGS_MAX = 12
PUSH_SECONDS_WANTED = 4.0  # Small enough that a lost push costs little and lanes take turns.
BYTES_MIN = 64 * KIB
BYTES_PER_S_UNKNOWN = 256 * KIB  # Until measured: a poor mobile link.
BYTES_LIMIT = 1024 * MIB  # More than any hub takes.
REGROWTH = 64  # A hub whose limit stays gets one push in some fifty that is too large for it.
WEIGHT = 0.3  # Of the newest measurement; a handful of pushes make up for a wrong start.


@dataclass(slots=True)
class Pace:
    """What is known of the way to one hub."""

    bytes_per_s: float = BYTES_PER_S_UNKNOWN
    bytes_max: int = BYTES_LIMIT  # Lowered when the hub says that a push is too large.
    silences: int = 0  # Pushes in a row that nobody answered in time.

    def seconds_max(self, size_bytes: int) -> float:
        """How long to wait for the answer to a push; twice as long after each silence."""
        seconds = SECONDS_MIN + SLACK * size_bytes / self.bytes_per_s
        return float(min(seconds * 2 ** min(self.silences, DOUBLINGS_MAX), SECONDS_MAX))

    def bytes_target(self, bytes_max: int) -> int:
        """How large the next push should be."""
        fitting = int(self.bytes_per_s * PUSH_SECONDS_WANTED) >> min(self.silences, DOUBLINGS_MAX)
        return min(max(fitting, BYTES_MIN), bytes_max, self.bytes_max)

    def answered(self, size_bytes: int, seconds: float) -> None:
        """Take in how long an answer took. Small pushes measure the hub and not the way to it."""
        self.silences = 0
        if size_bytes >= self.bytes_max // 2:  # Somebody may have raised the hub's limit since.
            self.bytes_max = min(self.bytes_max + self.bytes_max // REGROWTH + 1, BYTES_LIMIT)
        if size_bytes >= BYTES_MIN or size_bytes / max(seconds, 0.001) > self.bytes_per_s:
            measured = size_bytes / max(seconds, 0.001)
            self.bytes_per_s += WEIGHT * (measured - self.bytes_per_s)

    def timed_out(self, size_bytes: int, seconds: float) -> None:
        """Nobody answered in time: the way carries less than this, or there is none."""
        self.silences += 1
        if size_bytes >= BYTES_MIN:
            self.bytes_per_s = min(self.bytes_per_s, size_bytes / max(seconds, 0.001))

    def too_large(self, size_bytes: int) -> None:
        """The hub takes less than this at once."""
        self.bytes_max = max(size_bytes // 2, 1)
