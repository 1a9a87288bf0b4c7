"""Reading the dead letters in a folder, with nothing changed in it."""

import sqlite3
from collections.abc import Sequence

from edge.chunk_rows import sound_chunk
from edge.letters import FILE_NAME, DeadLetter, is_letter
from edge.offline import UNREADABLE, Place, reading
from shared.errors import BadInput
from shared.records import Chunk
from shared.sqlite import check_quickly

_LETTERS = (
    "SELECT epoch, seq, signal, records, stored_bytes, reason, refused_ms, hash, header, body"
    " FROM dead_letter ORDER BY refused_ms, epoch, seq"
)
_LISTED = (
    "SELECT epoch, seq, signal, records, stored_bytes, reason, refused_ms"
    " FROM dead_letter ORDER BY refused_ms, epoch, seq"
)


def letters_in(place: Place) -> Sequence[DeadLetter]:
    """Every dead letter, oldest first. Raises BadInput when the file cannot be read."""
    try:
        with reading(place, place.buffer / FILE_NAME) as connection:
            return [DeadLetter(*row) for row in connection.execute(_LISTED)]
    except FileNotFoundError:
        return ()
    except UNREADABLE as error:
        raise BadInput(f"{FILE_NAME} cannot be read: {error}") from error


def letter_in(place: Place, seq: int) -> tuple[DeadLetter, Chunk] | None:
    """The newest dead letter with this number, whole. Raises BadInput as `letters_in` does."""
    found = None
    try:
        with reading(place, place.buffer / FILE_NAME) as connection:
            for row in connection.execute(_LETTERS):
                chunk = sound_chunk(row[1], *row[-3:]) if row[1] == seq else None
                found = (DeadLetter(*row[:-3]), chunk) if chunk else found
    except FileNotFoundError:
        return None
    except UNREADABLE as error:
        raise BadInput(f"{FILE_NAME} cannot be read: {error}") from error
    return found


def why_unsound(place: Place, *, is_expected: bool) -> str:
    """What is wrong with the file of dead letters; empty when nothing is. Raises Unavailable."""
    path = place.buffer / FILE_NAME
    if not path.exists() or not path.stat().st_size:
        return "the file is gone, with the dead letters that it held, if any" if is_expected else ""
    try:
        with reading(place, path) as connection:
            check_quickly(connection)
            return _first_fault(connection)
    except UNREADABLE as error:
        return str(error)


def _first_fault(connection: sqlite3.Connection) -> str:
    for row in connection.execute(_LETTERS):
        if not is_letter(row):
            return f"dead letter {row[1]} is not as it was written"
    return ""
