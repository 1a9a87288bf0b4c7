"""Puts back what hub.db has lost of single chunks, header or hash, from the day files.

hub.db has the header of a chunk and its SHA-256, and the day file has the header once more. Where two
of the three agree, the third is damaged and made like them, and no other hub is needed for it.
"""

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from hub.store.day_readers import header_in
from hub.store.days import DayKey
from hub.store.headers import header_of, is_true
from hub.store.mend import Promise, is_damage, require_damage, sources
from shared.errors import BadInput
from shared.sqlite import open_reader


@dataclass(frozen=True, slots=True)
class Cure:
    """What the row of a chunk is to say. `misled` is whether it said something else that could be
    read, so that an index may have it."""

    arrival: int
    header: bytes
    hash: bytes
    misled: bool


def damaged(page: Iterable[Promise]) -> list[Promise]:
    """Those whose headers and hashes do not belong together."""
    return [each for each in page if not is_true(each.header, each.hash)]


def cures(folder: Path, key: DayKey, ill: Sequence[Promise]) -> list[Cure]:
    """How to heal such chunks, as far as their day file or what was put aside of it can tell.

    Raises Unavailable when a file cannot be read just now.
    """
    waiting, found = {each.arrival: each for each in ill}, []
    for place in sources(folder, key):
        for arrival, header in _headers_in(place, [*waiting]):
            cure = _cure(waiting[arrival], header)
            if cure is not None:
                found.append(cure)
                del waiting[arrival]
    return found


def _headers_in(place: Path, arrivals: Collection[int]) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    if not arrivals:
        return found
    try:
        with closing(open_reader(place)) as connection:
            for arrival in arrivals:
                header = _header(connection, arrival)
                if header is not None:
                    found.append((arrival, header))
    except sqlite3.Error as error:
        require_damage(error, place)
    return found


def _header(connection: sqlite3.Connection, arrival: int) -> bytes | None:
    try:
        return header_in(connection, arrival)
    except sqlite3.Error as error:
        if is_damage(error):
            return None
        raise


def _cure(promised: Promise, header: bytes) -> Cure | None:
    if not _is_readable(header):
        return None
    if is_true(header, promised.hash):
        return Cure(promised.arrival, header, promised.hash, _is_readable(promised.header))
    if header == promised.header:
        return Cure(promised.arrival, header, sha256(header).digest(), misled=False)
    return None


def _is_readable(header_bytes: bytes) -> bool:
    try:
        header_of(header_bytes)
    except BadInput:
        return False
    return True


def put_back(connection: sqlite3.Connection, found: Iterable[Cure]) -> int:
    """Write what is true into the rows that are still there; returns how many."""
    rows = [(each.header, each.hash, each.arrival) for each in found]
    update = "UPDATE chunk SET header = ?, hash = ? WHERE arrival = ?"
    return connection.executemany(update, rows).rowcount
