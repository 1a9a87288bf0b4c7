"""How far a console was shown, so that it goes on at that byte through whatever hub."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class ConsolePosition:
    """The offset behind the last byte that was shown; None before the first word of the edge.

    Words may overtake bytes: what was lost before an offset is left out once the bytes reach it.
    """

    offset: int | None = None
    _holes: deque[tuple[int, int]] = field(default_factory=deque)

    def hear(self, word: Mapping[str, Any]) -> None:
        """Take in what the edge said: `{"at": offset}`, or with `lost` how much is missing there."""
        match word:
            case {"at": int() as at, "lost": int() as lost} if at >= lost > 0:
                self._holes.append((at - lost, at))
            case {"at": int() as at}:
                self.offset = at
                self._holes.clear()

    def shown(self, size_bytes: int) -> int:
        """Count bytes that were shown; returns how many were found missing before or in them."""
        if self.offset is None:
            return 0
        missing = self._skip()
        self.offset += size_bytes
        return missing

    def _skip(self) -> int:
        missing = 0
        while self._holes and self.offset is not None and self.offset >= self._holes[0][0]:
            begin, end = self._holes.popleft()
            missing += end - begin
            self.offset += end - begin
        return missing
