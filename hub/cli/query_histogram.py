"""A histogram as bars of text: one line for each step, one sign for each group."""

from collections.abc import Iterator, Mapping
from typing import Any

from hub.cli.output import moment
from shared.terminal import safe

SIGNS = "█▓▒░#*+o"
"""One for each group, the most frequent first; all groups beyond share the last."""

_WIDTH_MIN = 10


def bar_lines(answer: Mapping[str, Any], width: int) -> Iterator[str]:
    """The bars of a log.histogram, no line wider than `width` where that is at all possible."""
    bins = answer.get("bins") or []
    signs = signs_of(answer.get("totals") or {})
    most = max((held["records"] for held in bins), default=0)
    count_width = len(f"{most:,}")
    for held in bins:
        time = moment(held["time"])
        room = max(_WIDTH_MIN, width - len(time) - count_width - 4)
        bar = bar_of(held["counts"], signs, most, room)
        yield f"{time}  {held['records']:>{count_width},}  {bar}".rstrip()
    if len(signs) > 1:
        yield legend(answer.get("totals") or {}, signs)


def signs_of(totals: Mapping[str, int]) -> dict[str, str]:
    """The sign of each group."""
    groups = sorted(totals, key=lambda group: (-totals[group], group))
    return {group: SIGNS[min(place, len(SIGNS) - 1)] for place, group in enumerate(groups)}


def bar_of(counts: Mapping[str, int], signs: Mapping[str, str], most: int, room: int) -> str:
    """One bar; it is as long as its share of the longest one, rounded up, so that one record shows."""
    bar, total = "", 0
    for group in signs:
        total += counts.get(group, 0)
        # The sum is rounded and not each part, so that bars can be compared.
        bar += signs[group] * (-(-total * room // (most or 1)) - len(bar))
    return bar


def legend(totals: Mapping[str, int], signs: Mapping[str, str]) -> str:
    """What the signs mean, with the records of each group in all."""
    return "  ".join(
        f"{sign} {safe(group) or 'none'} {totals[group]:,}" for group, sign in signs.items()
    )
