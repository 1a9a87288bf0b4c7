"""The syslog receiver as a whole and over UDP: what is kept, what is lost and counted."""

import asyncio
from dataclasses import replace

import pytest
import uvloop
from prometheus_client import CollectorRegistry

from edge.receive.syslog import Syslog
from edge.receive.syslog_counters import SyslogCounters
from edge.receive.syslog_keep import SyslogLimits
from shared.errors import SettingsError
from tests.unit.receive.sinks import ListSink, runtime
from tests.unit.receive.syslog_doors import (
    ANY,
    LIMITS,
    GatedSink,
    datagrams,
    receiving,
    until,
)


async def test_each_datagram_is_a_message() -> None:
    sink = ListSink()
    async with receiving(sink) as door:
        with datagrams(door) as send:
            send(b"<34>1 2026-11-21T10:00:00Z web su - - - one")
            send(b"\n")
            send(b"<34>Nov 21 10:00:00 web su[3]: two\nlines\n")
            send(b"three")
            await until(lambda: len(sink.lines()) == 3)
        rows = sink.rows()
        assert {row.body for row in rows} == {"one", "two\nlines", "three"}
        assert rows[0].resource["headwater.node"] == "edge-1"
        assert rows[0].attributes["network.transport"] == "udp"
        assert rows[0].attributes["network.peer.address"] == "127.0.0.1"
        await until(lambda: door.count("messages_total", transport="udp", form="other") == 1)
        assert door.count("messages_total", transport="udp", form="rfc5424") == 1
        assert door.count("bytes_total", transport="udp") > 80


async def test_the_largest_datagram_is_kept() -> None:
    sink = ListSink()
    async with receiving(sink) as door:
        with datagrams(door) as send:
            send(b"<13>" + b"x" * 65_503)
            await until(lambda: sink.lines() == ["x" * 65_503])


async def test_datagrams_that_come_during_a_commit_share_the_next_one() -> None:
    sink = GatedSink()
    async with receiving(sink) as door:
        with datagrams(door) as send:
            send(b"<13>first")
            await until(lambda: sink.waiting == 1)
            for _ in range(20):
                send(b"<13>later")
            await until(lambda: door.count("queue_bytes") == 20 * 9)
            sink.gate.set()
            await until(lambda: len(sink.lines()) == 21)
        assert [part.records for part in sink.parts] == [1, 20]
        assert door.count("queue_bytes") == 0


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        (replace(LIMITS, queue_messages_max=5), 5),
        (replace(LIMITS, queue_bytes_max=30), 3),
    ],
)
async def test_datagrams_that_do_not_fit_are_counted(limits: SyslogLimits, kept: int) -> None:
    """While a commit takes long the queue fills up, and what comes then is lost."""
    sink = GatedSink()
    async with receiving(sink, limits) as door:
        with datagrams(door) as send:
            send(b"<13>first")
            await until(lambda: sink.waiting == 1)
            for number in range(8):
                send(b"<13>%06d" % number)
            await until(lambda: door.lost("udp", "queue_full") == 8 - kept)
            sink.gate.set()
            await until(lambda: len(sink.lines()) == 1 + kept)
        assert sink.lines() == ["first", *(f"{number:06}" for number in range(kept))]
        assert door.lost("udp", "queue_full") == 8 - kept


async def test_batches_are_bounded_in_messages_and_bytes() -> None:
    sink = GatedSink()
    limits = replace(LIMITS, batch_messages_max=4, batch_bytes_max=25)
    async with receiving(sink, limits) as door:
        with datagrams(door) as send:
            send(b"<13>first")
            await until(lambda: sink.waiting == 1)
            for raw in [b"<13>"] * 6 + [b"<13>xxxxxx"] * 3 + [b"<13>" + b"y" * 40]:
                send(raw)
            await until(lambda: door.count("queue_bytes") == 6 * 4 + 3 * 10 + 44)
            sink.gate.set()
            await until(lambda: len(sink.lines()) == 11)
        assert [part.records for part in sink.parts] == [1, 4, 3, 2, 1]


async def test_a_full_buffer_holds_datagrams_up_without_losing_them() -> None:
    sink = ListSink(refusals=2)
    async with receiving(sink) as door:
        with datagrams(door) as send:
            send(b"<13>x")
            await until(lambda: sink.lines() == ["x"])
        assert sink.refusals == 0


async def test_datagrams_that_came_before_a_stop_are_kept() -> None:
    sink = ListSink()
    async with receiving(sink) as door:
        with datagrams(door) as send:
            for _ in range(300):
                send(b"<13>x")
            assert await door.syslog.stop(20)
        await door.task
        assert len(sink.lines()) == 300


async def test_datagrams_that_a_stop_cannot_wait_for_are_counted() -> None:
    """With a sink that never commits, the stop says so, and the end counts what was held."""
    sink = GatedSink()
    async with receiving(sink) as door:
        with datagrams(door) as send:
            send(b"<13>x")
            await until(lambda: sink.waiting == 1)
            send(b"<13>y")
            send(b"<13>z")
            assert not await door.syslog.stop(0.01)
        door.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await door.task
        assert door.lost("udp", "stopping") == 3


async def test_an_address_that_is_taken_is_refused_in_words() -> None:
    """And the one that was had is given back."""
    counters = SyslogCounters(CollectorRegistry())
    async with receiving(ListSink()) as door:
        udp, tcp = (
            replace(ANY, port=port or 0) for port in (door.syslog.udp_port, door.syslog.tcp_port)
        )
        with pytest.raises(SettingsError, match=rf"UDP port {udp.port}.*choose another port"):
            Syslog.open(runtime(), ListSink(), "e", udp, None, counters)
        with pytest.raises(SettingsError, match=rf"port {tcp.port}.*choose another port"):
            Syslog.open(runtime(), ListSink(), "e", ANY, tcp, counters)


async def test_either_transport_can_be_left_out() -> None:
    sink = ListSink()
    for udp, tcp in ((ANY, None), (None, ANY), (None, None)):
        counters = SyslogCounters(CollectorRegistry())
        syslog = Syslog.open(runtime(), sink, "edge-1", udp, tcp, counters)
        assert bool(syslog.udp_port) == bool(udp)
        assert bool(syslog.tcp_port) == bool(tcp)
        assert await syslog.stop()
        await syslog.run()  # Stopped for good.


def test_the_loop_of_production_does_as_well() -> None:
    """Sockets are read without transports, and uvloop has its own ways with them."""

    async def scene() -> None:
        await test_each_datagram_is_a_message()
        await test_datagrams_that_came_before_a_stop_are_kept()
        await test_datagrams_that_a_stop_cannot_wait_for_are_counted()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scene())
