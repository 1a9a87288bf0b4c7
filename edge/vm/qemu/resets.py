"""Telling a guest that resets for ever from one that reboots: the first says nothing, or the
same each time."""

from collections import deque

RESETS_MAX = 5
SILENT_SECONDS = 10.0
TALKING_SECONDS = 30.0
"""Who loops below a boot loader has its greeting in each turn, and takes longer for one."""

SAME_RESET_SECONDS = 0.01
"""One reboot is reported up to three times within a few milliseconds; a loop takes 30 for a turn."""


class Resets:
    """Counts the resets of one guest."""

    def __init__(self) -> None:
        self.count = 0
        self._silent: deque[float] = deque(maxlen=RESETS_MAX)
        self._talking: deque[float] = deque(maxlen=RESETS_MAX)
        self._last = float("-inf")
        self._console_bytes = 0
        self._said_bytes = 0

    def note(self, now: float, console_bytes: int) -> bool:
        """Count a reset; True when it is the fifth within seconds, and the console has not grown
        since the one before, or by the same each time."""
        is_new = now - self._last >= SAME_RESET_SECONDS
        self._last = now
        if not is_new:
            return False
        self.count += 1
        said_bytes = console_bytes - self._console_bytes
        self._console_bytes = console_bytes
        if said_bytes:
            self._silent.clear()
            self._note_talk(now, said_bytes)
        self._silent.append(now)
        return _is_full(self._silent, SILENT_SECONDS) or _is_full(self._talking, TALKING_SECONDS)

    def _note_talk(self, now: float, said_bytes: int) -> None:
        """Silent resets between do not count: firmware resets once more on its way up."""
        if said_bytes != self._said_bytes:
            self._talking.clear()
        self._said_bytes = said_bytes
        self._talking.append(now)


def _is_full(resets: deque[float], seconds: float) -> bool:
    return len(resets) == RESETS_MAX and resets[-1] - resets[0] <= seconds
