"""What goes together: neighbouring chunks into one push. Pure rules."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.ranges import Ranges
from shared.records import KIB, MIB


@dataclass(frozen=True, slots=True)
class PushLimits:
    """Bounds of one push."""

    # A request costs the client 0.6 ms whatever its size, so pushes are large where there is plenty.
    bytes_target: int = 1 * MIB
    chunks_max: int = 1024
    linger_seconds: float = 0.05  # Long enough to gather under load, too short to notice when idle.
    bytes_before_push: int = 512 * KIB  # This much is worth a request without waiting for more.
    alert_bytes_max: int = 64 * KIB  # On its way in a moment, over a poor line too.
    probe_bytes_max: int = 128 * KIB  # To a hub that may not answer: little is lost with it.
    in_flight_max: int = 2  # Drains 1.4 times as fast as one; three are no faster than two.
    batches_max: int = 8  # Open at once, those that wait for another attempt included.
    refusals_max: int = 3  # So many hubs may be asked before a chunk is given up.
    refused_max: int = 256  # Chunks that wait for a second opinion at once.


def wanted_from(buffered: Ranges, have: Ranges, after: int = 0) -> int | None:
    """The first buffered seq beyond `after` that a hub lacks; None when it has everything."""
    missing = buffered - have
    for first, last in missing.spans:
        if last > after:
            return max(first, after + 1)
    return None


def take_push(stored_bytes: Sequence[int], limits: PushLimits) -> int:
    """How many chunks of the given sizes, from the front, make one push: at least one."""
    total = 0
    for index, size in enumerate(stored_bytes[: limits.chunks_max]):
        total += size
        if total > limits.bytes_target and index > 0:
            return index
    return min(len(stored_bytes), limits.chunks_max)
