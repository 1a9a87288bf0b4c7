"""The page about logs: bars over time, records, and the losses among them."""

from collections.abc import Mapping, Sequence
from typing import Any

from hub.query.coverage import SKEW_MS_MAX
from hub.query.log_items import GAP_EVENT
from hub.query.match import SEVERITIES
from hub.query.times import NS_PER_S, TIME_NS_MAX, parse_time
from hub.web import formats
from hub.web.address import Asked, Field, relative
from hub.web.bars import bars_of
from hub.web.event_words import gap_sentence, is_loss
from hub.web.page import Answer, Answers, Call, Page
from hub.web.searches import (
    ATTRIBUTE,
    BACKFILLED,
    NODES,
    RANGE,
    common_extras,
    common_shape,
    is_narrowed,
    range_of,
    read_backfilled,
    read_search,
)
from shared.errors import RpcError
from shared.records import Signal

LATE_SECONDS = 60.0  # Batches wait for seconds; what takes longer has been held up.
BINS = 60
GAPS_ASKED = 50
WORDS = "word"
BARS = "bars"  # Asked for where counting takes reading, which takes seconds.

BACKFILL_CHOICES = (("yes", "came late"), ("no", "came at once"))

FILTER_FIELDS = (
    NODES,
    Field("severity"),
    Field("severity_max"),
    Field("text"),
    Field("service", "many", "services"),
    Field("trace_id"),
    Field("signal"),
)
PAGE_FIELDS = (Field("limit", "whole"), Field("cursor"), Field("order"))
LOG_FIELDS = (*RANGE, *FILTER_FIELDS, *PAGE_FIELDS)

NARROWING = (
    *("start", "end", "node", "severity", "severity_max", "text", WORDS, "service", "trace_id"),
    *(ATTRIBUTE, BACKFILLED),
)
_SIGNALS = frozenset(map(str, Signal))
_NEEDS_READING = frozenset({"text", "words", "trace_id", "attributes", "backfilled"})
"""What the sums of an index cannot tell."""

_OF_A_PAGE = frozenset({"limit", "cursor", "order"})
_NOT_OF_A_TAIL = frozenset({"start", "end", "limit", "cursor", "order", BARS})


def read_log_search(asked: Asked, fields: Sequence[Field]) -> dict[str, Any]:
    """The parameters of a search in logs; raises RpcError invalid_params."""
    params = read_search(asked, fields, "records", (WORDS, BACKFILLED, BARS))
    words = [word for text in asked.many(WORDS) for word in text.split()]
    return {**params, **({"words": words} if words else {}), **read_backfilled(asked)}


def _log_call(asked: Asked) -> Call:
    return Call("log.query", read_log_search(asked, LOG_FIELDS))


def _log_extras(asked: Asked) -> Mapping[str, Call]:
    params = read_log_search(asked, LOG_FIELDS)
    searched = {key: value for key, value in params.items() if key not in _OF_A_PAGE}
    gaps = {"type": GAP_EVENT, "limit": GAPS_ASKED, **range_of(params, "nodes", "order")}
    extras = {
        **common_extras(),
        "gaps": Call("event.list", gaps),
        # The sums of an index tell the services of the last hour without reading a record.
        "services": Call("log.histogram", {"by": "service", "bins": 1}),
    }
    if _can_have_bars(params) and (asked.one(BARS) or not needs_reading(params)):
        extras["bars"] = Call("log.histogram", {**searched, "bins": BINS})
    return extras


def needs_reading(params: Mapping[str, Any]) -> bool:
    """Whether counting takes so long that the records had better be shown before."""
    return not _NEEDS_READING.isdisjoint(params)


def _can_have_bars(params: Mapping[str, Any]) -> bool:
    """Bars need a beginning; without one they begin an hour ago."""
    return "start" in params or "end" not in params


