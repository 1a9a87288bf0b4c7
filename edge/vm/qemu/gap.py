"""What a console showed while no agent listened: QEMU logs it to a file that nothing bounds.

That file holds the output since it was last emptied. A mark says where in our own log its first
byte belongs, so the bytes that both hold can be told from those that only the file holds. Blocking.
"""

import os
from pathlib import Path

from edge.vm.console_log import ConsoleLog, read_console
from edge.vm.launch import write_json
from edge.vm.qemu.argv import GAP_FILE

MARK_FILE = "gap.json"
GAP_BYTES_MAX = 256 * 1024
"""Emptied when it is longer and the guest is silent for a moment, while somebody listens."""

FLOOD_BYTES_MAX = 16 * 1024 * 1024
"""Emptied when it is longer even while the guest talks: what is on its way to us just then would be
missed, should this agent die before the guest is silent again."""

SLICE_BYTES = 1024 * 1024


def gap_size(folder: Path) -> int:
    """How long QEMU's file is."""
    try:
        return (folder / GAP_FILE).stat().st_size
    except FileNotFoundError:
        return 0


def read_gap(folder: Path, begin: int, end: int) -> bytes:
    """Some of its bytes."""
    try:
        with (folder / GAP_FILE).open("rb") as file:
            file.seek(begin)
            return file.read(max(0, end - begin))
    except FileNotFoundError:
        return b""


def fill_gap(folder: Path, log: ConsoleLog, bytes_max: int, end: int | None = None) -> None:
    """Append what only QEMU's file holds (before `end`), at most the last `bytes_max` of it."""
    end = gap_size(folder) if end is None else end
    # Less than nothing: what was on its way to an agent that died. More than all: that agent died
    # between emptying the file and the mark for it; a few bytes are rather missed than shown twice.
    begin = min(max(0, log_size(folder) - _mark(folder)), end)
    kept = max(begin, end - bytes_max)
    for position in range(kept, end, SLICE_BYTES):
        log.append(read_gap(folder, position, min(end, position + SLICE_BYTES)))
    if kept > begin:
        write_json(folder / MARK_FILE, log_size(folder) - end)


def is_flooded(folder: Path) -> bool:
    """Whether the file must be emptied although the guest still talks."""
    return gap_size(folder) > FLOOD_BYTES_MAX


def settle(folder: Path) -> None:
    """While the guest is silent and all it said is in our log: empty a file that is long, or that
    disagrees. QEMU writes a byte again each time it finds our end of the line full."""
    size = gap_size(folder)
    if size > GAP_BYTES_MAX or log_size(folder) - _mark(folder) != size:
        empty_gap(folder)


def empty_gap(folder: Path) -> None:
    """Empty QEMU's file, which it appends to, and note that it goes on where our log ends."""
    try:
        os.truncate(folder / GAP_FILE, 0)
    except FileNotFoundError:
        return
    write_json(folder / MARK_FILE, log_size(folder))


def log_size(folder: Path) -> int:
    """The length of our own log, counted from the machine's first byte."""
    return read_console(folder, None, 0).size


def _mark(folder: Path) -> int:
    try:
        return int((folder / MARK_FILE).read_text())
    except (OSError, ValueError):
        return 0


def overlap(window: bytes, heard: bytes) -> int:
    """How many bytes at the end of `window` are the beginning of what was heard; the most
    possible."""
    for size in range(min(len(window), len(heard)), 0, -1):
        if heard[:size] == window[-size:]:
            return size
    return 0
