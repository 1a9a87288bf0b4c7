"""The page about metrics: the names there are, and the series of one of them as lines and a table."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from hub.query.metric_selector import label_text
from hub.web.address import Asked, Field
from hub.web.chart import chart_of
from hub.web.page import Answer, Answers, Call, Page
from hub.web.searches import NODES, RANGE, common_extras, common_shape, range_of, read_search

NAMES_SHOWN_MAX = 1000
SERIES_ASKED = 1000
SERIES_SHOWN_MAX = 200
LABEL_VALUES_SHOWN = 12
QUANTILE_DEFAULT = 0.95
QUANTILE = "quantile"
NODE = "node"

AGGREGATIONS = (
    *("avg", "min", "max", "sum", "count", "last"),
    *("rate", "increase", QUANTILE),
)
COMBINATIONS = ("sum", "avg", "min", "max", "count")
STEPS = ("10s", "30s", "1m", "5m", "15m", "1h", "1d")

METRIC_FIELDS = (
    *RANGE,
    Field("name"),
    NODES,
    Field("step"),
    Field("aggregation"),
    Field(QUANTILE, "number"),
    Field("group_by", "many"),
    Field("group"),
)


def _read(asked: Asked) -> dict[str, Any]:
    """The parameters of the question. A quantile goes with its aggregation only: a form sends its
    field along whatever is chosen."""
    params = read_search(asked, METRIC_FIELDS, "series")
    if params.get("aggregation") == QUANTILE:
        return {QUANTILE: QUANTILE_DEFAULT, **params}
    if "aggregation" in params:
        params.pop(QUANTILE, None)
    return params


def _metric_call(asked: Asked) -> Call:
    params = _read(asked)
    if "name" in params:
        return Call("metric.query", params)
    return Call("metric.names", range_of(params, "nodes"))


def _metric_extras(asked: Asked) -> Mapping[str, Call]:
    """The names to choose from, and the series of the chosen one."""
    params = _read(asked)
    if "name" not in params:
        return common_extras()
    series = {**range_of(params, "name", "nodes", "attributes"), "limit": SERIES_ASKED}
    return {
        **common_extras(),
        "names": Call("metric.names", range_of(params)),
        "series": Call("series.list", series),
    }


def _metrics(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    chosen = asked.one("name")
    names = (extras.get("names", {}) if chosen else answer).get("items", [])
    series = extras.get("series", {}).get("items", [])
    labels = labels_of(series)
    keys = {each["key"] for each in labels} | {NODE, *asked.many("group_by")}
    return {
        **common_shape(asked, extras, "metrics"),
        "name": chosen,
        "names": names[:NAMES_SHOWN_MAX],
        "names_total": len(names),
        "known_names": sorted({str(item["name"]) for item in names} | ({chosen} - {""})),
        "chart": chart_of(_named(answer)) if chosen else None,
        "series": series[:SERIES_SHOWN_MAX],
        "series_total": len(series),
        "series_complete": extras.get("series", {}).get("scanned", {}).get("complete", True),
        "labels": labels,
        "group_keys": sorted(keys),
        "aggregations": AGGREGATIONS,
        "combinations": COMBINATIONS,
        "steps": STEPS,
    }


def labels_of(series: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The labels that series have, each with its values, the most frequent first."""
    counts: dict[str, Counter[str]] = {}
    for each in series:
        held = {NODE: each.get("node"), **(each.get("attributes") or {})}
        for key, value in held.items():
            counts.setdefault(key, Counter())[label_text(value)] += 1
    return [
        {
            "key": key,
            "values": counts[key].most_common(LABEL_VALUES_SHOWN),
            "more": max(0, len(counts[key]) - LABEL_VALUES_SHOWN),
        }
        for key in sorted(counts)
    ]


def _named(answer: Answer) -> Answer:
    """The answer with a name for lines that came of several nodes and have no label."""
    if "group" not in answer:
        return answer
    series = [
        {**each, "node": each["node"] or ("" if each["attributes"] else "all together")}
        for each in answer.get("series", [])
    ]
    return {**answer, "series": series}


METRICS = Page(
    path="/charts",
    twin="/charts.json",
    template="charts.html",
    section="charts",
    main=_metric_call,
    extras=_metric_extras,
    shape=_metrics,
)

METRIC_PAGES = (METRICS,)
