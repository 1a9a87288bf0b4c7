"""Times and durations as people and programs write them, to whole Unix nanoseconds and back.

Nothing here reads a clock: "now" is an argument. Texts follow RFC 3339 and keep all nine fraction
digits, which a float or a `datetime` would round away.
"""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from shared.errors import RpcError

NS_PER_S = 1_000_000_000
TIME_NS_MAX = 2**63 - 1
"""The year 2262: what a signed 64-bit column can hold."""

TimeInput = str | int | float

_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
_RELATIVE = re.compile(r"(?:now)?([+-])([0-9]{1,9})(ms|s|m|h|d|w)")
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d|w)?")
_SECONDS = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,9})?")
_UNIT_NS = {
    "ms": 1_000_000,
    "s": NS_PER_S,
    "m": 60 * NS_PER_S,
    "h": 3600 * NS_PER_S,
    "d": 86_400 * NS_PER_S,
    "w": 7 * 86_400 * NS_PER_S,
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_time(value: TimeInput, now_ns: int, parameter: str) -> int:
    """Unix nanoseconds of RFC 3339 text, Unix seconds, or text relative to now (`-15m`, `now`).

    Raises RpcError invalid_params that names the parameter.
    """
    time_ns = _text_time(value, now_ns) if isinstance(value, str) else _from_seconds(value)
    if time_ns is None:
        raise _refusal(parameter, value, "RFC 3339 text, Unix seconds, `now` or text like `-15m`")
    if not 0 <= time_ns <= TIME_NS_MAX:
        raise _refusal(parameter, value, "a time between 1970 and 2262 (numbers are Unix seconds)")
    return time_ns


def parse_duration(value: TimeInput, parameter: str) -> int:
    """Nanoseconds of seconds or of text like `30s`, `5m`; raises RpcError invalid_params."""
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        duration_ns = _to_ns(match[1], _UNIT_NS[match[2] or "s"]) if match else None
    else:
        duration_ns = _from_seconds(value)
    if duration_ns is None or not 0 < duration_ns <= TIME_NS_MAX:
        raise _refusal(parameter, value, "seconds above 0, or text like `30s`")
    return duration_ns


def format_time(time_ns: int) -> str:
    """RFC 3339 text in UTC, with 0, 3, 6 or 9 fraction digits and none lost."""
    seconds, fraction_ns = divmod(time_ns, NS_PER_S)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    digits = f"{fraction_ns:09d}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f"{text}.{digits}Z" if digits else f"{text}Z"


def _text_time(text: str, now_ns: int) -> int | None:
    text = text.strip()
    if text == "now":
        return now_ns
    if relative := _RELATIVE.fullmatch(text):
        distance_ns = int(relative[2]) * _UNIT_NS[relative[3]]
        return now_ns + distance_ns if relative[1] == "+" else max(0, now_ns - distance_ns)
    if _SECONDS.fullmatch(text):
        return _to_ns(text, NS_PER_S)
    return _rfc3339(text)


def _rfc3339(text: str) -> int | None:
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    date, minute, second, fraction, sign, offset_hours, offset_minutes = match.groups()
    try:
        moment = datetime.fromisoformat(f"{date}T{minute}:00+00:00")
    except ValueError:
        return None
    if int(second) > 60 or int(offset_hours or 0) > 23 or int(offset_minutes or 0) > 59:
        return None  # 60 is a leap second: RFC 3339 section 5.7; it counts as the next second.
    offset_s = int(offset_hours or 0) * 3600 + int(offset_minutes or 0) * 60
    seconds = (moment - _EPOCH) // timedelta(seconds=1) + int(second)
    seconds += offset_s if sign == "-" else -offset_s
    return seconds * NS_PER_S + int((fraction or "").ljust(9, "0"))


def _from_seconds(value: float) -> int | None:
    if isinstance(value, float) and not -1e12 < value < 1e12:
        return None  # Also refuses nan, which compares false with everything.
    return _to_ns(repr(value), NS_PER_S)


def _to_ns(number: str, unit_ns: int) -> int:
    return int(Decimal(number) * unit_ns)


def _refusal(parameter: str, value: TimeInput, wanted: str) -> RpcError:
    shown = repr(value)[:60]
    return RpcError(
        "invalid_params", f"{parameter}: {shown} is not {wanted}", {"parameter": parameter}
    )
