"""Pages about telemetry: logs, metrics, traces, one trace."""

from collections.abc import Mapping, Sequence
from typing import Any

from hub.query.match import SEVERITIES
from hub.web.address import Asked, Field, read
from hub.web.chart import chart_of
from hub.web.page import Answer, Answers, Call, Page

SPANS_SHOWN_MAX = 1000  # Beyond that a page gets slow; the twin has all of them.
NAMES_SHOWN_MAX = 1000
SERVICE_COLOURS = 8
BAR_PERCENT_MIN = 0.25  # A span too short to see is still drawn.
INDENT_MAX = 16

AGGREGATIONS = ("avg", "min", "max", "sum", "count", "last", "rate")
STEPS = ("10s", "30s", "1m", "5m", "15m", "1h", "1d")

RANGES = (
    ("-15m", "15 min"),
    ("-1h", "1 hour"),
    ("-6h", "6 hours"),
    ("-1d", "1 day"),
    ("-7d", "7 days"),
)

RANGE = (Field("start"), Field("end"))
NODES = Field("node", "many", "nodes")
ATTRIBUTES = Field("attribute", "pairs", "attributes")

LOG_FIELDS = (
    *RANGE,
    NODES,
    Field("severity"),
    Field("text"),
    Field("service"),
    Field("trace_id"),
    ATTRIBUTES,
    Field("signal"),
    Field("limit", "whole"),
    Field("cursor"),
    Field("order"),
)
METRIC_FIELDS = (*RANGE, Field("name"), NODES, Field("step"), Field("aggregation"), ATTRIBUTES)
TRACE_FIELDS = (
    *RANGE,
    NODES,
    Field("service"),
    Field("name"),
    Field("min_duration_ms", "number"),
    Field("errors_only", "flag"),
    Field("limit", "whole"),
    Field("cursor"),
)


def _node_list(asked: Asked) -> Mapping[str, Call]:
    return {"nodes": Call("node.list")}


def _node_ids(asked: Asked, extras: Answers) -> list[str]:
    """The nodes to choose from, with those that are chosen although nobody knows them."""
    known = {str(node["node_id"]) for node in extras.get("nodes", {}).get("items", [])}
    return sorted(known | set(asked.many("node")))


def _is_narrowed(asked: Asked, names: Sequence[str]) -> bool:
    return any(asked.one(name) for name in names)


def _logs(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    filters = ("start", "end", "node", "severity", "text", "service", "trace_id", "attribute")
    return {
        "rows": [{**row, "level": level(row)} for row in answer.get("items", [])],
        "node_ids": _node_ids(asked, extras),
        "severities": list(SEVERITIES),
        "ranges": RANGES,
        "is_narrowed": _is_narrowed(asked, filters),
    }


def level(row: Mapping[str, Any]) -> str:
    """How a record is marked: the name of the OpenTelemetry range that its severity is in."""
    number = row.get("severity_number")
    if not isinstance(number, int) or number < 1:
        return "unset"
    return [name for name, least in SEVERITIES.items() if number >= least][-1]


def _metric_call(asked: Asked) -> Call:
    params = read(asked, METRIC_FIELDS)
    if "name" in params:
        return Call("metric.query", params)
    return Call(
        "metric.names", {key: params[key] for key in ("start", "end", "nodes") if key in params}
    )


def _metric_extras(asked: Asked) -> Mapping[str, Call]:
    """The names to choose from, when the main call did not ask for them already."""
    if not asked.one("name"):
        return _node_list(asked)
    params = {key: asked.one(key) for key in ("start", "end") if asked.one(key)}
    return {**_node_list(asked), "names": Call("metric.names", params)}


def _metrics(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    chosen = asked.one("name")
    names = (extras.get("names", {}) if chosen else answer).get("items", [])
    return {
        "name": chosen,
        "names": names[:NAMES_SHOWN_MAX],
        "names_total": len(names),
        "known_names": sorted({str(item["name"]) for item in names} | ({chosen} - {""})),
        "chart": chart_of(answer) if chosen else None,
        "node_ids": _node_ids(asked, extras),
        "ranges": RANGES,
        "aggregations": AGGREGATIONS,
        "steps": STEPS,
    }


def _traces(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    rows = answer.get("items", [])
    longest = max((row["duration_ms"] for row in rows), default=0) or 1
    filters = ("start", "end", "node", "service", "name", "min_duration_ms", "errors_only")
    return {
        "rows": [{**row, "percent": _percent(row["duration_ms"], longest)} for row in rows],
        "node_ids": _node_ids(asked, extras),
        "ranges": RANGES,
        "is_narrowed": _is_narrowed(asked, filters),
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


LOGS = Page(
    path="/logs",
    twin="/logs.json",
    template="logs.html",
    section="logs",
    main=lambda asked: Call("log.query", read(asked, LOG_FIELDS)),
    extras=_node_list,
    shape=_logs,
)
METRICS = Page(
    path="/charts",
    twin="/charts.json",
    template="charts.html",
    section="charts",
    main=_metric_call,
    extras=_metric_extras,
    shape=_metrics,
)
TRACES = Page(
    path="/traces",
    twin="/traces.json",
    template="traces.html",
    section="traces",
    main=lambda asked: Call("trace.search", read(asked, TRACE_FIELDS)),
    extras=_node_list,
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

TELEMETRY_PAGES = (LOGS, METRICS, TRACES, TRACE)
