"""Answers on standard output: as a table for people, or as JSON, NDJSON or CSV for programs."""

import csv
import io
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import click
import orjson

from shared.terminal import safe, table

Format = Literal["table", "json", "ndjson", "csv"]
FORMATS: tuple[Format, ...] = ("table", "json", "ndjson", "csv")

PARTIAL = 3
NOTHING_MATCHED = 4

_FORMULA = re.compile(r"[=+\-@\t\r]")


def plain(value: Any) -> str:
    """A value as a person reads it; nothing is a dash."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value) or "-"
    return orjson.dumps(value).decode()


def size(value: Any) -> str:
    """A count of bytes in the unit that fits."""
    if not isinstance(value, int | float):
        return "-"
    amount = float(value)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(amount) < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def age(value: Any) -> str:
    """Seconds in the two largest units that fit."""
    if not isinstance(value, int | float):
        return "-"
    if value < 60:
        return f"{value:.1f} s"
    minutes, seconds = divmod(int(value), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} m" if hours else f"{minutes} m {seconds} s"


def percent(value: Any) -> str:
    """A ratio as a percentage."""
    return f"{value:.0%}" if isinstance(value, int | float) else "-"


def moment(value: Any) -> str:
    """An RFC 3339 time, to the millisecond."""
    return re.sub(r"(\.\d{3})\d+", r"\1", value) if isinstance(value, str) and value else "-"


def milliseconds(value: Any) -> str:
    """A duration to the microsecond: what is below that is noise."""
    return f"{value:.3f}" if isinstance(value, int | float) else "-"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its title, where its value lies in an item (dots go deeper), how it is shown."""

    title: str
    path: str
    shown: Callable[[Any], str] = plain

    def value(self, item: Mapping[str, Any]) -> Any:
        """The value in an item, None when it is not there."""
        found: Any = item
        for key in self.path.split("."):
            found = found.get(key) if isinstance(found, Mapping) else None
        return found


def comma_separated(items: Iterable[Mapping[str, Any]], columns: Sequence[Column]) -> str:
    """CSV (RFC 4180) with raw values; texts that a spreadsheet would run get an apostrophe."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(column.title.lower() for column in columns)
    for item in items:
        writer.writerow(_csv_cell(column.value(item)) for column in columns)
    return buffer.getvalue()


def _csv_cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode()
    if isinstance(value, str) and _FORMULA.match(value):
        return "'" + value
    return value


def show_list(
    form: Format, answer: Any, items: Sequence[Mapping[str, Any]], columns: Sequence[Column]
) -> None:
    """Print a list of items."""
    if form == "json":
        _write(orjson.dumps(answer, option=orjson.OPT_INDENT_2) + b"\n")
    elif form == "ndjson":
        _write(b"".join(orjson.dumps(item) + b"\n" for item in items))
    elif form == "csv":
        _write(comma_separated(items, columns).encode())
    elif items:
        shown = [[column.shown(column.value(item)) for column in columns] for item in items]
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        click.echo(table([[column.title for column in columns], *shown], width))


def show_one(form: Format, answer: Mapping[str, Any]) -> None:
    """Print one item, as lines of name and value."""
    if form == "json":
        _write(orjson.dumps(answer, option=orjson.OPT_INDENT_2) + b"\n")
    elif form == "ndjson":
        _write(orjson.dumps(answer) + b"\n")
    else:
        pairs = [{"name": name, "value": value} for name, value in flatten(answer)]
        show_list(form, answer, pairs, (Column("NAME", "name"), Column("VALUE", "value")))


def flatten(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested objects as dotted names."""
    pairs: list[tuple[str, Any]] = []
    for key, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            pairs += flatten(inner, f"{prefix}{key}.")
        else:
            pairs.append((prefix + key, inner))
    return pairs


def _write(content: bytes) -> None:
    click.echo(content, nl=False)


def say(text: str) -> None:
    """Talk to the person, on standard error."""
    click.echo(safe(text), err=True)


def finish(answer: Mapping[str, Any], found: int) -> None:
    """Say what is missing and where to go on; exit 3 when partial, 4 when nothing matched."""
    if answer.get("cursor"):
        say(f"there is more: --cursor {answer['cursor']}")
    coverage = answer.get("coverage") or {}
    lost = coverage.get("gaps") or {}
    if lost.get("records"):
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in lost["reasons"].items())
        say(f"declared lost by {', '.join(lost['nodes'])}: {lost['records']:,} records ({reasons})")
    missing = answer.get("missing_nodes") or coverage.get("missing_nodes") or []
    if answer.get("partial") or coverage.get("partial"):
        say(f"partial: {_what_lacks(missing, coverage)}")
        sys.exit(PARTIAL)
    if not found:
        say("nothing matched")
        sys.exit(NOTHING_MATCHED)


def _what_lacks(missing_nodes: Sequence[str], coverage: Mapping[str, Any]) -> str:
    """Why an answer is partial; the gravest reason alone."""
    if missing_nodes:
        return f"nothing from {', '.join(missing_nodes)}"
    if coverage.get("isolated"):
        return "this hub reaches no other hub"
    if coverage.get("split"):
        return "hubs are apart"
    if behind := coverage.get("behind"):
        first = f"{behind[0]['node']} ({behind[0].get('state', 'unknown')})"
        count = coverage.get("behind_nodes") or len(behind)
        return f"{count:,} nodes are behind, {first} first" if count > 1 else f"{first} is behind"
    return "damaged chunks are left out" if coverage.get("damaged_chunks") else "more is to come"
