"""Which files were read already, so that one that is found under a new name is read on. Pure."""

from pathlib import Path

from edge.receive.place import Candidate, Place, find_again

KNOWN_MAX = 4096
"""The oldest beyond these are forgotten."""


class KnownFiles:
    """The places where files were last read, and the names that they had then."""

    def __init__(self) -> None:
        self._places: dict[tuple[int, int], tuple[Path, Place]] = {}

    def remember(self, path: Path, place: Place) -> None:
        """A file was read under this name up to this place; counts as the newest."""
        key = (place.device, place.inode)
        self._places.pop(key, None)
        self._places[key] = path, place
        if len(self._places) > KNOWN_MAX:
            del self._places[next(iter(self._places))]

    def match(self, path: Path, seen: Candidate) -> tuple[Path, Place] | None:
        """The last other name of this file and where it was read to; None when it is new.

        Only the same inode will do: logs of two programs may begin with the same long banner, and a
        copy that is read again costs less than a log that is not read.
        """
        was, place = self._places.get((seen.device, seen.inode), (path, None))
        if place is None or was == path or not place.print_bytes or not find_again(place, [seen]):
            return None
        return was, place
