"""How values look on a page. Everything that a node sent may be of any type, so nothing here fails."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

NOTHING = "–"  # noqa: RUF001  # A dash that reads as "nothing", not as a minus.
_FRACTION = re.compile(r"\.(\d{3})\d*")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def size(value: Any) -> str:
    """A count of bytes in the unit that fits."""
    if not _is_number(value):
        return NOTHING
    amount = float(value)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(amount) < 1024:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def age(value: Any) -> str:
    """Seconds in the two largest units that fit."""
    if not _is_number(value) or abs(value) > 1e12:
        return NOTHING
    if value < 10:
        return f"{value:.1f} s"
    if value < 60:
        return f"{value:.0f} s"
    minutes, seconds = divmod(int(value), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def span(value: Any) -> str:
    """A round number of seconds, without units that are zero."""
    if not _is_number(value) or value < 60 or abs(value) > 1e12:
        return f"{value:g} s" if _is_number(value) and abs(value) < 60 else age(value)
    shown = age(value)
    return shown.removesuffix(" 0 s").removesuffix(" 0 min").removesuffix(" 0 h")


def milliseconds(value: Any) -> str:
    """A duration that is given in milliseconds."""
    if not _is_number(value):
        return NOTHING
    if value == 0:
        return "0 ms"
    if abs(value) < 1:
        return f"{value * 1000:.0f} µs"
    if abs(value) < 1000:
        return f"{value:.1f} ms" if abs(value) < 100 else f"{value:.0f} ms"
    return f"{value / 1000:.2f} s" if abs(value) < 60_000 else age(value / 1000)


def percent(value: Any) -> str:
    """A ratio as a percentage."""
    return f"{value:.0%}" if _is_number(value) and abs(value) < 1e9 else NOTHING


def number(value: Any) -> str:
    """A number with its thousands apart."""
    if not _is_number(value):
        return NOTHING
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def moment(value: Any) -> str:
    """An RFC 3339 time in UTC to the millisecond, as people read it."""
    if not isinstance(value, str) or not value:
        return NOTHING
    shortened = _FRACTION.sub(r".\1", value).replace("T", " ")
    return shortened.removesuffix("Z").removesuffix("+00:00")


def clock(value: Any) -> str:
    """A time without its date, to the second."""
    return moment(value)[11:19] or NOTHING


def text(value: Any) -> str:
    """Any value: texts as they are, everything else as JSON."""
    if value is None or value == "":
        return NOTHING
    return value if isinstance(value, str) else json(value)


def json(value: Any) -> str:
    """JSON in one line."""
    return orjson.dumps(value, default=str).decode()


def pretty(value: Any) -> str:
    """JSON on several lines."""
    return orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2).decode()


def first_line(value: Any, length_max: int = 400) -> str:
    """What of a long text fits into a list."""
    line = text(value).strip().partition("\n")[0]
    return line if len(line) <= length_max else line[: length_max - 1] + "…"


def quantity(value: Any, unit: str) -> str:
    """A measured value in its OpenTelemetry unit (UCUM)."""
    if not _is_number(value):
        return NOTHING
    match unit:
        case "By":
            return size(value)
        case "By/s":
            return size(value) + "/s"
        case "1":
            return f"{value * 100:.3g} %"
        case "s":
            return milliseconds(value * 1000) if abs(value) < 60 else age(value)
        case "ms":
            return milliseconds(value)
    return f"{compact(value)} {annotation(unit)}".strip()


def annotation(unit: str) -> str:
    """A unit without the braces that mark what is counted."""
    return unit.replace("{", "").replace("}", "")


def compact(value: float) -> str:
    """A number short enough for an axis."""
    for limit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / (1e3 if letter == 'k' else limit):.3g} {letter}"
    return f"{value:.4g}"


FILTERS: Mapping[str, Callable[..., str]] = {
    "age": age,
    "clock": clock,
    "compact_json": json,
    "first_line": first_line,
    "milliseconds": milliseconds,
    "moment": moment,
    "number": number,
    "percent": percent,
    "pretty": pretty,
    "quantity": quantity,
    "size": size,
    "span": span,
    "value": text,
}
