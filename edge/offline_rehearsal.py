"""What opening a damaged folder would save and declare lost, found out by doing it to copies."""

import shutil
import sqlite3
import tempfile
from pathlib import Path

from edge.offline import Place, survey
from edge.offline_plan import Rehearsal
from edge.salvage import open_folder
from edge.segments import numbers_in, path_of
from shared.errors import Unavailable
from shared.ranges import Ranges

_EPOCH = "rehearsed"


def rehearse(place: Place) -> Rehearsal | None:
    """What becomes of the newest files when the agent starts; None when they are whole.

    Opening looks at the newer files only, down to the first that is sound: these are copied, and the
    others are there by name. Raises Unavailable when there is no room for that.
    """
    surveyed = survey(place)
    if surveyed.is_whole:
        return None
    known = surveyed.books.totals.head_seq if surveyed.books else 0
    oldest = surveyed.books.active.number if surveyed.books else 0
    try:
        with tempfile.TemporaryDirectory(prefix="headwater-") as name:
            folder = Path(name) / place.buffer.name
            _copy_newer(place.buffer, folder, oldest)
            opened = open_folder(folder, _EPOCH, "OFF")
    except (OSError, sqlite3.Error) as error:
        raise Unavailable(f"the repair cannot be rehearsed on copies: {error}", 0) from error
    head = opened.books.totals.head_seq
    saved = Ranges(((known + 1, head),)) - opened.lost if opened.lost else Ranges()
    return Rehearsal(opened.findings, saved, opened.lost)


def _copy_newer(buffer: Path, folder: Path, oldest: int) -> None:
    folder.mkdir()
    for number in numbers_in(buffer):
        path = path_of(buffer, number)
        if number < oldest:
            (folder / path.name).touch()
            continue
        for name in (path.name, path.name + "-wal"):
            if (buffer / name).exists():
                shutil.copyfile(buffer / name, folder / name)
