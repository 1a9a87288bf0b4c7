"""The keys of a console that are for us and not for the machine: Ctrl-] and a letter."""

from dataclasses import dataclass
from enum import Enum, auto

ESCAPE = b"\x1d"
EXPLAINED = "Ctrl-] q leaves, Ctrl-] r goes through another hub, Ctrl-] Ctrl-] types a Ctrl-]"


class Wish(Enum):
    """What a person asks of us."""

    LEAVE = auto()
    MOVE = auto()
    HELP = auto()


_WISHES = {b"q": Wish.LEAVE, b".": Wish.LEAVE, b"r": Wish.MOVE, b"?": Wish.HELP}


@dataclass(slots=True)
class Keys:
    """Tells what is typed for us from what is for the machine, however it is cut into pieces."""

    _is_escaped: bool = False

    def read(self, data: bytes) -> list[bytes | Wish]:
        """What was typed, in its order."""
        found: list[bytes | Wish] = []
        while data:
            if self._is_escaped:
                self._is_escaped = False
                key, data = data[:1], data[1:]
                # What means nothing to us goes to the machine as it was typed, but for the escape.
                found.append(_WISHES.get(key) or key)
                continue
            plain, escape, data = data.partition(ESCAPE)
            if plain:
                found.append(plain)
            self._is_escaped = bool(escape)
        return found
