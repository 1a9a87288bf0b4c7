"""Which records of a buffer somebody wants to see, and how these are written on a line. Pure rules."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.errors import BadInput
from shared.records import ChunkHeader, Signal

NS_PER_S = 1_000_000_000
TIME_NS_MAX = 2**63 - 1

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_RELATIVE = re.compile(r"-([0-9]{1,9})([smhd])", re.ASCII)
_SECONDS = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,9}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records: of one signal or of all, from `since_ns` to before `until_ns`, with a text."""

    signal: Signal | None = None
    since_ns: int = 0
    until_ns: int = TIME_NS_MAX
    contains: str = ""


def read_time(text: str, now_ns: int) -> int:
    """Unix nanoseconds of RFC 3339 text, Unix seconds, or -15m, -2h, -7d before now; raises BadInput."""
    relative, seconds = _RELATIVE.fullmatch(text), _SECONDS.fullmatch(text)
    if relative:
        time_ns = now_ns - int(relative[1]) * _UNIT_SECONDS[relative[2]] * NS_PER_S
    elif seconds:
        time_ns = int(seconds[1]) * NS_PER_S + int((seconds[2] or "").ljust(9, "0"))
    else:
        time_ns = _rfc3339(text)
    if not 0 <= time_ns <= TIME_NS_MAX:
        raise BadInput(f"{text!r} is not between the years 1970 and 2262")
    return time_ns


def _rfc3339(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise BadInput(
            f"{text[:60]!r} is not a time: write 2026-11-21T10:00:00Z, Unix seconds, or -15m, -2h, -7d"
        )
    whole = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (whole.days * 86400 + whole.seconds) * NS_PER_S + whole.microseconds * 1000


def may_hold(header: ChunkHeader, wanted: Wanted) -> bool:
    """Whether a chunk can hold a wanted record, from its header alone."""
    if wanted.signal is not None and header.signal != wanted.signal:
        return False
    # Records without a time are dated by their chunk, and the header does not say whether it has any.
    created_ns = header.created_ms * 1_000_000
    first_ns = min(header.time_min_ns, created_ns)
    last_ns = max(header.time_max_ns, created_ns)
    return first_ns < wanted.until_ns and last_ns >= wanted.since_ns


def is_wanted(row: Mapping[str, Any], created_ns: int, wanted: Wanted) -> bool:
    """Whether a record is wanted; a text is looked for in all its values, in any case.

    A record without a time is taken to be as old as its chunk, which was made at `created_ns`.
    """
    if not wanted.since_ns <= (time_of(row) or created_ns) < wanted.until_ns:
        return False
    needle = wanted.contains.casefold()
    return not needle or any(needle in text.casefold() for text in _texts(row))


def time_of(row: Mapping[str, Any]) -> int:
    """When a record says that it was made, in Unix nanoseconds; the start of a span."""
    time_ns: int = row["start_ns"] if "end_ns" in row else row["time_ns"]
    return time_ns


def _texts(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, Mapping):
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
        elif isinstance(each, int | float) and not isinstance(each, bool):
            yield str(each)


def line_of(record: Mapping[str, Any]) -> str:
    """A record as a person reads it: time, signal, and what it says."""
    return f"{moment(time_of(record))}  {record['signal']:<7}  {_said(record)}"


def _said(record: Mapping[str, Any]) -> str:
    if "end_ns" in record:
        milliseconds = (record["end_ns"] - record["start_ns"]) / 1e6
        return f"{record['name']}  {milliseconds:.3f} ms  trace {record['trace_id']}"
    if "kind" in record:
        value = record["value"] if record["value"] is not None else record["sum"]
        return f"{record['name']} = {value} {record['unit']}  {_pairs(record['attributes'])}"
    words = (record["severity_text"], record["event_name"], record["body"])
    return "  ".join(str(word) for word in words if word not in ("", None))


def _pairs(attributes: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in attributes.items())


def moment(time_ns: int | None) -> str:
    """RFC 3339 in UTC to the millisecond; a dash for no time."""
    if not time_ns:
        return "-"
    seconds, rest_ns = divmod(time_ns, NS_PER_S)
    # Not fromtimestamp with a fraction: a float rounds the last digits away.
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{rest_ns // 1_000_000:03d}Z"
