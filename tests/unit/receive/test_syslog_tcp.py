"""Syslog over TCP on real sockets: what is kept, what holds a sender up, and how connections end."""

import asyncio
import select
import socket
import struct
from dataclasses import replace

import pytest
import uvloop

from edge.receive.syslog_part import CUT, NOT_UNDERSTOOD
from shared.records import MIB
from tests.unit.receive.sinks import ListSink
from tests.unit.receive.syslog_doors import (
    LIMITS,
    GatedSink,
    datagrams,
    finish,
    receiving,
    until,
)


async def test_both_ways_of_framing_are_read() -> None:
    sink = ListSink()
    async with receiving(sink) as door:
        reader, writer = await door.connect()
        writer.write(b"<13>a: one\n10 <13>a: two<13>a: three\0<13>a: no end")
        writer.write_eof()
        assert await finish(reader, writer) == b""
        assert sink.lines() == ["one", "two", "three", "no end"]
        assert sink.rows()[0].attributes["network.transport"] == "tcp"
        assert not any(CUT in row.attributes for row in sink.rows())
        assert (door.ended("closed"), door.count("connections")) == (1, 0)


async def test_a_connection_gets_its_good_end_after_the_commit() -> None:
    """And nothing more is read until then: the next message waits for its own commit."""
    sink = GatedSink()
    async with receiving(sink) as door:
        reader, writer = await door.connect()
        writer.write(b"<13>one\n")
        await until(lambda: sink.waiting == 1)
        writer.write(b"<13>two\n")
        writer.write_eof()
        ending = asyncio.create_task(finish(reader, writer))
        sink.gate.set()
        assert await ending == b""
        assert [part.records for part in sink.parts] == [1, 1]
        assert sink.lines() == ["one", "two"]


async def test_a_sender_that_is_faster_than_the_disk_is_held_up() -> None:
    """While a commit is awaited, the system's buffers fill, and then the sender cannot write."""
    sink = GatedSink()
    line = b"<13>" + b"x" * 4091 + b"\n"
    async with receiving(sink) as door:
        with socket.create_connection(("127.0.0.1", door.syslog.tcp_port or 0)) as sender:
            sender.setblocking(False)
            sent = await asyncio.to_thread(send_until_blocked, sender, line * 64, 64 * MIB)
            assert sent < 64 * MIB
            assert sink.waiting == 1
            sink.gate.set()
        whole = sent // len(line)
        await until(lambda: len(sink.lines()) >= whole)
        assert sum(part.records for part in sink.parts) in (whole, whole + 1)


def send_until_blocked(sender: socket.socket, data: bytes, bytes_max: int) -> int:
    sent = 0
    while sent < bytes_max and select.select([], [sender], [], 0.3)[1]:
        sent += sender.send(data[sent % len(data) :])
    return sent


async def test_a_message_that_breaks_off_is_kept_and_marked() -> None:
    sink = ListSink()
    async with receiving(sink) as door:
        reader, writer = await door.connect()
        writer.write(b"100 <13>a: only the beg")
        writer.write_eof()
        assert await finish(reader, writer) == b""
        (row,) = sink.rows()
        assert (row.body, row.attributes[CUT]) == ("only the beg", True)
        assert door.count("cut_total", reason="closed") == 1


async def test_a_connection_that_breaks_off_ends_alone() -> None:
    sink = ListSink()
    async with receiving(sink) as door:
        other = await door.connect()
        _, writer = await door.connect()
        writer.write(b"<13>one\n<13>half")
        await until(lambda: sink.lines() == ["one"])
        peer = writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        await until(lambda: door.ended("reset") == 1)
        assert sink.lines() == ["one", "half"]
        assert [CUT in row.attributes for row in sink.rows()] == [False, True]
        other[1].write(b"<13>alive\n")
        await until(lambda: sink.lines()[-1] == "alive")
        other[1].write_eof()
        assert await finish(*other) == b""


