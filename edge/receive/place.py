"""Where a followed file stands, and which file that was: pure rules for rotation and truncation."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import msgspec

from edge.receive.lines import Cut

PRINT_BYTES_MAX = 1024
"""So much of its beginning tells one log file from the next, since lines carry times."""

PRINT_BYTES_SURE_MIN = 256
"""With fewer, a fingerprint may stop before the first date."""

ROTATED = re.compile(r"^[._-]\d[\d._:T-]*$")
"""What logrotate and its kin append to the name: .1, -20261121, .2026-11-21T03:00."""


class Place(msgspec.Struct, frozen=True):
    """The end of what has been read: saved in the same transaction as what was read.

    An inode number alone is no identity, since a new file often gets that of the one just deleted.
    So the SHA-256 of the first `print_bytes` bytes, all of them read already, goes with it.
    `piece`, `stage` and `inside_line` are those of the cut that ended here.
    """

    device: int
    inode: int
    offset: int
    print_bytes: int = 0
    print_sha256: str = ""
    piece: int = 0
    stage: str = ""
    inside_line: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file as it is found in the folder: its name, identity, and first PRINT_BYTES_MAX bytes."""

    name: str
    device: int
    inode: int
    size: int
    modified_ns: int
    head: bytes


class Verdict(Enum):
    """What to do at the end of a file."""

    WAIT = "wait"
    MOVE_ON = "move on"


def fingerprint(head: bytes) -> str:
    """The text that stands for the beginning of a file."""
    return hashlib.sha256(head).hexdigest()


def is_begun_anew(place: Place, size: int, head: bytes) -> bool:
    """Whether the open file was cut short, or cut short and written again, since it was read."""
    return size < place.offset or not _has_print(place, head)


def advance(place: Place, cut: Cut, head: bytes) -> Place:
    """The place after a cut, with a longer fingerprint while there is more to take."""
    offset = place.offset + cut.used_bytes
    print_bytes, held = place.print_bytes, place.print_sha256
    longer = min(offset, PRINT_BYTES_MAX)
    if longer > print_bytes and len(head) >= longer:
        print_bytes, held = longer, fingerprint(head[:longer])
    return Place(
        place.device,
        place.inode,
        offset,
        print_bytes,
        held,
        cut.piece,
        cut.stage,
        cut.inside_line,
    )


def judge_end(
    place: Place, at_path: tuple[int, int] | None, quiet_seconds: float, grace_seconds: float
) -> Verdict:
    """At its end, a file is left once another took its name and its writer had time to let go."""
    if at_path is None or at_path == (place.device, place.inode):
        return Verdict.WAIT
    return Verdict.MOVE_ON if quiet_seconds >= grace_seconds else Verdict.WAIT


def find_again(place: Place, found: Sequence[Candidate]) -> Candidate | None:
    """The file that this place was in, under whatever name, when it still holds what was read.

    A good fingerprint is enough, since device numbers change with a reboot and copies have new
    inodes; a short one ("start") may be that of every generation, so it needs the same inode too.
    """
    fits = [file for file in found if file.size >= place.offset and _has_print(place, file.head)]
    same = [file for file in fits if (file.device, file.inode) == (place.device, place.inode)]
    if same:
        return same[0]
    copies = fits if place.print_bytes >= PRINT_BYTES_SURE_MIN else []
    return max(copies, key=lambda file: file.size, default=None)


def next_generation(base: str, done: Candidate, found: Sequence[Candidate]) -> Candidate | None:
    """The oldest file after the one that is done: a rotated one not yet read, or the current."""
    others = [file for file in found if (file.device, file.inode) != (done.device, done.inode)]
    missed = [
        file
        for file in others
        if ROTATED.match(file.name.removeprefix(base))
        and file.modified_ns > done.modified_ns
        and file.head != done.head
    ]
    at_path = [file for file in others if file.name == base]
    return min(missed, key=lambda file: file.modified_ns, default=at_path[0] if at_path else None)


def _has_print(place: Place, head: bytes) -> bool:
    if not place.print_bytes:
        return True
    return len(head) >= place.print_bytes and (
        fingerprint(head[: place.print_bytes]) == place.print_sha256
    )
