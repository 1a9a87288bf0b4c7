"""Keeps the position of a live tail on disk, so that a later call goes on from there."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import orjson

from hub.tail_position import Position, read_position
from shared.errors import BadInput
from shared.records import MIB

FILE_BYTES_MAX = 16 * MIB
SAVE_SECONDS = 1.0  # After a crash, rows of the last second are told again.


@dataclass(slots=True)
class PositionFile:
    """A file with a position, or none. It is always whole: a new one replaces it at once."""

    path: Path | None
    _saved_at: float = float("-inf")

    def load(self) -> Position:
        """The position in the file, or that of a tail that has not begun; raises BadInput."""
        if self.path is None:
            return Position()
        try:
            with self.path.open("rb") as file:
                text = file.read(FILE_BYTES_MAX + 1)
        except FileNotFoundError:
            return Position()
        except OSError as error:
            raise BadInput(f"{self.path} cannot be read: {error}") from error
        try:
            return read_position(orjson.loads(text))
        except (orjson.JSONDecodeError, BadInput) as error:
            raise BadInput(f"{self.path} holds no position: {error}") from error

    def save_now_and_then(self, position: Position) -> None:
        """Save when the last time is long enough ago."""
        if self.path is not None and time.monotonic() - self._saved_at >= SAVE_SECONDS:
            self.save(position)

    def save(self, position: Position) -> None:
        """Save, unless the tail has not begun; raises BadInput when the disk does not take it."""
        if self.path is None or not position.is_whole:
            return
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            beside.write_bytes(orjson.dumps(position.to_wire()))
            beside.replace(self.path)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise BadInput(f"{self.path} cannot be written: {error}") from error
        self._saved_at = time.monotonic()
