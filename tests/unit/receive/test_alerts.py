"""Alerts as a running watch: parts pass untouched, events are kept with what a restart must know."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from prometheus_client import CollectorRegistry

from edge.receive.alert_observe import Observed, Observer
from edge.receive.alert_rule import DEFAULT_RULES, AlertRule, at_mountpoint
from edge.receive.alerts import (
    CHECKPOINT_KEY,
    Watch,
    Watched,
    WatchLimits,
    mountpoint_of,
    read_saved,
)
from edge.receive.host import HostMetrics
from edge.receive.host_metrics import metrics_part
from edge.receive.host_sample import FilesystemSample, Sample, take_sample
from edge.receive.lines import Cut
from edge.receive.log_wire import lines_part
from shared.errors import BadInput, BufferFull
from shared.otlp import read_part
from shared.otlp_make import Event, event_part
from shared.otlp_rows import LogRow
from shared.records import Checkpoint, Encoding, Part, Signal
from tests.unit.otlp.samples import patient
from tests.unit.receive.sinks import ListSink, runtime

FAST = WatchLimits(tick_seconds=0.01)
NODE = {"headwater.node": "edge-1"}
DISK = AlertRule(
    "disk",
    metric="system.filesystem.utilization",
    where=(("system.filesystem.mountpoint", "/"),),
    threshold=0.9,
    severity="error",
    summary="{value} of the disk",
)
KILLED = AlertRule("killed", log="Killed process", operator=">=", threshold=2)


def look(used: float, resource: Mapping[str, str] = NODE) -> Part:
    """Host metrics of a machine whose disk is full to this part."""
    filesystem = FilesystemSample("/dev/sda", "/", "ext4", int(used * 100), 100 - int(used * 100))
    sample = Sample(9, 0, {}, 1, None, {}, 0, {}, (), (), (filesystem,), 0)
    return metrics_part(sample, None, resource)


def lines(*texts: str) -> Part:
    return lines_part(Cut([text.encode() for text in texts], 0), 5, Resource(), "test")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def watching(
    sink: ListSink,
    *rules: AlertRule,
    limits: WatchLimits = FAST,
    registry: CollectorRegistry | None = None,
) -> AsyncIterator[Watched]:
    """A watched sink while the block runs; the watch is killed at its end."""
    watch = Watch(runtime(), sink, "edge-1", rules, limits, registry)
    task = asyncio.create_task(watch.run())
    try:
        yield Watched(sink, watch)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def events(sink: ListSink) -> list[LogRow]:
    return [row for row in rows(sink) if row.event_name]


def rows(sink: ListSink) -> list[LogRow]:
    kept = ListSink([part for part in sink.parts if part.signal is Signal.EVENTS])
    return kept.rows()


async def test_an_alert_is_told_as_an_event_when_it_fires_and_when_it_ends() -> None:
    sink = ListSink()
    async with watching(sink, DISK) as watched:
        await watched.append(look(0.95))
        await until(lambda: len(events(sink)) == 1)
        await watched.append(look(0.5))
        await until(lambda: len(events(sink)) == 2)
    fired, resolved = events(sink)
    assert (fired.event_name, fired.severity_text, fired.body) == (
        "alert.firing",
        "ERROR",
        "0.95 of the disk",
    )
    assert fired.attributes["alert.name"] == "disk"
    assert fired.attributes["alert.value"] == 0.95
    assert fired.attributes["system.filesystem.mountpoint"] == "/"
    assert fired.resource["headwater.node"] == "edge-1"
    assert (resolved.event_name, resolved.attributes["alert.reason"]) == (
        "alert.resolved",
        "cleared",
    )


async def test_parts_and_checkpoints_pass_through_untouched() -> None:
    sink = ListSink()
    async with watching(sink, DISK) as watched:
        part = look(0.5)
        await watched.append(part, Checkpoint("source", b"here"))
        assert sink.parts == [part]
        assert await watched.checkpoint("source") == b"here"


async def test_a_part_that_is_refused_is_refused_and_not_looked_at() -> None:
    sink = ListSink(refusals=1)
    async with watching(sink, DISK) as watched:
        with pytest.raises(BufferFull):
            await watched.append(look(0.95))
        await watched.append(look(0.5))
        await watched.append(lines("x"))
        await asyncio.sleep(0.05)
    assert events(sink) == []


async def test_log_records_are_counted() -> None:
    sink = ListSink()
    async with watching(sink, KILLED) as watched:
        await watched.append(lines("Killed process 1 (a)", "other"))
        await watched.append(lines("fine"))
        await watched.append(lines("Killed process 2 (b)"))
        await until(lambda: len(events(sink)) == 1)
    assert events(sink)[0].attributes["alert.value"] == 2


async def test_a_restart_does_not_tell_of_the_same_alert_again() -> None:
    sink = ListSink()
    async with watching(sink, DISK) as watched:
        await watched.append(look(0.95))
        await until(lambda: CHECKPOINT_KEY in sink.checkpoints)
    async with watching(sink, DISK) as watched:
        await watched.append(look(0.96))
        await watched.append(look(0.5))
        await until(lambda: len(events(sink)) == 2)
    assert [event.event_name for event in events(sink)] == ["alert.firing", "alert.resolved"]
    assert read_saved(sink.checkpoints[CHECKPOINT_KEY]) == []


async def test_an_alert_whose_rule_is_gone_is_resolved_after_a_restart() -> None:
    sink = ListSink()
    async with watching(sink, DISK) as watched:
        await watched.append(look(0.95))
        await until(lambda: CHECKPOINT_KEY in sink.checkpoints)
    async with watching(sink):
        await until(lambda: len(events(sink)) == 2)
    assert events(sink)[1].attributes["alert.reason"] == "no_rule"


async def test_events_wait_for_room_in_the_buffer() -> None:
    sink = ListSink()
    async with watching(sink, DISK) as watched:
        await watched.append(look(0.95))
        sink.refusals = 3
        await until(lambda: len(events(sink)) == 1)
    assert sink.refusals == 0
    assert len(read_saved(sink.checkpoints[CHECKPOINT_KEY])) == 1


class FullForEvents(ListSink):
    """Has room for everything but events while `is_full`."""

    is_full = True

    async def append(self, part: Part, checkpoint: Checkpoint | None = None) -> None:
        if self.is_full and part.signal is Signal.EVENTS:
            raise BufferFull("no room for events", 0.1)
        await super().append(part, checkpoint)


async def test_events_that_wait_are_bounded_and_the_newest_are_kept() -> None:
    sink, registry, turns = FullForEvents(), CollectorRegistry(), 10
    limits = replace(FAST, events_max=3)
    firing, lost = "headwater_edge_alerts_firing", "headwater_edge_alert_events_lost_total"
    async with watching(sink, DISK, limits=limits, registry=registry) as watched:
        for turn in range(turns):
            await watched.append(look(0.5 if turn % 2 else 0.95))
            await until(lambda: registry.get_sample_value(firing) == 1 - turn % 2)  # noqa: B023
        # One more than may wait is just being written, again and again.
        assert registry.get_sample_value(lost) == turns - 1 - limits.events_max
        sink.is_full = False
        await until(lambda: len(events(sink)) == 1 + limits.events_max)
    assert [event.event_name for event in events(sink)][-3:] == [
        "alert.resolved",
        "alert.firing",
        "alert.resolved",
    ]
    assert read_saved(sink.checkpoints[CHECKPOINT_KEY]) == []


async def test_a_value_after_a_long_silence_is_looked_at_at_once() -> None:
    sink = ListSink()
    async with watching(sink, DISK) as watched:
        await asyncio.sleep(5 * FAST.tick_seconds)
        await watched.append(look(0.95))
        await until(lambda: len(events(sink)) == 1)


async def test_what_cannot_be_read_is_counted_and_stops_nothing() -> None:
    sink, registry = ListSink(), CollectorRegistry()
    async with watching(sink, DISK, registry=registry) as watched:
        spoilt = replace(look(0.95), body=b"\xff" + look(0.95).body)
        await watched.append(spoilt)
        await watched.append(look(0.95))
        await until(lambda: len(events(sink)) == 1)
    skipped = "headwater_edge_alert_parts_skipped_total"
    assert registry.get_sample_value(skipped, {"reason": "unreadable"}) == 1


async def test_what_comes_faster_than_it_can_be_looked_at_is_counted() -> None:
    registry, sink = CollectorRegistry(), ListSink()
    watch = Watch(runtime(), sink, "e", [DISK], replace(FAST, parts_max=2), registry)
    for _ in range(5):
        await Watched(sink, watch).append(look(0.5))
    assert len(sink.parts) == 5
    skipped = "headwater_edge_alert_parts_skipped_total"
    assert registry.get_sample_value(skipped, {"reason": "busy"}) == 3


async def test_a_flood_of_logs_leaves_room_for_metrics() -> None:
    registry, sink = CollectorRegistry(), ListSink()
    limits = replace(FAST, parts_max=4)
    watched = Watched(sink, Watch(runtime(), sink, "e", [DISK, KILLED], limits, registry))
    for _ in range(5):
        await watched.append(lines("Killed process"))
    skipped = "headwater_edge_alert_parts_skipped_total"
    assert registry.get_sample_value(skipped, {"reason": "busy"}) == 3
    await watched.append(look(0.5))
    assert registry.get_sample_value(skipped, {"reason": "busy"}) == 3


def test_only_parts_that_a_rule_may_ask_for_are_decoded() -> None:
    both = Observer([DISK, KILLED], "edge-1")
    assert both.wants(look(0.5))
    assert both.wants(lines("a", "Killed process 7"))
    assert not both.wants(lines("nothing of interest"))
    assert not both.wants(event_part({}, "s", [Event(1, "e", "info", "Killed process")]))
    assert not both.wants(replace(look(0.5), signal=Signal.TRACES))
    assert not Observer([KILLED], "edge-1").wants(look(0.5))
    assert not Observer([DISK], "edge-1").wants(lines("Killed process"))
    assert Observer([replace(KILLED, log="Killed p.*")], "edge-1").wants(lines("nothing"))


def test_metrics_of_other_nodes_and_other_attributes_do_not_count() -> None:
    observer = Observer([DISK], "edge-1")
    attributes = (
        ("system.device", "/dev/sda"),
        ("system.filesystem.mountpoint", "/"),
        ("system.filesystem.type", "ext4"),
    )
    assert observer.observe(look(0.95)).values == (("disk", attributes, 0.95),)
    assert observer.observe(look(0.95, {"headwater.node": "edge-2"})).values == ()
    other = Observer([replace(DISK, where=(("system.filesystem.mountpoint", "/x"),))], "edge-1")
    assert other.observe(look(0.95)).values == ()


def json_logs(body: str, severity: int) -> Part:
    record = f'{{"severityNumber":{severity},"body":{body}}}'
    written = f'{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{record}]}}]}}]}}'
    return read_part(Signal.LOGS, "application/json", written.encode())


@pytest.mark.parametrize(
    ("body", "severity", "count"),
    [
        ('{"stringValue":"Killed process"}', 17, 1),
        ('{"stringValue":"Killed\\u0020process"}', 17, 1),
        ('{"stringValue":"Killed process"}', 9, 0),
        (
            '{"kvlistValue":{"values":[{"key":"m","value":{"stringValue":"Killed process"}}]}}',
            13,
            1,
        ),
        ('{"intValue":"5"}', 17, 0),
    ],
)
def test_log_rules_look_at_bodies_and_severities(body: str, severity: int, count: int) -> None:
    observer = Observer([replace(KILLED, min_severity="warn")], "edge-1")
    part = json_logs(body, severity)
    assert observer.wants(part)
    assert observer.observe(part) == Observed(counts={"killed": count} if count else {})


@patient
@given(
    st.binary(max_size=200),
    st.sampled_from([Signal.LOGS, Signal.METRICS]),
    st.sampled_from(Encoding),
)
def test_any_bytes_are_observed_or_refused(body: bytes, signal: Signal, encoding: Encoding) -> None:
    with contextlib.suppress(BadInput):
        Observer([DISK, KILLED], "edge-1").observe(Part(signal, encoding, body, 1, 0, 0))


def test_saved_alerts_that_cannot_be_read_count_as_none() -> None:
    assert read_saved(None) == []
    assert read_saved(b"\xff") == []
    assert read_saved(b'[{"rule":1}]') == []


async def test_the_rules_out_of_the_box_fit_the_metrics_of_this_machine(tmp_path: Path) -> None:
    """Each finds its metric in two looks, so none is dead."""
    sink, rules = ListSink(), at_mountpoint(DEFAULT_RULES, "/")
    host = HostMetrics(runtime(), sink, "edge-1")
    await host.take()
    while len(sink.parts) < 3:
        sum(range(10**6))  # Shares of CPU time need some of it to have passed.
        await host.take()
    observer = Observer(rules, "edge-1")
    seen = [value for part in sink.parts for value in observer.observe(part).values]
    assert {name for name, _, _ in seen} == {rule.name for rule in rules}


def test_the_mount_point_of_a_folder_is_the_one_that_host_metrics_name(tmp_path: Path) -> None:
    found = mountpoint_of(tmp_path, take_sample(1).filesystems)
    assert os.path.ismount(found)
    assert os.stat(found).st_dev == tmp_path.stat().st_dev
    assert os.path.ismount(mountpoint_of(tmp_path, []))
