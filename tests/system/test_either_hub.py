"""Two hubs and three edges: whatever is sent to an edge is found, complete and the same, on either hub."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from tests.system.processes import Answered, EdgeProcess, Fleet, HubProcess, eventually

NODES = ["edge-1", "edge-2", "edge-3"]


@dataclass
class Pair:
    """Two hubs, and edges that report to both."""

    hubs: tuple[HubProcess, HubProcess]
    edges: list[EdgeProcess]
    tailed: Path

    def on_either(self, look: Callable[[HubProcess], Any], what: str) -> Any:
        """What `look` finds, once it finds the same on both hubs."""
        first, second = (
            eventually(lambda hub=hub: look(hub), f"{what} on {hub.name}")  # type: ignore[misc]
            for hub in self.hubs
        )
        assert first == second
        return first


@pytest.fixture(scope="module")
def pair(lasting_fleet: Fleet) -> Pair:
    hubs = lasting_fleet.two_hubs()
    tailed = lasting_fleet.folder / "app.log"
    edges = [
        lasting_fleet.edge("edge-1", hubs, "HOST_METRICS_SECONDS=1", f"TAIL={tailed}"),
        lasting_fleet.edge("edge-2", hubs),
        lasting_fleet.edge("edge-3", hubs[:1]),  # It hears of the other hub from the first.
    ]
    lasting_fleet.settled(hubs, *edges)
    return Pair(hubs, edges, tailed)


def without(item: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key not in names}


def test_two_hubs_know_all_nodes(pair: Pair) -> None:
    def known(hub: HubProcess) -> list[dict[str, Any]]:
        nodes = hub.call("node.list")["items"]
        return [{"id": node["node_id"], "facts": node["facts"]} for node in nodes]

    nodes = pair.on_either(known, "all nodes")
    assert [node["id"] for node in nodes] == NODES
    assert {node["facts"]["cpus"] for node in nodes} == {psutil.cpu_count()}


def test_every_edge_is_registered_with_both_hubs(pair: Pair) -> None:
    """Each edge beats to each hub itself; none is known by hearsay only."""

    def heard_by(hub: HubProcess) -> dict[str, list[str]]:
        nodes = hub.call("node.list")["items"]
        heard = {node["node_id"]: sorted(node["hubs"]) for node in nodes}
        return heard if all(len(hubs) == 2 for hubs in heard.values()) else {}

    heard = pair.on_either(heard_by, "beats to both hubs")
    assert heard == {node: ["hub-1", "hub-2"] for node in NODES}


def test_the_hubs_know_each_other(pair: Pair) -> None:
    for hub, other in (pair.hubs, pair.hubs[::-1]):
        states = {each["hub_id"]: each["state"] for each in hub.call("hub.list")["items"]}
        assert states == {hub.name: "self", other.name: "alive"}


def test_logs_of_the_sdk_are_complete_on_either_hub(pair: Pair) -> None:
    provider = LoggerProvider(Resource.create({"service.name": "logs-of-sdk"}))
    exporter = OTLPLogExporter(endpoint=f"{pair.edges[0].otlp_url}/v1/logs")
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = provider.get_logger("tests")
    for number in range(1500):
        logger.emit(
            timestamp=1_700_000_000_000_000_000 + number,
            severity_number=SeverityNumber.WARN,
            severity_text="WARN",
            body=f"line {number}",
            attributes={"number": number},
        )
    provider.shutdown()

    def found(hub: HubProcess) -> list[dict[str, Any]] | None:
        records = hub.records(service="logs-of-sdk")
        return [without(each, "received") for each in records] if len(records) == 1500 else None

    records = pair.on_either(found, "all log records")
    assert [each["body"] for each in records] == [f"line {number}" for number in range(1500)]
    assert {each["node"] for each in records} == {"edge-1"}
    assert records[7]["attributes"] == {"number": 7}
    assert records[7]["severity"] == "WARN"
    assert records[7]["time"].startswith("2023-11-14T22:13:20.000000007")


def test_traces_of_the_sdk_are_complete_on_either_hub(pair: Pair) -> None:
    provider = TracerProvider(resource=Resource.create({"service.name": "traces-of-sdk"}))
    exporter = OTLPSpanExporter(endpoint=f"{pair.edges[1].otlp_url}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("tests")
    with tracer.start_as_current_span("order") as order:
        for number in range(20):
            with tracer.start_as_current_span(f"item {number}"):
                pass
    provider.shutdown()
    trace_id = f"{order.get_span_context().trace_id:032x}"

    def found(hub: HubProcess) -> dict[str, Any] | None:
        try:
            trace = hub.call("trace.get", trace_id=trace_id)
        except Answered:
            return None
        return without(trace, "coverage") if len(trace["spans"]) == 21 else None

    trace = pair.on_either(found, "the whole trace")
    assert [span["name"] for span in trace["spans"]] == [
        "order",
        *(f"item {number}" for number in range(20)),
    ]
    (summary,) = pair.on_either(
        lambda hub: hub.call("trace.search", service="traces-of-sdk")["items"], "the trace"
    )
    assert (summary["trace_id"], summary["spans"]) == (trace_id, 21)
    assert (summary["root_name"], summary["nodes"]) == ("order", ["edge-2"])


def test_metrics_of_the_sdk_are_complete_on_either_hub(pair: Pair) -> None:
    exporter = OTLPMetricExporter(endpoint=f"{pair.edges[2].otlp_url}/v1/metrics")
    reader = PeriodicExportingMetricReader(exporter)
    provider = MeterProvider([reader], Resource.create({"service.name": "metrics-of-sdk"}))
    meter = provider.get_meter("tests")
    orders = meter.create_counter("test.orders", "{order}")
    for shop in range(5):
        orders.add(10 + shop, {"shop": f"s{shop}"})
    meter.create_gauge("test.depth", "m").set(7.5)
    provider.shutdown()

    def newest(hub: HubProcess, name: str) -> dict[str, float]:
        series = hub.call("metric.query", name=name, start="-10m", aggregation="last")["series"]
        return {
            each["attributes"].get("shop", ""): value
            for each in series
            for _, value in each["points"]
            if value is not None
        }

    counts = pair.on_either(lambda hub: newest(hub, "test.orders"), "the counter")
    assert counts == {f"s{shop}": 10 + shop for shop in range(5)}
    assert pair.on_either(lambda hub: newest(hub, "test.depth"), "the gauge") == {"": 7.5}


def test_the_machine_itself_is_measured(pair: Pair) -> None:
    """Host metrics come with OpenTelemetry's names and with the figures of this machine."""
    wanted = {
        "system.cpu.time",
        "system.memory.usage",
        "system.disk.io",
        "system.network.io",
        "system.cpu.load_average.1m",
        "system.filesystem.usage",
    }

    def names(hub: HubProcess) -> set[str]:
        items = hub.call("metric.names", nodes=["edge-1"])["items"]
        return wanted & {item["name"] for item in items if item["nodes"]}

    for hub in pair.hubs:
        eventually(lambda hub=hub: names(hub) == wanted, f"all host metrics on {hub.name}")  # type: ignore[misc]
        answer = hub.call(
            "metric.query", name="system.memory.usage", nodes=["edge-1"], aggregation="last"
        )
        newest = [
            max((at, value) for at, value in series["points"] if value is not None)[1]
            for series in answer["series"]
        ]
        assert answer["unit"] == "By"
        assert sum(newest) == pytest.approx(psutil.virtual_memory().total, rel=0.2)


