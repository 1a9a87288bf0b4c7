"""The hashes at the ends of what is held of a log, in memory: an edge that asks costs no reading."""

from collections import OrderedDict
from collections.abc import Iterable

from shared.ranges import Ranges

LogKey = tuple[str, str]

SPANS_MAX = 16
LOGS_MAX = 10_000
HASHES_MAX = 4 * SPANS_MAX  # Of one log, between two questions.


class Proofs:
    """The last hashes of the logs that were asked for or written to lately."""

    def __init__(self) -> None:
        self._logs: OrderedDict[LogKey, dict[int, bytes]] = OrderedDict()

    def note(self, key: LogKey, seq: int, digest: bytes) -> None:
        """A chunk was committed."""
        known = self._of(key)
        known.pop(seq - 1, None)  # No longer the end of anything.
        known[seq] = digest
        if len(known) > HASHES_MAX:
            known.pop(min(known))

    def _of(self, key: LogKey) -> dict[int, bytes]:
        known = self._logs.setdefault(key, {})
        self._logs.move_to_end(key)
        if len(self._logs) > LOGS_MAX:
            self._logs.popitem(last=False)
        return known

    def lacking(self, key: LogKey, have: Ranges, mark: int = 0) -> list[int]:
        """Of the ends of the newest spans, and of the edge's mark, those that must be read first."""
        known = self._of(key)
        return [seq for seq in _told(have, mark) if seq not in known]

    def learn(self, key: LogKey, hashes: Iterable[tuple[int, bytes]]) -> None:
        """Take in what was read."""
        self._of(key).update(hashes)

    def of(self, key: LogKey, have: Ranges, mark: int = 0) -> list[tuple[int, str]]:
        """The last number of each of the newest spans, and the mark when it is held, with their
        hashes in hex, as far as known."""
        known = self._of(key)
        told = {seq: known[seq] for seq in _told(have, mark) if seq in known}
        self._logs[key] = dict(told)
        return [(seq, digest.hex()) for seq, digest in told.items()]


def _told(have: Ranges, mark: int) -> list[int]:
    ends = {last for _, last in have.spans[-SPANS_MAX:]}
    return sorted(ends | {mark} if mark in have else ends)
