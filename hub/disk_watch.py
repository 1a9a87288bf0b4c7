"""Looks at the hub's disk, and closes the door for new data while there is little room on it."""

import asyncio
import logging
import os
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hub.disk_guard import DiskState, Room, looked, write_failed
from shared.errors import Unavailable
from shared.records import MIB
from shared.runtime import Runtime
from shared.sqlite import is_disk_full

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Tell = Callable[[str, Mapping[str, Any]], None]

LOOK_SECONDS = 2.0  # At 300 MB/s a gibibyte lasts for some three seconds.
RETRY_AFTER_SECONDS = 10.0


def room_of(folder: Path) -> Room:
    """The room on the disk of a folder, as far as this user may take it. Raises OSError."""
    usage = shutil.disk_usage(folder)
    return Room(usage.free, usage.total)


@dataclass(slots=True)
class DiskWatch:
    """The guard of one hub's disk. `repeat` its `step`; ask `check` before taking anything in.

    Nothing is ever deleted to make room: what goes is for the policies of retention to say.
    """

    hub_id: str
    folder: Path
    runtime: Runtime
    tell: Tell
    counters: Counter[str]
    wanted_reserve_bytes: int = 0
    """0 for the default, see `disk_guard.reserve_bytes`."""
    look: Callable[[Path], Room] = room_of
    state: DiskState = field(default_factory=DiskState)

    async def step(self) -> float:
        """Look once; returns when to look again. Raises Unavailable when the disk cannot be asked."""
        try:
            room = await self.runtime.offload(lambda: self.look(self.folder))
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise Unavailable(f"the disk of {self.hub_id} cannot be asked: {reason}") from error
        self._become(looked(self.state, room, self._now(), self.wanted_reserve_bytes))
        return LOOK_SECONDS

    def note_full(self) -> None:
        """A write failed for want of room: close the door at once, whatever the last look showed."""
        self._become(write_failed(self.state, self._now()))

    def check(self) -> None:
        """Raises Unavailable while no data is taken in."""
        if self.state.is_open:
            return
        self.counters["disk_refusals"] += 1
        raise Unavailable(self.reason, RETRY_AFTER_SECONDS)

    @property
    def reason(self) -> str:
        """Why nothing is taken in, in one sentence."""
        free, reserve = self.state.room.free_bytes, self.state.reserve_bytes
        if free >= self.state.reopen_bytes:  # A quota, or a disk that filled since it was asked.
            return f"the disk of {self.hub_id} is full: a write failed for want of room"
        return (
            f"the disk of {self.hub_id} is nearly full:"
            f" {free // MIB} MiB free, {round(reserve / MIB)} are reserved"
        )

    async def guarded(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """Take something in; raises Unavailable while the door is closed, and closes it when the
        disk turns out to be full."""
        self.check()
        try:
            return await work()
        except Unavailable as error:
            if error.__cause__ is not None and is_disk_full(error.__cause__):
                self.note_full()
            raise

    def to_wire(self) -> dict[str, Any]:
        """As `hub.status` shows it."""
        return {
            "accepting": self.state.is_open,
            "free_bytes": self.state.room.free_bytes,
            "total_bytes": self.state.room.total_bytes,
            "reserve_bytes": self.state.reserve_bytes,
            "reopen_bytes": self.state.reopen_bytes,
        }

    def gauges(self) -> dict[str, float]:
        """As metrics show it."""
        return {
            "disk_free_bytes": self.state.room.free_bytes,
            "disk_reserve_bytes": self.state.reserve_bytes,
            "accepting": float(self.state.is_open),
        }

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _become(self, state: DiskState) -> None:
        was, self.state = self.state, state
        if was.is_open == state.is_open:
            return
        name = "opened" if state.is_open else "closed"
        self.counters[f"disk_guard_{name}"] += 1
        self.tell(f"disk.guard.{name}", self.to_wire())
        if state.is_open:
            log.info("the disk has room again: %d MiB free", state.room.free_bytes // MIB)
        else:
            log.warning("%s: no data is taken in until there is room", self.reason)