@pytest.mark.parametrize(
    ("garbage", "reason", "kept"),
    [
        (b"<13>one\n" + bytes([7]) * 300, "too_large", ["one", "\x07" * 100]),
        (b"999999 <13>one", "too_large", ["one"]),
        (b"7 <13>onetwo three", "out_of_step", ["one", "two three"]),
    ],
)
async def test_garbage_ends_its_own_connection_only(
    garbage: bytes, reason: str, kept: list[str]
) -> None:
    """The sender gets an error, the operator a reason, and everybody else goes on."""
    sink = ListSink()
    async with receiving(sink, replace(LIMITS, frame_bytes_max=100)) as door:
        other = await door.connect()
        reader, writer = await door.connect()
        writer.write(garbage)
        with pytest.raises(ConnectionResetError):
            await finish(reader, writer)
        assert sink.lines() == kept
        assert CUT in sink.rows()[-1].attributes
        assert (door.ended(reason), door.count("cut_total", reason=reason)) == (1, 1)
        other[1].write(b"<13>alive\n")
        with datagrams(door) as send:
            send(b"<13>alive too")
            await until(lambda: {"alive", "alive too"} <= set(sink.lines()))
        other[1].write_eof()
        assert await finish(*other) == b""


async def test_what_is_not_syslog_is_kept_line_by_line() -> None:
    sink = ListSink()
    async with receiving(sink) as door:
        reader, writer = await door.connect()
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        writer.write_eof()
        assert await finish(reader, writer) == b""
        assert sink.lines() == ["GET / HTTP/1.1", "Host: x"]
        assert all(row.attributes[NOT_UNDERSTOOD] == "message" for row in sink.rows())


async def test_connections_beyond_the_limit_are_refused() -> None:
    sink = ListSink()
    async with receiving(sink, replace(LIMITS, connections_max=1)) as door:
        first = await door.connect()
        await until(lambda: door.count("connections") == 1)
        with pytest.raises(ConnectionError):
            await finish(*await door.connect())
        assert door.ended("connections_max") == 1
        first[1].write(b"<13>x\n")
        await until(lambda: sink.lines() == ["x"])
        first[1].write_eof()
        assert await finish(*first) == b""


async def test_a_connection_that_says_nothing_for_long_is_ended_in_order() -> None:
    sink = ListSink()
    async with receiving(sink, replace(LIMITS, idle_seconds_max=0.05)) as door:
        reader, writer = await door.connect()
        writer.write(b"<13>one\n<13>half")
        assert await finish(reader, writer) == b""
        assert sink.lines() == ["one", "half"]
        assert (door.ended("idle"), door.count("cut_total", reason="idle")) == (1, 1)


async def test_what_was_sent_before_a_stop_is_kept_and_ends_in_order() -> None:
    """Also what is in the system's hands still, and what came with a connection not taken yet."""
    sink = ListSink()
    async with receiving(sink) as door:
        reader, writer = await door.connect()
        await until(lambda: door.count("connections") == 1)
        writer.write(b"<13>x\n" * 1000)
        with socket.create_connection(("127.0.0.1", door.syslog.tcp_port or 0)) as quick:
            quick.sendall(b"<13>quick\n")
        assert await door.syslog.stop(20)
        assert await finish(reader, writer) == b""
        await door.task
        assert sorted(sink.lines()) == ["quick", *["x"] * 1000]
        assert door.ended("stopping") == 2


async def test_what_a_stop_cannot_wait_for_ends_with_an_error_and_is_counted() -> None:
    sink = GatedSink()
    async with receiving(sink, replace(LIMITS, batch_messages_max=2)) as door:
        reader, writer = await door.connect()
        writer.write(b"<13>x\n" * 5 + b"<13>half")
        await until(lambda: sink.waiting == 1)
        assert not await door.syslog.stop(0.01)
        door.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await door.task
        assert door.lost("tcp", "stopping") == 6
        with pytest.raises(ConnectionResetError):
            await finish(reader, writer)


async def test_the_end_of_a_stream_is_counted_once_when_it_cannot_be_kept() -> None:
    sink = GatedSink()
    async with receiving(sink) as door:
        reader, writer = await door.connect()
        writer.write(b"<13>no end")
        writer.write_eof()
        await until(lambda: sink.waiting == 1)
        door.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await door.task
        assert (door.lost("tcp", "stopping"), door.ended("stopping")) == (1, 1)
        with pytest.raises(ConnectionResetError):
            await finish(reader, writer)


def test_the_loop_of_production_does_as_well() -> None:
    """Sockets are read without streams, and uvloop has its own ways with them."""

    async def scene() -> None:
        await test_both_ways_of_framing_are_read()
        await test_a_connection_that_breaks_off_ends_alone()
        await test_a_connection_that_says_nothing_for_long_is_ended_in_order()
        await test_what_was_sent_before_a_stop_is_kept_and_ends_in_order()
        await test_what_a_stop_cannot_wait_for_ends_with_an_error_and_is_counted()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scene())