def test_a_growing_file_is_followed_to_both_hubs(pair: Pair) -> None:
    """Also when it is rotated while it grows: each line once, in order."""
    lines = [f"line {number} of the file" for number in range(600)]
    with pair.tailed.open("a") as file:
        for line in lines[:300]:
            file.write(line + "\n")
            file.flush()
    eventually(
        lambda: pair.hubs[0].records(nodes=["edge-1"], text="line 299 of the file"),
        "the first half arrives",
    )
    pair.tailed.rename(pair.tailed.with_name("app.log.1"))
    with pair.tailed.open("a") as file:
        for line in lines[300:]:
            file.write(line + "\n")
            file.flush()

    def found(hub: HubProcess) -> list[str] | None:
        records = hub.records(nodes=["edge-1"], text=" of the file")
        by_place = sorted(records, key=lambda each: (each["seq"], each["index"]))
        return [each["body"] for each in by_place] if len(records) >= 600 else None

    assert pair.on_either(found, "all lines") == lines


def test_an_answer_says_what_it_covers(pair: Pair) -> None:
    def complete(hub: HubProcess) -> bool:
        coverage = hub.call("log.query", limit=1)["coverage"]
        assert coverage["hub"] == hub.name
        return not coverage["partial"] and coverage["complete_until"] is not None

    pair.on_either(complete, "complete answers")
