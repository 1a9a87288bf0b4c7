"""A wall clock for one process, which its test sets; see clock_shim/sitecustomize.py."""

import struct
from dataclasses import dataclass
from pathlib import Path

from tests.system.processes import Role

SHIM = Path(__file__).with_name("clock_shim")


@dataclass(frozen=True, slots=True)
class ShiftedClock:
    """The clock of a process, ahead of the true time by what the test says."""

    file: Path

    def set(self, ahead_seconds: float) -> None:
        """A step: from now on it is ahead by so much, or behind if less than zero."""
        with self.file.open("r+b", buffering=0) as file:
            file.write(struct.pack("=q", round(ahead_seconds * 1e9)))  # One write, so never torn.


def own_clock(role: Role) -> ShiftedClock:
    """A clock for a process that does not run yet; at first it is right."""
    role.folder.mkdir(parents=True, exist_ok=True)
    file = role.folder / "clock"
    file.write_bytes(bytes(8))
    role.environ |= {"PYTHONPATH": str(SHIM), "TEST_CLOCK": str(file)}
    return ShiftedClock(file)
