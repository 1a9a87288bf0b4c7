"""Python runs this at its start when this folder is on its path: the wall clock of the process is set.

The file that TEST_CLOCK names holds by how many nanoseconds it is ahead, and may change at any time, so
that one process of a machine sees a step of the clock. The monotonic clock is left alone, as it is when
an administrator or NTP sets the time.
"""

import mmap
import os
import struct
import time

_AHEAD_NS = struct.Struct("=q")


def shift(file: str) -> None:
    """From now on `time.time` and `time.time_ns` are ahead by what the file holds."""
    with open(file, "rb") as opened:
        held = mmap.mmap(opened.fileno(), _AHEAD_NS.size, access=mmap.ACCESS_READ)
    true_ns = time.time_ns

    def time_ns() -> int:
        return true_ns() + int(_AHEAD_NS.unpack(held)[0])

    time.time_ns = time_ns
    time.time = lambda: time_ns() / 1e9


if "TEST_CLOCK" in os.environ:
    shift(os.environ["TEST_CLOCK"])
