"""The metrics of a hub are in its own log as they are for Prometheus."""

from collections import Counter

from prometheus_client import generate_latest

from hub.exposition import Snapshot
from hub.own_metrics import own_metrics, own_resource, registry_of
from shared.otlp_rows import metric_points
from shared.receive.counters import Outcome, ReceiveCounters
from shared.records import Signal
from tests.unit.receive.sinks import ListSink, runtime


def snapshot() -> Snapshot:
    return Snapshot(
        Counter(batches=3), {"chunks": 7.0}, {"online": 2}, {"hub-2": 5}, {"hub-2": True}
    )


async def test_the_log_says_what_prometheus_would_be_told() -> None:
    registry = registry_of(snapshot)
    ReceiveCounters(registry).count(Outcome("logs", "stored"))
    sink = ListSink()
    metrics = own_metrics("hub-1", runtime(threads=False), sink, registry)
    assert await metrics.take()
    points = [p for part in sink.parts for p in metric_points(part.encoding, part.body)]
    told = {(p.name, *sorted(map(str, p.attributes.values()))): p.value for p in points}
    assert told["headwater_hub_chunks",] == 7
    assert told["headwater_hub_events_total", "batches"] == 3
    assert told["headwater_hub_nodes", "online"] == 2
    assert told["headwater_hub_peer_lag_chunks", "hub-2"] == 5
    assert told["headwater_receive_requests_total", "", "logs", "stored"] == 1
    for line in generate_latest(registry).decode().splitlines():
        name = line.partition(" ")[0].partition("{")[0]
        assert line.startswith("#") or name.endswith("_created") or name in {p.name for p in points}


async def test_they_are_those_of_a_hub_and_of_no_node() -> None:
    sink = ListSink()
    await own_metrics("hub-1", runtime(threads=False), sink, registry_of(snapshot)).take()
    assert {part.signal for part in sink.parts} == {Signal.METRICS}
    resources = [p.resource for part in sink.parts for p in metric_points(part.encoding, part.body)]
    assert all(resource == own_resource("hub-1") for resource in resources)
    assert own_resource("hub-1")["service.name"] == "headwater-hub"
    assert "headwater.node" not in own_resource("hub-1")


async def test_when_the_log_is_full_they_are_left_out_and_come_with_the_next() -> None:
    sink = ListSink(refusals=1)
    metrics = own_metrics("hub-1", runtime(threads=False), sink, registry_of(snapshot))
    assert not await metrics.take()
    assert sink.parts == []
    assert await metrics.take()
    assert sink.parts
