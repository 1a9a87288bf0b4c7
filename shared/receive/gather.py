"""What goes together: small bodies of one kind into one chunk, and chunks into one commit. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from shared.records import KIB, MIB, Encoding, Gap, Part, Signal


@dataclass(frozen=True, slots=True)
class GatherLimits:
    """Bounds of what one commit takes in."""

    parts_max: int = 256  # Small bodies arrive by the hundred; one commit should take them all.
    bytes_max: int = 4 * MIB  # A commit that stays below ten milliseconds on an ordinary disk.
    chunk_raw_bytes_max: int = 1 * MIB  # About 250 KiB compressed: quick to push, quick to search.
    # When many send small bodies, a short wait makes one chunk and one sync of them. With the sync
    # itself, half of them are answered within 5 ms.
    linger_seconds: float = 0.004
    bytes_enough: int = 256 * KIB


@dataclass(frozen=True, slots=True)
class Joined:
    """Parts of one signal and encoding that become one chunk."""

    signal: Signal
    encoding: Encoding
    bodies: tuple[bytes, ...]
    records: int
    time_min_ns: int
    time_max_ns: int


@dataclass(frozen=True, slots=True)
class Packed:
    """A body that is ready to become the next chunk, and what its header will say of it."""

    signal: str
    encoding: str
    records: int
    raw_bytes: int
    body: bytes
    body_sha256: bytes
    time_min_ns: int
    time_max_ns: int
    created_ms: int
    gaps: tuple[Gap, ...] = ()
    predecessor: tuple[str, int] | None = None


def take_group(parts: Sequence[Part], limits: GatherLimits) -> int:
    """How many of the waiting parts, from the front, the next commit takes: at least one."""
    size_bytes = 0
    for index, part in enumerate(parts[: limits.parts_max]):
        size_bytes += len(part.body)
        if size_bytes > limits.bytes_max and index > 0:
            return index
    return min(len(parts), limits.parts_max)


def join_parts(parts: Iterable[Part], limits: GatherLimits) -> list[Joined]:
    """Join parts of the same kind, in arrival order, into chunks of bounded size."""
    open_groups: dict[tuple[Signal, Encoding], list[Part]] = {}
    open_bytes: dict[tuple[Signal, Encoding], int] = {}
    joined: list[Joined] = []
    for part in parts:
        if not part.body:  # It only carries a checkpoint.
            continue
        kind = (part.signal, part.encoding)
        if open_bytes.get(kind, 0) + len(part.body) > limits.chunk_raw_bytes_max:
            joined.extend(_close(open_groups.pop(kind, [])))
            open_bytes[kind] = 0
        open_groups.setdefault(kind, []).append(part)
        open_bytes[kind] = open_bytes.get(kind, 0) + len(part.body)
    for group in open_groups.values():
        joined.extend(_close(group))
    return joined


def _close(group: Sequence[Part]) -> Iterator[Joined]:
    if group:
        yield Joined(
            group[0].signal,
            group[0].encoding,
            tuple(part.body for part in group),
            sum(part.records for part in group),
            # Zero means "no record has a time": such a part must not drag the range to 1970.
            min((part.time_min_ns for part in group if part.time_min_ns), default=0),
            max(part.time_max_ns for part in group),
        )
