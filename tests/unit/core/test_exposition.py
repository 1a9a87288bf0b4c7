"""What an edge says of itself to Prometheus, and keeps among its own telemetry."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from edge.agent import Agent, Host
from edge.buffer import Buffer
from edge.exposition import registry_of
from edge.identity import Identity
from edge.push import Next
from shared.otlp_rows import metric_points
from shared.ranges import Ranges
from shared.receive.counters import ReceiveCounters
from shared.receive.self_metrics import SelfMetrics
from shared.records import KIB, Signal
from shared.runtime import HttpReply, Runtime
from tests.unit.core.buffers import alert, all_chunks, fill, running
from tests.unit.receive.sinks import ListSink


class Nobody:
    """A client of hubs that nobody uses here."""

    async def request(self, *_: Any, **__: Any) -> HttpReply:
        raise AssertionError("no hub is there")

    async def close(self) -> None:
        return


def agent_on(buffer: Buffer, runtime: Runtime) -> Agent:
    identity = Identity("edge-1", "key", 1)
    runtime = replace(runtime, http=Nobody)
    return Agent(identity, buffer, runtime, ["http://hub-1:8470"], "key", Host(dict, dict))


def said(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"headwater_edge_{name}", labels)


async def test_every_number_of_the_buffer_and_its_ledger_is_there(
    tmp_path: Path, runtime: Runtime
) -> None:
    async with running(tmp_path, runtime) as buffer:
        registry = registry_of(agent_on(buffer, runtime))
        await fill(buffer, Signal.LOGS, 4)
        await buffer.append(alert("hot"))
        await buffer.release(Ranges(((1, 1),)))
        await buffer.bury(2, "no")
        held = {
            signal: said(registry, "buffer_records", signal=signal) for signal in ("logs", "events")
        }
        assert held == {"logs": 20, "events": 2}  # With the chunk that declares the dead letter.
        fates = ("produced", "safe", "accepted", "buffered", "shed", "rejected", "damaged")
        assert [said(registry, "ledger_records", signal="logs", fate=fate) for fate in fates] == [
            40,
            10,
            0,
            20,
            0,
            10,
            0,
        ]
        assert said(registry, "buffer_head_seq") == 6
        assert said(registry, "buffer_dead_letters") == 1
        assert said(registry, "buffer_commits_total") == 5
        assert said(registry, "buffer_committed_parts_total") == 5
        assert said(registry, "buffer_bytes_max") == 500 * 1024 * KIB
        for name in ("segments", "file_bytes", "wal_bytes", "disk_free_bytes", "reserve"):
            assert said(registry, f"buffer_{name}") is not None, name
        assert (said(registry, "buffer_oldest_age_seconds") or 0) >= 0


async def test_pushes_and_hubs_are_told_from_the_start(tmp_path: Path, runtime: Runtime) -> None:
    """With zeros: a rate over a counter that appears with its first event misses that event."""
    async with running(tmp_path, runtime) as buffer:
        agent = agent_on(buffer, runtime)
        registry = registry_of(agent)
        assert {said(registry, "pushes_total", outcome=each) for each in Next} == {0}
        settled = {
            said(registry, "settled_total", how=how)
            for how in ("split", "dead_letter", "new_epoch")
        }
        assert settled == {0}
        agent.hubs.learn(["http://hub-1:8470"])
        for name in ("linked", "have_seq", "safe_seq", "circuit_closed"):
            assert said(registry, f"hub_{name}", hub="http://hub-1:8470") == 0, name


async def test_the_same_numbers_are_kept_as_metrics_of_the_machine(
    tmp_path: Path, runtime: Runtime
) -> None:
    async with running(tmp_path, runtime) as buffer:
        registry = registry_of(agent_on(buffer, runtime))
        ReceiveCounters(registry)
        await fill(buffer, Signal.LOGS, 1)
        metrics = SelfMetrics(runtime, buffer, {"headwater.node": "edge-1"}, registry, 10.0)
        assert await metrics.take()
        chunks = [each for each in await all_chunks(buffer) if each.header.signal == Signal.METRICS]
        assert chunks


async def test_of_a_full_buffer_they_are_left_out_and_come_with_the_next(
    tmp_path: Path, runtime: Runtime
) -> None:
    sink = ListSink(refusals=1)
    async with running(tmp_path, runtime) as buffer:
        registry = registry_of(agent_on(buffer, runtime))
        metrics = SelfMetrics(runtime, sink, {"headwater.node": "edge-1"}, registry, 10.0)
        assert not await metrics.take()
        assert await metrics.take()
    points = [point for part in sink.parts for point in metric_points(part.encoding, part.body)]
    by_name = {point.name: point.value for point in points}
    assert by_name["headwater_edge_buffer_segments"] == 1
    assert {point.resource["headwater.node"] for point in points} == {"edge-1"}