def _later_bars(asked: Asked) -> str:
    """The address with the bars that were left for later; nothing when none were."""
    try:
        params = read_log_search(asked, LOG_FIELDS)
    except RpcError:
        return ""
    is_later = needs_reading(params) and _can_have_bars(params) and not asked.one(BARS)
    return asked.with_changes(bars="1") if is_later else ""


def _logs(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    signal = asked.one("signal") or "logs"
    rows = [record_of(row) for row in answer.get("items", [])]
    gaps = [gap for gap in extras.get("gaps", {}).get("items", []) if _concerns(gap, signal)]
    kept = [(k, v) for k, v in asked.query.multi_items() if v and k not in _NOT_OF_A_TAIL]
    bars = extras.get("bars", {})
    return {
        **common_shape(asked, extras, signal),
        "rows": with_gaps(asked, rows, gaps, is_last=not answer.get("cursor")),
        "records_shown": len(rows),
        "bars": bars_of(bars),
        "later_bars": _later_bars(asked),
        "bars_error": (bars.get("error") or {}).get("message"),
        "severities": list(SEVERITIES),
        "services": sorted(filter(None, extras.get("services", {}).get("totals", {}))),
        "backfill_choices": BACKFILL_CHOICES,
        "tail_query": relative(kept) if kept else "",
        "is_narrowed": is_narrowed(asked, NARROWING),
    }


def record_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """A record as lists show it."""
    return {**row, "level": level(row), "late": lateness(row)}


def level(row: Mapping[str, Any]) -> str:
    """How a record is marked: the name of the OpenTelemetry range that its severity is in."""
    number = row.get("severity_number")
    if not isinstance(number, int) or number < 1:
        return "unset"
    return [name for name, least in SEVERITIES.items() if number >= least][-1]


def lateness(row: Mapping[str, Any]) -> str:
    """What people should know of when a record came; nothing when it came as usual."""
    delay_s = row.get("delay_s")
    if not isinstance(delay_s, int | float):
        return ""
    if delay_s < -SKEW_MS_MAX / 1000:
        return f"its clock is {formats.age(-delay_s)} ahead"
    is_late = row.get("backfilled") or delay_s >= LATE_SECONDS
    return f"arrived {formats.age(delay_s)} later" if is_late else ""


# ---- Losses among the records


def _concerns(event: Mapping[str, Any], signal: str) -> bool:
    """Whether a declared loss can have held records of this signal."""
    gap = event.get("gap") or {}
    return is_loss(gap) and (gap.get("signal") == signal or gap.get("signal") not in _SIGNALS)


def with_gaps(
    asked: Asked,
    rows: Sequence[Mapping[str, Any]],
    gaps: Sequence[Mapping[str, Any]],
    *,
    is_last: bool,
) -> list[Mapping[str, Any]]:
    """The rows of a page with the losses that were declared between them, as the order asks.

    A first page begins, and a last page ends, where the range does.
    """
    newest_first = asked.one("order") != "oldest"
    times = [_ns(row) for row in rows]
    low, high = min(times, default=0), max(times, default=TIME_NS_MAX)
    opens_early, opens_late = (is_last, not asked.one("cursor"))
    if not newest_first:
        opens_early, opens_late = opens_late, opens_early
    placed = [
        gap for gap in gaps if (opens_early or _ns(gap) >= low) and (opens_late or _ns(gap) <= high)
    ]
    told = [{**gap, "lost": gap_sentence(gap.get("gap") or {})} for gap in placed]
    return sorted([*rows, *told], key=_ns, reverse=newest_first) if told else list(rows)


def _ns(row: Mapping[str, Any]) -> int:
    try:
        return parse_time(str(row.get("time") or ""), NS_PER_S, "time")
    except RpcError:
        return 0  # A record without a time that can be read stands at the beginning.


LOGS = Page(
    path="/logs",
    twin="/logs.json",
    template="logs.html",
    section="logs",
    main=_log_call,
    extras=_log_extras,
    shape=_logs,
)

LOG_PAGES = (LOGS,)
