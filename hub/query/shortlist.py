"""The best rows seen so far: as many as a page wants, however many rows are read."""

from typing import Generic, TypeVar

Key = tuple[int, str, str, int, int]
"""The place of a row: (time_ns, node, epoch, seq, index). No two rows share one."""

Row = TypeVar("Row")


class Shortlist(Generic[Row]):
    """Keeps the first `limit` rows in the wanted order, newest or oldest first.

    Holds at most twice that many at any time.
    """

    def __init__(self, limit: int, newest_first: bool) -> None:
        self.has_dropped = False
        self._limit = limit
        self._newest_first = newest_first
        self._kept: list[tuple[Key, Row]] = []
        self._bar: Key | None = None

    def wants(self, key: Key) -> bool:
        """Whether a row at this place could still be among the first."""
        return self._bar is None or self._is_before(key, self._bar)

    def add(self, key: Key, row: Row) -> None:
        """Put a row in its place."""
        self._kept.append((key, row))
        if len(self._kept) >= 2 * self._limit:
            self._trim()

    def is_settled(self, horizon: Key) -> bool:
        """Whether the page is full of rows that lie before the horizon."""
        if len(self._kept) < self._limit:
            return False
        self._trim()
        return self._bar is not None and self._is_before(self._bar, horizon)

    def rows(self) -> list[Row]:
        """The first rows, in order."""
        self._trim()
        return [row for _, row in self._kept]

    def rows_before(self, horizon: Key) -> list[Row]:
        """The first rows, in order, that lie before the horizon."""
        self._trim()
        return [row for key, row in self._kept if self._is_before(key, horizon)]

    @property
    def last_key(self) -> Key:
        """The place of the last row of `rows()`; there must be one."""
        self._trim()
        return self._kept[-1][0]

    def _trim(self) -> None:
        self._kept.sort(key=lambda kept: kept[0], reverse=self._newest_first)
        self.has_dropped = self.has_dropped or len(self._kept) > self._limit
        del self._kept[self._limit :]
        if len(self._kept) == self._limit:
            self._bar = self._kept[-1][0]

    def _is_before(self, key: Key, other: Key) -> bool:
        return key > other if self._newest_first else key < other
