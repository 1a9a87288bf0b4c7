"""Asking metric.query of a small fleet."""

from typing import Any

from hub.query.metric_index import MetricIndexes
from hub.query.metrics import query_metric, read_metric_query
from hub.query.scan import Limits
from shared.records import Signal
from tests.unit.query.stock import BASE_S, NOW_NS, ListReader, gauge, metrics

RANGE = {"start": BASE_S, "end": BASE_S + 60}


def ask(
    reader: ListReader,
    index: MetricIndexes | None = None,
    limits: Limits | None = None,
    **more: Any,
) -> dict[str, Any]:
    query = read_metric_query({"name": "m", "step": 10, **RANGE, **more}, NOW_NS)
    return query_metric(reader, query, index=index, **({"limits": limits} if limits else {}))


def values(answer: dict[str, Any]) -> dict[str, list[float | None]]:
    """The first two values of each series, by its node and attributes."""
    return {
        " ".join([one["node"], *map(str, one["attributes"].values())]).strip(): [
            value if value is None else round(value, 6) for _, value in one["points"][:2]
        ]
        for one in answer["series"]
    }


def fleet_reader() -> ListReader:
    """Two nodes with three processors each."""
    reader = ListReader()
    for node in (1, 2):
        for cpu, mode in [(0, "user"), (0, "system"), (1, "user")]:
            reading = 100 * node + 10 * cpu + len(mode)
            metric = gauge("m", [(1, reading), (11, 2 * reading)], cpu=cpu, mode=mode)
            reader.put(
                Signal.METRICS, metrics([metric], {"service.name": "s", "os": "x"}), f"edge-{node}"
            )
    return reader
