"""One followed file: reads it block by block, through rotation, truncation, absence and restarts.

Blocking and without a clock of its own: the caller runs it off the event loop and tells the time.
"""

import logging
import os
import stat
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge.receive.lines import cut_lines
from edge.receive.log_wire import lines_part
from edge.receive.place import (
    PRINT_BYTES_MAX,
    Candidate,
    Place,
    Verdict,
    advance,
    find_again,
    is_begun_anew,
    judge_end,
    next_generation,
)
from shared.otlp_make import Scalar, resource_of
from shared.records import KIB, Part

log = logging.getLogger(__name__)

SCOPE = "headwater.tail"

CANDIDATES_MAX = 32
"""Old generations looked at when the file is lost from sight: the newest ones."""


@dataclass(frozen=True, slots=True)
class FollowLimits:
    """How a file is followed."""

    block_bytes: int = 512 * KIB  # With its framing still well below a chunk of 1 MiB.
    line_bytes_max: int = 128 * KIB  # Longer lines are dumps, not messages.
    partial_seconds_max: float = 5.0  # A writer that pauses within a line longer has stopped.
    rotate_grace_seconds: float = 2.0  # Writers keep the old file open until told to reopen.
    poll_seconds: float = 0.25


@dataclass(frozen=True, slots=True)
class Block:
    """Some lines, and the place after them."""

    part: Part
    after: Place


class Follower:
    """Gives the lines of a growing file once each: `next_block`, keep it, `advance`."""

    def __init__(
        self,
        path: Path,
        place: Place | None,
        resource: Mapping[str, Scalar],
        limits: FollowLimits,
    ) -> None:
        self._path = path
        self._place = place
        self._resource = resource_of(resource)
        self._limits = limits
        self._fd: int | None = None
        self._size = -1
        self._grew_at = 0.0
        self._complaint = ""
        self._lock = threading.Lock()  # A cancelled caller may close while a read still runs.

    def next_block(self, now: float, observed_ns: int) -> Block | None:
        """The next lines, the same again until `advance`; None when there is nothing to do now."""
        with self._lock:
            try:
                if self._fd is None and not self._find():
                    return None
                return self._read_on(now, observed_ns)
            except OSError as error:
                self._complain(f"cannot follow {self._path}: {error.strerror or error}")
                self._let_go()
                return None

    def advance(self, block: Block) -> None:
        """The block is kept: go on after it."""
        self._place = block.after

    def close(self) -> None:
        """Let go of the file; following may go on later."""
        with self._lock:
            self._let_go()

    def _read_on(self, now: float, observed_ns: int) -> Block | None:
        here = self._look()
        place = self._place or Place(here.device, here.inode, 0)
        if is_begun_anew(place, here.size, here.head):
            self._begin_anew(place, here)
            return None
        block = os.pread(self._open_fd, self._limits.block_bytes, place.offset)
        at_end = place.offset + len(block) >= here.size
        quiet_seconds = self._quiet_seconds(here.size, now)
        leaving = at_end and self._is_left(place, quiet_seconds)
        flush = at_end and (leaving or quiet_seconds >= self._limits.partial_seconds_max)
        cut = cut_lines(block, self._limits.line_bytes_max, piece=place.piece, flush=flush)
        after = advance(place, cut.used_bytes, cut.piece, here.head)
        if cut.lines:
            return Block(lines_part(cut, observed_ns, self._resource, SCOPE), after)
        self._place = after
        if leaving:
            self._move_on(here)
        return None

    def _quiet_seconds(self, size: int, now: float) -> float:
        if size != self._size:
            self._size, self._grew_at = size, now
        return now - self._grew_at

    def _is_left(self, place: Place, quiet_seconds: float) -> bool:
        grace_seconds = self._limits.rotate_grace_seconds
        return judge_end(place, self._at_path(), quiet_seconds, grace_seconds) is Verdict.MOVE_ON

    def _at_path(self) -> tuple[int, int] | None:
        try:
            seen = self._path.stat()
        except FileNotFoundError:
            return None
        return seen.st_dev, seen.st_ino

    def _find(self) -> bool:
        """Open the file where we left it, under whatever name; else the one at the path."""
        found = self._candidates()
        again = find_again(self._place, found) if self._place else None
        at_path = next((file for file in found if file.name == self._path.name), None)
        chosen = again or at_path
        if chosen is None:
            if self._path.exists():
                self._complain(f"{self._path} cannot be read, or is not a regular file")
            return False
        if self._place and not again:
            self._complain(
                f"{self._path} is not the file that was read to byte {self._place.offset} before, "
                "and that one is gone: what it got since then is not read"
            )
        return self._open(chosen, self._place if again else None)

    def _begin_anew(self, place: Place, here: Candidate) -> None:
        """The file was emptied. A copy made just before may hold lines that we have not seen."""
        others = [file for file in self._candidates() if file.inode != here.inode]
        copy = find_again(place, others)
        if copy and copy.size > place.offset:
            self._open(copy, place)
            return
        log.info("%s was emptied and begins anew", self._path)
        self._place = Place(here.device, here.inode, 0)

    def _move_on(self, here: Candidate) -> None:
        following = next_generation(self._path.name, here, self._candidates())
        if following:
            log.info("%s was rotated; going on with %s", self._path, following.name)
            self._open(following, None)

    def _open(self, file: Candidate, place: Place | None) -> bool:
        """Open a file at a place, or at its beginning; False when its name means another now."""
        fd = os.open(self._path.with_name(file.name), os.O_RDONLY | os.O_NONBLOCK)
        seen = os.fstat(fd)
        if (seen.st_dev, seen.st_ino) != (file.device, file.inode):
            os.close(fd)
            return False
        self._let_go()
        self._fd, self._complaint = fd, ""
        begun = place or Place(file.device, file.inode, 0)
        self._place = msgspec.structs.replace(begun, device=file.device, inode=file.inode)
        return True

    def _let_go(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
        self._fd, self._size = None, -1

    @property
    def _open_fd(self) -> int:
        assert self._fd is not None
        return self._fd

    def _look(self) -> Candidate:
        """The open file as it is now. Its name is unknown, and nobody asks."""
        seen = os.fstat(self._open_fd)
        head = os.pread(self._open_fd, PRINT_BYTES_MAX, 0)
        return Candidate("", seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, head)

    def _candidates(self) -> list[Candidate]:
        """The file and its older generations, as they lie in the folder now, newest first."""
        try:
            names = [n for n in os.listdir(self._path.parent) if n.startswith(self._path.name)]
        except FileNotFoundError:
            return []
        found = [file for name in names if (file := _candidate(self._path.with_name(name)))]
        found.sort(key=lambda file: (file.name == self._path.name, file.modified_ns), reverse=True)
        return found[:CANDIDATES_MAX]

    def _complain(self, complaint: str) -> None:
        if complaint != self._complaint:  # Once, not four times a second.
            self._complaint = complaint
            log.warning("%s", complaint)


def _candidate(path: Path) -> Candidate | None:
    """A regular file as it is now; None for anything else, and for what we may not read."""
    try:
        seen = path.stat()
        if not stat.S_ISREG(seen.st_mode):
            return None  # Opening a pipe would take lines away from its reader.
        with path.open("rb", buffering=0) as file:
            head = file.read(PRINT_BYTES_MAX)
    except (FileNotFoundError, PermissionError):
        return None
    return Candidate(
        path.name, seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, head or b""
    )
