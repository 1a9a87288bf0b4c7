"""Pages about traces: the search, and one trace as a waterfall."""

from collections.abc import Mapping
from typing import Any

from hub.web.address import Asked, Field, read
from hub.web.page import Answer, Answers, Call, Page
from hub.web.searches import (
    ATTRIBUTE,
    NODES,
    RANGE,
    common_extras,
    common_shape,
    is_narrowed,
    range_of,
    read_search,
    values_of,
)

SPANS_SHOWN_MAX = 1000  # Beyond that a page gets slow; the twin has all of them.
SERVICE_COLOURS = 8
BAR_PERCENT_MIN = 0.25  # A span too short to see is still drawn.
INDENT_MAX = 16
SUGGESTED_MAX = 200

TRACE_FIELDS = (
    *RANGE,
    NODES,
    Field("service"),
    Field("name"),
    Field("min_duration_ms", "number"),
    Field("max_duration_ms", "number"),
    Field("errors_only", "flag"),
    Field("order"),
    Field("limit", "whole"),
    Field("cursor"),
)
_NARROWING = (
    *("start", "end", "node", "service", "name", "min_duration_ms", "max_duration_ms"),
    *("errors_only", ATTRIBUTE),
)


def _search_call(asked: Asked) -> Call:
    return Call("trace.search", read_search(asked, TRACE_FIELDS, "spans"))


def _search_extras(asked: Asked) -> Mapping[str, Call]:
    """Beside what all searches need, the services and names to choose from."""
    common = {"signal": "traces", "limit": SUGGESTED_MAX, **range_of(_search_call(asked).params)}
    return {
        **common_extras(),
        "services": Call("label.values", {**common, "label": "service"}),
        "names": Call("label.values", {**common, "label": "name"}),
    }


def _traces(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    rows = answer.get("items", [])
    longest = max((row["duration_ms"] for row in rows), default=0) or 1
    return {
        **common_shape(asked, extras, "traces"),
        "rows": [{**row, "percent": _percent(row["duration_ms"], longest)} for row in rows],
        "services": values_of(extras.get("services", {})),
        "names": values_of(extras.get("names", {})),
        "are_slowest": asked.one("order") == "slowest",
        "is_narrowed": is_narrowed(asked, _NARROWING),
    }


def _percent(part: float, whole: float) -> float:
    return round(min(100.0, max(BAR_PERCENT_MIN, 100 * part / whole)), 3)


def _trace_call(asked: Asked) -> Call:
    return Call("trace.get", {"trace_id": asked.parts["trace_id"], **read(asked, RANGE)})


def _trace(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    spans = answer.get("spans", [])
    services = sorted({str(span["service"] or "") for span in spans})
    colours = {name: index % SERVICE_COLOURS for index, name in enumerate(services)}
    whole = answer.get("duration_ms") or 1
    rows = [_bar(span, whole, colours) for span in spans[:SPANS_SHOWN_MAX]]
    return {
        "trace_id": asked.parts["trace_id"],
        "rows": rows,
        "rows_total": len(spans),
        "services": [(name or "no service", colours[name]) for name in services],
        "nodes": sorted({str(span["node"]) for span in spans}),
        "errors": sum(span["status"] == "error" for span in spans),
        "marks": [{"at": quarter * 25, "ms": whole * quarter / 4} for quarter in range(5)],
    }


def _bar(span: Mapping[str, Any], whole_ms: float, colours: Mapping[str, int]) -> dict[str, Any]:
    """Where a span lies under the whole, in percent; a label stands on the side with more room."""
    width = _percent(span["duration_ms"], whole_ms)
    left = round(min(100.0 - width, max(0.0, 100 * span["offset_ms"] / whole_ms)), 3)
    return {
        **span,
        "left": left,
        "width": width,
        "colour": colours[str(span["service"] or "")],
        "indent": min(span["depth"], INDENT_MAX),
    }


TRACES = Page(
    path="/traces",
    twin="/traces.json",
    template="traces.html",
    section="traces",
    main=_search_call,
    extras=_search_extras,
    shape=_traces,
)
TRACE = Page(
    path="/traces/{trace_id}",
    twin="/traces/{trace_id}.json",
    template="trace.html",
    section="traces",
    main=_trace_call,
    shape=_trace,
)

TRACE_PAGES = (TRACES, TRACE)
