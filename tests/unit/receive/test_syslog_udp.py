"""What the system itself drops of UDP: read from its tables, and counted like any other loss."""

import asyncio
import logging
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from edge.receive.syslog import Syslog
from edge.receive.syslog_counters import SyslogCounters
from edge.receive.syslog_keep import SyslogLimits
from edge.receive.syslog_udp import bind_udp, find_drops, kernel_drops
from shared.address import Address
from shared.errors import SettingsError
from tests.unit.receive.sinks import ListSink, runtime

ANY = Address("127.0.0.1", 0)

TABLE = """\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode \
ref pointer drops
 1046: 0100007F:0202 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 21337 \
2 0000000000000000 17
 3012: 00000000:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 17 \
2 0000000000000000 0
"""


def test_the_drops_of_a_socket_are_found_by_its_inode() -> None:
    assert find_drops(TABLE, 21337) == 17
    assert find_drops(TABLE, 17) == 0
    assert find_drops(TABLE, 1) is None


@settings(deadline=None)
@given(st.text())
def test_any_table_is_read(table: str) -> None:
    """Other systems may have other columns, or none."""
    found = find_drops(f"header\n{table}", 7)
    assert found is None or found >= 0


def test_both_tables_are_looked_at_and_need_not_exist(tmp_path: Path) -> None:
    assert kernel_drops(21337, tmp_path) is None
    (tmp_path / "udp6").write_text(TABLE)
    assert kernel_drops(21337, tmp_path) == 17
    (tmp_path / "udp").write_text(TABLE.replace("21337", "5"))
    assert kernel_drops(21337, tmp_path) == 17
    assert kernel_drops(5, tmp_path) == 17


async def test_every_datagram_is_either_kept_or_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Also those for which the system's own queue had no room, and people are told once."""
    with bind_udp(ANY, 1) as probe:
        if kernel_drops(os.fstat(probe.fileno()).st_ino) is None:
            pytest.skip("this system does not tell what it drops")
    sink, registry = ListSink(), CollectorRegistry()
    limits = replace(SyslogLimits(), socket_bytes=1, linger_seconds=0.0)
    counters = SyslogCounters(registry)
    syslog = Syslog.open(runtime(), sink, "edge-1", ANY, None, counters, limits)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(500):
            sender.sendto(b"<13>" + b"x" * 1000, ("127.0.0.1", syslog.udp_port or 0))
    caplog.set_level(logging.WARNING)
    running = asyncio.create_task(syslog.run())
    await asyncio.sleep(0)
    assert await syslog.stop(20)
    await running
    labels = {"transport": "udp", "reason": "kernel"}
    dropped = registry.get_sample_value("headwater_edge_syslog_lost_total", labels) or 0
    assert dropped > 0
    assert len(sink.lines()) + dropped == 500
    assert [f"syslog over UDP lost messages: {dropped:.0f} kernel"] == caplog.messages


async def test_losses_are_told_while_it_runs(caplog: pytest.LogCaptureFixture) -> None:
    """A line an interval says what is new in it, however many messages that was."""
    caplog.set_level(logging.WARNING)
    limits = replace(SyslogLimits(), queue_messages_max=0, drops_interval_seconds=0.01)
    counters = SyslogCounters(CollectorRegistry())
    syslog = Syslog.open(runtime(), ListSink(), "edge-1", ANY, None, counters, limits)
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(syslog.run())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for told in (1, 2):
                sender.sendto(b"<13>x", ("127.0.0.1", syslog.udp_port or 0))
                while len(caplog.messages) < told:
                    await asyncio.sleep(0.005)
        await syslog.stop()
    assert caplog.messages == ["syslog over UDP lost messages: 1 queue_full"] * 2


async def test_ipv6_is_received_as_well() -> None:
    """A socket for all addresses of version 6; the sender's address is the plain one."""
    try:
        syslog = Syslog.open(
            runtime(),
            sink := ListSink(),
            "edge-1",
            Address("::1", 0),
            Address("::1", 0),
            SyslogCounters(CollectorRegistry()),
        )
    except (SettingsError, OSError) as error:  # A machine without IPv6 says so in its own words.
        pytest.skip(str(error))
    running = asyncio.create_task(syslog.run())
    await asyncio.sleep(0)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"<13>udp", ("::1", syslog.udp_port or 0))
    _, writer = await asyncio.open_connection("::1", syslog.tcp_port)
    writer.write(b"<13>tcp\n")
    await writer.drain()
    assert await syslog.stop(20)
    await running
    writer.close()
    await writer.wait_closed()
    rows = sink.rows()
    assert sorted(row.body for row in rows) == ["tcp", "udp"]
    assert {row.attributes["network.peer.address"] for row in rows} == {"::1"}
