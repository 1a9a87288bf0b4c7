"""Answers as CSV (RFC 4180), with the columns that the command line has.

CSV has no place to say that a page failed, so an answer that ends too early is cut off: its last
chunk never comes, and clients of HTTP/1.1 take that for an error. A quoted cell may hold line ends.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hub.cli.node_columns import NODE_COLUMNS
from hub.cli.output import Column, comma_separated
from hub.cli.query_columns import (
    BIN_COLUMNS,
    EVENT_COLUMNS,
    LOG_COLUMNS,
    NAME_COLUMNS,
    POINT_COLUMNS,
    SERIES_COLUMNS,
    TRACE_COLUMNS,
    point_rows,
)
from hub.rest_pages import Answer, Pages
from shared.errors import RpcError

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sheet:
    """How an answer is a table: its columns, and the rows that an item of it has."""

    columns: Sequence[Column]
    rows_of: Callable[[Row], Iterable[Row]] = lambda item: (item,)


SHEETS: Mapping[str, Sheet] = {
    "log.query": Sheet(LOG_COLUMNS),
    "log.histogram": Sheet(BIN_COLUMNS),
    "event.list": Sheet(EVENT_COLUMNS),
    "metric.names": Sheet(NAME_COLUMNS),
    "metric.query": Sheet(POINT_COLUMNS, point_rows),
    "series.list": Sheet(SERIES_COLUMNS),
    "trace.search": Sheet(TRACE_COLUMNS),
    "node.list": Sheet(NODE_COLUMNS),
}
"""By method; other answers are no tables."""


@dataclass(slots=True)
class CsvForm:
    """One row a line, after a line of titles."""

    rows: str
    sheet: Sheet
    media_type: str = field(default="text/csv; charset=utf-8", init=False)
    _has_titles: bool = False

    def page(self, answer: Answer) -> Iterator[bytes]:
        """The rows, with the titles before the first page."""
        rows = (row for item in answer[self.rows] for row in self.sheet.rows_of(item))
        text = comma_separated(rows, self.sheet.columns)
        yield (text.partition("\r\n")[2] if self._has_titles else text).encode()
        self._has_titles = True

    def end(self, pages: Pages, answer: Answer) -> bytes:
        """Nothing more."""
        return b""

    def error(self, error: RpcError, pages: Pages | None) -> bytes | None:
        """It is cut off."""
        return None
