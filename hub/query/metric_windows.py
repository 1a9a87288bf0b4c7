"""Sets of times, as spans in order."""

from bisect import bisect_right
from collections.abc import Iterable

Windows = list[tuple[int, int]]
"""Times [start, end), in order and apart."""

_TIME_MAX = 2**63


def windows_of(buckets: Iterable[int], width_ns: int) -> Windows:
    """The times of these buckets."""
    windows: Windows = []
    for bucket in sorted(buckets):
        start_ns = bucket * width_ns
        if windows and windows[-1][1] == start_ns:
            start_ns = windows.pop()[0]
        windows.append((start_ns, (bucket + 1) * width_ns))
    return windows


def is_within(windows: Windows, time_ns: int) -> bool:
    """Whether one of the windows holds the time."""
    place = bisect_right(windows, (time_ns, _TIME_MAX)) - 1
    return place >= 0 and time_ns < windows[place][1]


def united(all_windows: Iterable[Windows]) -> Windows:
    """The times that any of them has."""
    union: Windows = []
    for start_ns, end_ns in sorted({window for windows in all_windows for window in windows}):
        if union and start_ns <= union[-1][1]:
            union[-1] = union[-1][0], max(end_ns, union[-1][1])
        else:
            union.append((start_ns, end_ns))
    return union


def meets(windows: Windows, first_ns: int, last_ns: int) -> bool:
    """Whether a span, both ends included, touches one of the windows."""
    place = bisect_right(windows, (last_ns, _TIME_MAX)) - 1
    return place >= 0 and first_ns < windows[place][1]
