"""The number of the last start, in a file beside the store.

A store that knows of fewer starts than this file is an older state of itself: it was put back in its
place from a backup or a snapshot, so that nothing else about it has changed.
"""

import logging
from pathlib import Path

from shared.security import write_private

FILE_NAME = "starts"
DIGITS_MAX = 15

log = logging.getLogger(__name__)


def read_starts(folder: Path) -> int:
    """The number of the last start; 0 where nobody wrote one, or what is there is no number."""
    try:
        with (folder / FILE_NAME).open("rb") as file:
            text = file.read(DIGITS_MAX + 1).strip()
    except OSError:
        return 0
    return int(text) if text.isdigit() and len(text) <= DIGITS_MAX else 0


def write_starts(folder: Path, number: int) -> None:
    """Write the number of this start, once the store has it. On a full disk the last one stays, which
    is smaller and says nothing."""
    try:
        write_private(folder / FILE_NAME, f"{number}\n")
    except OSError as error:
        log.warning("the number of this start is not written: %s", error)
