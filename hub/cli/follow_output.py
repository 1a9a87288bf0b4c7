"""What a live tail prints: rows as they come, and what is to be known beside them."""

from collections.abc import Mapping, Sequence
from typing import Any

import click
import orjson

from hub.cli.output import Column, Format, comma_separated
from shared.terminal import safe

WIDTH_MAX = 40  # One long cell must not push all later rows to the right.


class RowPrinter:
    """Prints rows in one of the forms; columns grow with what was seen."""

    def __init__(self, form: Format, columns: Sequence[Column]) -> None:
        if form == "json":
            raise click.UsageError("-o json has no end with --follow; use -o ndjson")
        self._form, self._columns = form, columns
        self._widths = [len(column.title) for column in columns]
        self.rows = 0

    def show(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Print rows at once."""
        if not rows:
            return
        click.echo(self._text(rows), nl=False)
        self.rows += len(rows)

    def _text(self, rows: Sequence[Mapping[str, Any]]) -> bytes:
        if self._form == "ndjson":
            return b"".join(orjson.dumps(row) + b"\n" for row in rows)
        if self._form == "csv":
            text = comma_separated(rows, self._columns)
            return (text if self.rows == 0 else text.partition("\r\n")[2]).encode()
        titles = [[column.title for column in self._columns]] if self.rows == 0 else []
        cells = [[safe(c.shown(c.value(row))) for c in self._columns] for row in rows]
        return "".join(self._line(line) for line in (*titles, *cells)).encode()

    def _line(self, cells: Sequence[str]) -> str:
        for number, cell in enumerate(cells[:-1]):
            self._widths[number] = max(self._widths[number], min(len(cell), WIDTH_MAX))
        widths = [*self._widths[:-1], 0]
        return "  ".join(map(str.ljust, cells, widths)).rstrip() + "\n"


def heading_of(event: str, data: Mapping[str, Any]) -> str:
    """What a message without rows says to a person; nothing for most."""
    match event:
        case "gap":
            lost = ", ".join(
                f"{gap.get('records', 0):,} {gap.get('signal')} records ({gap.get('reason')})"
                for gap in data.get("gaps", [])
            )
            return f"gap: {data.get('origin')} declares lost: {lost}"
        case "unreadable":
            return f"a chunk of {data.get('origin')} cannot be read there: {data.get('reason')}"
        case "gone":
            return f"what {data.get('origin')} sent meanwhile is gone there: {data.get('reason')}"
        case "lag":
            chunks = data.get("chunks", 0)
            return f"behind by {chunks:,} chunks" if chunks else "no longer behind"
    return ""
