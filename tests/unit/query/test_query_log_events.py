"""event.list: events by type and subject, and losses told in numbers."""

from typing import Any

import pytest

from hub.query.log_filter import needs_of
from hub.query.logs import read_event_query, read_log_query, search_logs
from shared.errors import RpcError
from shared.otlp_make import Event, event_part
from shared.records import Signal
from shared.signals import Scalar
from tests.unit.query.stock import NOW_NS, ListReader, S, log, logs


@pytest.fixture
def reader() -> ListReader:
    made = ListReader()
    lost: dict[str, Scalar] = {
        "headwater.gap.reason": "shed", "headwater.gap.signal": "logs", "headwater.gap.chunks": 2,
        "headwater.gap.records": 2000, "headwater.gap.bytes": 5000, "headwater.gap.first_seq": 7,
        "headwater.gap.last_seq": 8,
    }  # fmt: skip
    events = [
        Event(1 * S, "vm.started", "info", "VM web started", {"vm.name": "web"}),
        Event(2 * S, "vm.stopped", "warn", "VM web stopped", {"vm.name": "web"}),
        Event(3 * S, "vm.started", "info", "VM mail started", {"vm.name": "mail"}),
        Event(4 * S, "buffer.gap", "warn", "gave up 2 chunks", lost),
    ]
    for event in events:
        part = event_part({"service.name": "edge"}, "headwater", [event])
        made.put_body(
            part.signal, part.body, part.encoding, 1, event.time_ns, event.time_ns, "edge-1"
        )
    made.put(Signal.LOGS, logs([log(5 * S, "no event", event_name="vm.started")]))
    return made


def texts(reader: ListReader, asked: dict[str, Any]) -> list[str]:
    return [item["body"] for item in search_logs(reader, read_event_query(asked, NOW_NS))["items"]]


@pytest.mark.parametrize(
    ("asked", "hits"),
    [
        ({}, ["gave up 2 chunks", "VM mail started", "VM web stopped", "VM web started"]),
        ({"type": "vm.started"}, ["VM mail started", "VM web started"]),
        ({"type": "vm.start"}, []),
        ({"type": "vm.*"}, ["VM mail started", "VM web stopped", "VM web started"]),
        ({"type": "VM.*"}, []),
        ({"type": "*"}, ["gave up 2 chunks", "VM mail started", "VM web stopped", "VM web started"]),
        ({"type": "vm.sto*", "severity": "warn"}, ["VM web stopped"]),
        ({"subject": "web"}, ["VM web stopped", "VM web started"]),
        ({"subject": "we"}, []),
        ({"subject": ""}, []),
        ({"subject": "web", "type": "vm.started"}, ["VM web started"]),
        ({"nodes": ["edge-2"]}, []),
        ({"order": "oldest", "limit": 1}, ["VM web started"]),
        ({"attributes": {"headwater.gap.records": 2000}}, ["gave up 2 chunks"]),
        ({"text": "MAIL"}, ["VM mail started"]),
        ({"severity_max": "info"}, ["VM mail started", "VM web started"]),
        ({"backfilled": True}, ["gave up 2 chunks"]),
    ],
)  # fmt: skip
def test_events_are_found_by_what_they_are_and_whom_they_are_about(
    reader: ListReader, asked: dict[str, Any], hits: list[str]
) -> None:
    from tests.unit.query.log_model import late_copy

    reader.chunks[3] = late_copy(reader.chunks[3])
    assert texts(reader, asked) == hits


def test_a_loss_tells_its_reason_and_counts(reader: ListReader) -> None:
    (item,) = search_logs(reader, read_event_query({"type": "buffer.gap"}, NOW_NS))["items"]
    assert item["gap"] == {
        "reason": "shed", "signal": "logs", "first_seq": 7, "last_seq": 8, "chunks": 2,
        "records": 2000, "bytes": 5000,
    }  # fmt: skip
    assert (item["type"], item["severity"], item["node"]) == ("buffer.gap", "WARN", "edge-1")


def test_only_a_loss_has_a_gap(reader: ListReader) -> None:
    for item in search_logs(reader, read_event_query({"type": "vm.*"}, NOW_NS))["items"]:
        assert "gap" not in item


def test_events_come_in_pages_with_cursors_of_their_own(reader: ListReader) -> None:
    asked: dict[str, Any] = {"limit": 3}
    first = search_logs(reader, read_event_query(asked, NOW_NS))
    assert len(first["items"]) == 3
    assert texts(reader, {**asked, "cursor": first["cursor"]}) == ["VM web started"]
    with pytest.raises(RpcError, match="another question"):
        read_log_query({"limit": 3, "signal": "events", "cursor": first["cursor"]}, NOW_NS)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"type": "vm.started"}, {b"vm", b"started"}),
        ({"type": "vm.start*"}, {b"vm"}),
        ({"subject": "web 1"}, {b"web", b"1"}),
        ({"type": "*"}, set()),
    ],
)
def test_an_index_is_asked_for_words_that_must_be_whole(
    asked: dict[str, Any], words: set[bytes]
) -> None:
    assert set(needs_of(read_event_query(asked, NOW_NS).wanted).words) == words
