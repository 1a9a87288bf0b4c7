"""One followed file: reads it block by block, through rotation, truncation, absence and restarts.

Blocking and without a clock of its own: the caller runs it off the event loop and tells the time.
"""

import logging
import math
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge.receive.generations import generations_of, stamp_of
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
from edge.receive.reading import FollowLimits, Reading
from shared.otlp_make import resource_of
from shared.records import Part
from shared.signals import Scalar

log = logging.getLogger(__name__)

SCOPE = "headwater.tail"

UNSURE_SECONDS = 10.0
"""So long an open file whose size and time stay the same is spared a look at its bytes."""


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
        reading: Reading | None = None,
    ) -> None:
        self._path = path
        self._place = place
        self._reading = reading or Reading()
        self._resource = resource_of(resource)
        self._limits = limits
        self._fd: int | None = None
        self._size = -1
        self._grew_at = 0.0
        self._complaint = ""
        self._looked_at = 0.0
        self._seen: tuple[object, ...] | None = None  # What a look would be in vain for.
        self._left: list[Place] = []
        self._finished = False
        self._lock = threading.Lock()  # A cancelled caller may close while a read still runs.

    @property
    def place(self) -> Place | None:
        """The end of what is kept of the current file."""
        return self._place

    @property
    def identity(self) -> tuple[int, int] | None:
        """Device and inode of the file that is being read; None while there is none."""
        return (self._place.device, self._place.inode) if self._place else None

    @property
    def is_finished(self) -> bool:
        """Whether everything was read and nothing has been written for a while, or none is there."""
        return self._finished

    def take_left(self) -> list[Place]:
        """The places where files were left for their successors since the last call."""
        left, self._left = self._left, []
        return left

    def is_due(self, now: float) -> bool:
        """Whether `next_block` may find something; costs two system calls."""
        if self._seen is None or (self._fd is not None and now - self._looked_at >= UNSURE_SECONDS):
            return True
        return self._signature() != self._seen

    def next_block(self, now: float, observed_ns: int) -> Block | None:
        """The next lines, the same again until `advance`; None when there is nothing to do now."""
        with self._lock:
            signature = self._signature()
            self._seen, self._looked_at, self._finished = None, now, False
            try:
                if self._fd is None and not self._find():
                    self._seen, self._finished = signature, True
                    return None
                return self._read_on(now, observed_ns, signature)
            except OSError as error:
                self._complain(f"cannot follow {self._path}: {error.strerror or error}")
                self._let_go()
                return None

    def advance(self, block: Block) -> None:
        """The block is kept: go on after it."""
        self._place = block.after

    def rest(self) -> None:
        """Close the file until it changes, or until the next look when something pends."""
        with self._lock:
            self._let_go()
            if self._seen is not None:
                self._seen = (self._seen[0], None)

    def close(self) -> None:
        """Let go of the file; following may go on later."""
        with self._lock:
            self._let_go()

    def _read_on(self, now: float, observed_ns: int, signature: tuple[object, ...]) -> Block | None:
        here = self._look()
        place = self._place or Place(here.device, here.inode, 0)
        if is_begun_anew(place, here.size, here.head):
            self._begin_anew(place, here)
            return None
        block = self._read(place, here.size)
        at_end = place.offset + len(block) >= here.size
        quiet_seconds = self._quiet_seconds(here.size, now)
        leaving = at_end and self._is_left(place, quiet_seconds)
        pause_seconds = (math.inf if leaving else quiet_seconds) if at_end else 0.0
        cut = self._reading.cut(block, place, here.head, pause_seconds, self._limits)
        after = advance(place, cut, here.head)
        if cut.lines:
            return Block(lines_part(cut, observed_ns, self._resource, SCOPE), after)
        self._place = after
        if leaving:
            self._move_on(here)
        elif at_end:
            self._rest(here, quiet_seconds, signature)
        return None

    def _read(self, place: Place, size: int) -> bytes:
        size_bytes = self._limits.block_bytes // self._reading.growth
        # What was written since we looked belongs to the next look, which knows it as growth.
        return os.pread(self._open_fd, min(size_bytes, size - place.offset), place.offset)

    def _rest(self, here: Candidate, quiet_seconds: float, signature: tuple[object, ...]) -> None:
        """At the end: note what would make another look worth while, unless something pends."""
        assert self._place is not None
        is_all_read = self._place.offset >= here.size
        if is_all_read and self._at_path() in (None, (here.device, here.inode)):
            self._seen = signature
        # A last half of a character will not be completed by a writer that is gone.
        waited = self._limits.partial_seconds_max if not is_all_read else 0.0
        self._finished = quiet_seconds >= self._limits.rotate_grace_seconds + waited

    def _signature(self) -> tuple[object, ...]:
        """What changes when there may be something to read."""
        fd = self._fd
        return stamp_of(self._path), None if fd is None else stamp_of(fd)

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
        found = generations_of(self._path)
        again = find_again(self._place, found) if self._place else None
        at_path = next((file for file in found if file.name == self._path.name), None)
        chosen = again or at_path
        if chosen is None:
            if self._path.exists():
                self._complain(f"{self._path} cannot be read, or is not a regular file")
            return False
        if self._place and not again:
            self._left.append(self._place)
            self._complain(
                f"{self._path} is not the file that was read to byte {self._place.offset} before, "
                "and that one is gone: what it got since then is not read"
            )
        return self._open(chosen, self._place if again else None)

    def _begin_anew(self, place: Place, here: Candidate) -> None:
        """The file was emptied. A copy made just before may hold lines that we have not seen."""
        others = [file for file in generations_of(self._path) if file.inode != here.inode]
        copy = find_again(place, others)
        if copy and copy.size > place.offset:
            self._open(copy, place)
            return
        log.info("%s was emptied and begins anew", self._path)
        self._left.append(place)
        self._place = Place(here.device, here.inode, 0)

    def _move_on(self, here: Candidate) -> None:
        following = next_generation(self._path.name, here, generations_of(self._path))
        if following:
            log.info("%s was rotated; going on with %s", self._path, following.name)
            left = self._place
            if self._open(following, None) and left:
                self._left.append(left)

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

    def _complain(self, complaint: str) -> None:
        if complaint != self._complaint:  # Once, not four times a second.
            self._complaint = complaint
            log.warning("%s", complaint)
