"""What we say ourselves is OTLP that we would take from anybody."""

import pytest

from shared.otlp import read_part
from shared.otlp_make import Event, event_part, resource_of
from shared.otlp_rows import log_rows
from shared.records import Signal
from shared.signals import SEVERITIES, Scalar


def test_events_become_log_records_with_a_name() -> None:
    events = [
        Event(5, "vm.started", "info", "web is up", {"vm.name": "web", "pid": 7, "again": True}),
        Event(3, "vm.failed", "error", "db fell over", {"ratio": 0.5}),
    ]
    part = event_part({"headwater.node": "edge-1"}, "headwater.vm", events)
    assert read_part(Signal.EVENTS, "application/x-protobuf", part.body) == part
    assert (part.signal, part.records, part.time_min_ns, part.time_max_ns) == ("events", 2, 3, 5)
    started, failed = log_rows(part.encoding, part.body)
    assert (started.event_name, started.severity_text, started.severity_number) == (
        "vm.started",
        "INFO",
        9,
    )
    assert started.body == "web is up"
    assert started.attributes == {"vm.name": "web", "pid": 7, "again": True}
    assert started.resource == {"headwater.node": "edge-1"}
    assert (failed.severity_number, failed.attributes) == (17, {"ratio": 0.5})


def test_an_unknown_severity_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(KeyError):
        event_part({}, "s", [Event(1, "n", "loud", "t")])


@pytest.mark.parametrize("value", ["a", True, False, -1, 2**62, 0.0])
def test_a_value_keeps_its_type(value: Scalar) -> None:
    (pair,) = resource_of({"k": value}).attributes
    kind = {str: "string_value", bool: "bool_value", int: "int_value", float: "double_value"}
    assert pair.value.WhichOneof("value") == kind[type(value)]


def test_severities_are_the_first_of_each_range() -> None:
    assert list(SEVERITIES.values()) == [1, 5, 9, 13, 17, 21]
