"""The time stamps of syslog messages: ISO 8601 as in RFC 5424, and "Nov 21 10:00:00" as in RFC 3164."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

SECOND_NS = 1_000_000_000

TIME_NS_MAX = 2**63 - 1
"""The year 2262: what a signed integer of 64 bits holds, as databases have."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# RFC 5424, 6.2.3, allows six digits of a second; some senders give nine, nobody needs more.
_ISO = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r"(?:\.([0-9]{1,12}))?(Z|[+-][0-9]{2}:?[0-9]{2})?(?= |$)"
)

# RFC 3164, 4.1.2; the year, the fraction, the marks before and the colon after are habits of
# network equipment.
_BSD = re.compile(
    r"[*.]?(" + "|".join(_MONTHS) + r") {1,2}([0-9]{1,2})(?: ([0-9]{4}))? "
    r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,12}))?:?(?= |$)"
)


@dataclass(frozen=True, slots=True)
class Clock:
    """What a time stamp that says too little is measured by: when it came, and the local time."""

    received_ns: int
    utc_offset_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Stamp:
    """A time stamp found at the start of a text: its length there, and the time.

    `time_ns` is None when it has the form of one but means no time that can be kept: 31 November,
    or a year before 1970 or after 2261.
    """

    length: int
    time_ns: int | None


def find_stamp(text: str, clock: Clock) -> Stamp | None:
    """The time stamp that a text begins with, in either form; None when there is none."""
    if found := _ISO.match(text):
        return Stamp(found.end(), _iso_ns(found, clock))
    if found := _BSD.match(text):
        return Stamp(found.end(), _bsd_ns(found, clock))
    return None


def _iso_ns(found: re.Match[str], clock: Clock) -> int | None:
    year, month, day, hour, minute, second, fraction, offset = found.groups()
    offset_seconds = _offset_seconds(offset, clock)
    if offset_seconds is None:
        return None
    time = _time_ns(int(year), int(month), int(day), (hour, minute, second), fraction)
    return _kept(time, offset_seconds)


def _bsd_ns(found: re.Match[str], clock: Clock) -> int | None:
    month, day, year, hour, minute, second, fraction = found.groups()
    here = clock.utc_offset_seconds
    years = [int(year)] if year else _years_near(clock)
    times = [
        _time_ns(choice, _MONTHS.index(month) + 1, int(day), (hour, minute, second), fraction)
        for choice in years
    ]
    kept = [time for choice in times if (time := _kept(choice, here)) is not None]
    return min(kept, key=lambda time: abs(time - clock.received_ns), default=None)


def _years_near(clock: Clock) -> list[int]:
    """The years one of which a message without a year is from: a late one, or one ahead of time."""
    local_seconds = clock.received_ns // SECOND_NS + clock.utc_offset_seconds
    year = (_EPOCH + timedelta(seconds=local_seconds)).year
    return [year - 1, year, year + 1]


def _time_ns(
    year: int, month: int, day: int, clock_time: tuple[str, str, str], fraction: str | None
) -> int | None:
    hour, minute, second = map(int, clock_time)
    leap = second == 60  # Forbidden by RFC 5424, and sent all the same once in some years.
    try:
        moment = datetime(year, month, day, hour, minute, 59 if leap else second, tzinfo=UTC)
    except ValueError:
        return None
    seconds = (moment - _EPOCH) // timedelta(seconds=1) + leap
    return seconds * SECOND_NS + int((fraction or "").ljust(9, "0")[:9])


def _offset_seconds(offset: str | None, clock: Clock) -> int | None:
    if offset is None:
        return clock.utc_offset_seconds
    if offset == "Z":
        return 0
    hours, minutes = int(offset[1:3]), int(offset[-2:])
    if hours > 23 or minutes > 59:
        return None
    return (hours * 3600 + minutes * 60) * (-1 if offset[0] == "-" else 1)


def _kept(local_ns: int | None, offset_seconds: int) -> int | None:
    if local_ns is None:
        return None
    time_ns = local_ns - offset_seconds * SECOND_NS
    # Zero would mean "no time" to everybody who reads it.
    return time_ns if 0 < time_ns <= TIME_NS_MAX else None
