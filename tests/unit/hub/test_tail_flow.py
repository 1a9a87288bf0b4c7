"""What a tail tells beside rows, what it leaves unread, and where it begins."""

import asyncio
from typing import Any

import pytest

from hub import tail, tail_position, tail_reading, tail_telling
from hub.tail_position import Position
from hub.tail_query import read_tail_query
from shared.errors import BadInput
from shared.ranges import Ranges
from shared.records import Signal
from tests.law.tail_world import NOW_MS, MadeChunk, MemoryHub, Reader, chunks_of

KEY = ("edge-1", "e1")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes are told at once."""
    monkeypatch.setattr(tail, "CHANGES_SECONDS", 0.0)


def follow(hub: MemoryHub, reader: Reader) -> list[tuple[str, Any]]:
    """What one connection tells."""
    before = len(reader.events)
    asyncio.run(reader.connect(hub))
    return reader.events[before:]


def hub_of(*chunks: MadeChunk) -> MemoryHub:
    hub = MemoryHub()
    for chunk in chunks:
        hub.put(chunk)
    return hub


def test_the_beginning_names_every_log_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_position, "PAGE_LOGS", 2)
    hub = hub_of(*(MadeChunk((f"edge-{number}", "e"), 1, 1) for number in range(5)))
    reader = Reader()
    told = follow(hub, reader)
    assert [(event, len(data["logs"]), data["more"]) for event, data in told] == [
        *(("position", 2, True), ("position", 2, True), ("position", 1, False))
    ]
    assert reader.position.is_whole
    assert len(reader.position.base) == 5


def test_a_beginning_that_breaks_off_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that did not hear it to its end begins anew: it was told nothing yet."""
    monkeypatch.setattr(tail_position, "PAGE_LOGS", 1)
    hub = hub_of(*(MadeChunk((f"edge-{number}", "e"), 1, 1) for number in range(3)))
    reader = Reader()
    asyncio.run(reader.connect(hub, 2))
    assert reader.events[-1][1]["more"]
    follow(hub, reader)
    assert reader.position.is_whole
    assert not reader.told


def test_too_many_logs_are_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "LOGS_MAX", 2)
    hub = hub_of(*(MadeChunk((f"edge-{number}", "e"), 1, 1) for number in range(3)))
    with pytest.raises(BadInput, match="name some nodes"):
        follow(hub, Reader())
    follow(hub, Reader({"nodes": ["edge-1", "edge-2"]}))


def test_only_bodies_of_the_wanted_signal_and_nodes_are_read() -> None:
    hub, reader = MemoryHub(), Reader({"nodes": ["edge-1"]})
    follow(hub, reader)
    for seq, signal in enumerate((Signal.METRICS, Signal.TRACES, Signal.EVENTS), 1):
        hub.put(MadeChunk(KEY, seq, 2, signal))
    hub.put(MadeChunk(("edge-2", "e1"), 1, 2))
    follow(hub, reader)
    assert hub.bodies_read == 0
    assert reader.position.seen(KEY) == Ranges(((1, 3),))
    hub.put(MadeChunk(KEY, 4, 2))
    follow(hub, reader)
    assert hub.bodies_read == 1


def test_a_message_holds_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """One row goes out whatever its size, and no message grows far beyond the bound."""
    monkeypatch.setattr(tail_telling, "ROWS_BYTES_MAX", 1000)
    hub, reader = MemoryHub(), Reader()
    follow(hub, reader)
    hub.put(MadeChunk(KEY, 1, 30))
    sizes = [len(data["rows"]) for event, data in follow(hub, reader) if event == "rows"]
    assert sum(sizes) == 30
    assert len(sizes) > 5


def test_a_batch_ends_when_much_was_read_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a reader who leaves is noticed while a filter that matches nothing goes on."""
    monkeypatch.setattr(tail_reading, "BATCH_BYTES", 1)
    hub = hub_of(*chunks_of(KEY, 2, 2, 2))
    query = read_tail_query({"text": "nothing like it"}, NOW_MS)
    seen: list[int] = []
    position = Position(NOW_MS, is_whole=True)
    reading = tail_reading.PageReading(
        hub.arrived, query, position, lambda _, seq: seen.append(seq)
    )
    for taken in range(1, 4):
        assert reading.take(hub.reader) == []
        assert (seen, reading.is_done) == ([1, 2, 3][:taken], False)
    assert reading.take(hub.reader) == []
    assert reading.is_done
    assert hub.readers_open == 0


def test_a_damaged_chunk_is_told_by_the_next_hub() -> None:
    damaged, whole = MemoryHub(), MemoryHub()
    reader = Reader()
    follow(damaged, reader)
    damaged.put(MadeChunk(KEY, 1, 2, is_damaged=True))
    damaged.put(MadeChunk(KEY, 2, 2))
    events = [event for event, _ in follow(damaged, reader)]
    assert events.count("unreadable") == 1
    for chunk in chunks_of(KEY, 2, 2):
        whole.put(chunk)
    follow(whole, reader)
    assert set(reader.told.values()) == {1}
    assert len(reader.told) == 4


def test_what_retention_took_meanwhile_is_told_of() -> None:
    hub = hub_of(MadeChunk(KEY, 1, 1))
    reader = Reader()
    follow(hub, reader)
    for seq in (2, 3, 4):
        hub.put(MadeChunk(KEY, seq, 1))
    hub.drop(KEY, 1, 3)
    ((event, gone), *rest) = follow(hub, reader)
    assert (event, gone["ranges"], gone["reason"]) == ("gone", [[2, 3]], "retention")
    assert [data["seq"] for event, data in rest if event == "rows"] == [4]


def test_what_was_dropped_before_a_tail_began_is_no_loss_to_it() -> None:
    hub = hub_of(*chunks_of(KEY, 1, 1, 1))
    hub.drop(KEY, 1, 2)
    reader = Reader()
    follow(hub, reader)
    assert follow(hub, reader) == []


def test_a_tail_that_reaches_back_tells_what_came_since() -> None:
    old = [MadeChunk(KEY, seq, 1, received_ms=NOW_MS - 600_000) for seq in (1, 2)]
    new = [MadeChunk(KEY, seq, 1, received_ms=NOW_MS - 30_000) for seq in (3, 4)]
    hub, reader = hub_of(*old, *new), Reader({"since": "-1m"})
    follow(hub, reader)
    assert [data["seq"] for event, data in reader.events if event == "rows"] == [3, 4]
    hub.put(MadeChunk(KEY, 5, 1))
    follow(hub, reader)
    assert set(reader.told.values()) == {1}
    assert len(reader.told) == 3


def test_a_tail_reaches_back_only_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "BACKLOG_CHUNKS_MAX", 2)
    hub, reader = hub_of(*chunks_of(KEY, 1, 1, 1, 1)), Reader({"since": "-1m"})
    follow(hub, reader)
    assert [data["seq"] for event, data in reader.events if event == "rows"] == [3, 4]
