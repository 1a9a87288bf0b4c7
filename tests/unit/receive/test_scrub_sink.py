"""The sink that scrubs on the way to another one: what it counts, passes and refuses."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from edge.receive.scrub import HEAVY_BYTES_MIN, RuleCount, Scrubbed, ScrubCounters
from edge.receive.scrub_rules import read_scrub_rules
from shared.errors import BadInput, BufferFull
from shared.records import Checkpoint, Encoding, Part, Signal
from shared.runtime import run_inline
from tests.unit.receive.scrubs import CLEAN, EMAIL, MAIL, SECRET, drop, logs, part_of, record
from tests.unit.receive.sinks import ListSink


class Sinks:
    """A scrubbing sink, the sink behind it, and what is counted."""

    def __init__(self, *rules: dict[str, Any]) -> None:
        self.behind = ListSink()
        self.registry = CollectorRegistry()
        read = read_scrub_rules(rules)
        self.front = Scrubbed(self.behind, read, ScrubCounters(self.registry), run_inline)

    def shown(self, name: str, rule: str) -> float | None:
        return self.registry.get_sample_value(f"headwater_edge_scrub_{name}_total", {"rule": rule})


async def test_a_signal_without_rules_passes_unread() -> None:
    """Even what is no OTLP at all: it was never opened."""
    sinks = Sinks(drop(signals=["traces"]))
    part = Part(Signal.LOGS, Encoding.PROTO, b"no protobuf", 3, 1, 2)
    await sinks.front.append(part, Checkpoint("k", b"1"))
    assert sinks.behind.parts[0] is part
    assert await sinks.front.checkpoint("k") == b"1"


async def test_what_is_kept_back_is_counted_by_rule() -> None:
    sinks = Sinks(drop(body_matches="noise"), EMAIL, SECRET)
    request = logs(record("noise"), record(MAIL), record("calm"))
    await sinks.front.append(part_of(Signal.LOGS, Encoding.PROTO, request))
    assert sinks.behind.lines() == [CLEAN, "calm"]
    assert sinks.front.counts() == {
        "d": RuleCount(1, 0),
        "mail": RuleCount(0, 1),
        "keys": RuleCount(0, 0),
    }
    assert sinks.shown("records_dropped", "d") == 1
    assert sinks.shown("values_redacted", "mail") == 1
    assert sinks.shown("values_redacted", "keys") == 0


async def test_a_checkpoint_is_kept_when_all_its_records_were_dropped() -> None:
    """Or the source would read the same again for ever."""
    sinks = Sinks(drop())
    part = part_of(Signal.LOGS, Encoding.PROTO, logs(record("noise")))
    await sinks.front.append(part, Checkpoint("tail:a", b"at 7"))
    (kept,) = sinks.behind.parts
    assert (kept.records, kept.body) == (0, b"")
    assert sinks.behind.checkpoints == {"tail:a": b"at 7"}
    await sinks.front.append(part)
    assert len(sinks.behind.parts) == 1
    assert sinks.front.counts()["d"] == RuleCount(2, 0)


async def test_an_empty_part_that_only_brings_a_checkpoint_passes() -> None:
    sinks = Sinks(drop())
    part = Part(Signal.LOGS, Encoding.JSON, b"", 0, 0, 0)
    await sinks.front.append(part, Checkpoint("k", b"s"))
    assert sinks.behind.parts == [part]


async def test_what_was_refused_and_comes_again_is_counted_once() -> None:
    sinks = Sinks(drop(body_matches="noise"))
    sinks.behind.refusals = 1
    part = part_of(Signal.LOGS, Encoding.JSON, logs(record("noise"), record("calm")))
    with pytest.raises(BufferFull):
        await sinks.front.append(part)
    await sinks.front.append(part)
    assert sinks.front.counts()["d"] == RuleCount(1, 0)
    assert sinks.behind.lines() == ["calm"]


async def test_a_large_part_is_scrubbed_beside_the_event_loop() -> None:
    offloaded = 0

    async def offload(work: Any) -> Any:
        nonlocal offloaded
        offloaded += 1
        return work()

    behind = ListSink()
    counters = ScrubCounters(CollectorRegistry())
    front = Scrubbed(behind, read_scrub_rules([EMAIL]), counters, offload)
    for text in (MAIL, MAIL + "x" * HEAVY_BYTES_MIN):
        await front.append(part_of(Signal.LOGS, Encoding.PROTO, logs(record(text))))
    assert offloaded == 1
    assert [len(line) < 100 for line in behind.lines()] == [True, False]


async def test_what_nobody_can_look_into_does_not_pass() -> None:
    sinks = Sinks(EMAIL)
    with pytest.raises(BadInput):
        await sinks.front.append(Part(Signal.LOGS, Encoding.PROTO, b"\xff", 1, 0, 0))
    assert sinks.behind.parts == []
