"""What a hub observed of nodes over time, as a log of changes that its peers can hold, too.

A hub writes a line when its verdict changes, not while it lasts. Lines are numbered and never change.
Beside them stand *attendances*: the times in which the hub observed at all. A state lasts until the
next line of the same node and subject, but speaks only for times that were attended: a hub that was
down has no opinion. Rules only; wall times are Unix ms.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from hub.nodes.uptime import OF_STATE, Opinion, Span

LIVENESS = ""
"""The subject of verdicts about the node itself; every other subject is the name of a check."""

UNKNOWN = "unknown"
FLAPPING = "flapping"
FAILED = "failed"
OK = "ok"
BEGAN = "began"
"""The state of a line, about no node, that opens an attendance."""

REASON_CHARS_MAX = 200

Number = Annotated[int, Meta(ge=1, le=2**53)]
UnixMs = Annotated[int, Meta(ge=0, le=253_402_300_799_999)]
Label = Annotated[str, Meta(max_length=64)]


class Change(msgspec.Struct, frozen=True, array_like=True):
    """One line of an observer's log. `folded` changes happened before it that have no line."""

    number: Number
    node: Annotated[str, Meta(max_length=200)]
    subject: Label
    attendance: Number
    state: Annotated[str, Meta(min_length=1, max_length=20)]
    since_ms: UnixMs
    reason: Annotated[str, Meta(max_length=REASON_CHARS_MAX)] = ""
    folded: Annotated[int, Meta(ge=0, le=2**53)] = 0
    ended_ms: UnixMs = 0
    """For a line that opens an attendance: when the one before it ended."""


class Attendance(NamedTuple):
    """The hub observed from `since_ms` until at least `until_ms`."""

    number: int
    since_ms: int
    until_ms: int


class Told(NamedTuple):
    """A stretch of one observer's log as people read it."""

    log: str
    subject: str
    state: str
    since_ms: int
    until_ms: int
    reason: str
    folded: int


def log_name(hub_id: str, store_epoch: str) -> str:
    """The name of a log: a store that was restored writes a new one, so no number is used twice."""
    return f"{hub_id}@{store_epoch}"


def observer_of(log: str) -> str:
    """The hub that wrote a log."""
    return log.partition("@")[0]


def told(
    log: str,
    changes: Iterable[Change],
    attendances: Sequence[Attendance],
    start_ms: int,
    end_ms: int,
) -> list[Told]:
    """What an observer said of one node within a window, in the order of subjects and time.

    `changes` come from `by_log`. A state is carried over into the next attendance;
    times that contradict each other, after a clock was set, give no span rather than a negative one.
    """
    lines: dict[str, list[Change]] = {}
    for change in changes:
        lines.setdefault(change.subject, []).append(change)
    found: list[Told] = []
    for subject in sorted(lines):
        numbers = [line.attendance for line in lines[subject]]
        for attendance in attendances:
            window = (max(attendance.since_ms, start_ms), min(attendance.until_ms, end_ms))
            if window[0] < window[1]:
                found += _within(log, lines[subject], numbers, attendance, window)
    return found


def _within(
    log: str,
    lines: Sequence[Change],
    numbers: Sequence[int],
    attendance: Attendance,
    window: tuple[int, int],
) -> Iterable[Told]:
    first = bisect_left(numbers, attendance.number)
    mine = lines[first : bisect_right(numbers, attendance.number)]
    marks = [(line.since_ms, line) for line in mine]
    if first:
        marks.insert(0, (attendance.since_ms, lines[first - 1]))
    for index, (since_ms, line) in enumerate(marks):
        until_ms = marks[index + 1][0] if index + 1 < len(marks) else window[1]
        start, end = max(since_ms, window[0]), min(until_ms, window[1])
        if start < end:
            yield Told(log, line.subject, line.state, start, end, line.reason, line.folded)


def last_words(all_told: Iterable[Told], since_ms: int) -> dict[str, Told]:
    """By subject, what the observers that still spoke at that time said last; unknown is no word.

    When several still speak of one check, the one that began to say so last has it from the run
    that is the latest.
    """
    words: dict[str, Told] = {}
    for each in sorted(all_told, key=lambda one: (one.since_ms, one.log)):
        if each.until_ms >= since_ms and each.state != UNKNOWN:
            words[each.subject] = each
    return words


def opinion_of(subject: str, state: str) -> Opinion | None:
    """What a line says; None when it says nothing about health."""
    if subject == LIVENESS:
        return OF_STATE.get(state)
    return Opinion.FAILED if state in (FAILED, FLAPPING) else None


def spans_of(all_told: Iterable[Told]) -> list[Span]:
    """The opinions of which the merged verdict is made."""
    said = ((each, opinion_of(each.subject, each.state)) for each in all_told)
    return [Span(each.since_ms, each.until_ms, opinion) for each, opinion in said if opinion]


def joined(all_told: Iterable[Told]) -> list[Told]:
    """Neighbouring stretches with one state as one; what a person wants to read."""
    result: list[Told] = []
    for each in sorted(all_told, key=lambda one: (one.log, one.subject, one.since_ms)):
        last = result[-1] if result else None
        if last is not None and _continues(last, each):
            result[-1] = last._replace(until_ms=max(last.until_ms, each.until_ms))
        else:
            result.append(each)
    return result


def _continues(last: Told, each: Told) -> bool:
    same = last[:3] == each[:3] and last.reason == each.reason
    return same and each.since_ms <= last.until_ms


def by_log(rows: Iterable[tuple[str, Change]]) -> Mapping[str, list[Change]]:
    """Changes by the log that they stand in, each in the order in which it was written."""
    logs: dict[str, list[Change]] = {}
    for log, change in rows:
        logs.setdefault(log, []).append(change)
    for changes in logs.values():
        changes.sort(key=lambda change: (change.attendance, change.number))
    return logs
