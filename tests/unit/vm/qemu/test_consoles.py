"""Consoles of real machines: seen by many, logged once, whatever happens to the agent."""

import asyncio

import pytest

from edge.vm.model import State
from edge.vm.qemu.gap import gap_size
from edge.vm.tiny import BANNER
from tests.unit.vm.needs import qemu
from tests.unit.vm.waiting import until

from .conftest import Lab

pytestmark = qemu()


async def test_a_flood_is_logged_once_and_the_file_of_qemu_stays_small(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the agent that heard it nor the next one loses or repeats a byte of it."""
    monkeypatch.setattr("edge.vm.qemu.gap.GAP_BYTES_MAX", 16_384)
    handle = await lab.run()
    before = await lab.until_said(handle, b"00> ")
    viewer = await lab.driver.console_open(handle)
    for _ in range(5):
        await viewer.write(b"x" * 8192)
    await lab.until_said(handle, b"x" * 5 * 8192)

    async def size() -> int:
        return gap_size(lab.folder / "box")

    await until(size, lambda seen: seen < 8192)
    await lab.driver.console_send(handle, "\r")
    await lab.until_said(handle, b"01> ")
    await lab.driver.close()
    await lab.reborn().observe(handle)
    assert lab.said(handle) == before + b"x" * 5 * 8192 + b"\r\n01> "


async def test_the_console_is_typed_on_and_seen_by_many(lab: Lab) -> None:
    """Two viewers see the same, and the log as well."""
    handle = await lab.run()
    one, two = await lab.driver.console_open(handle), await lab.driver.console_open(handle)
    await one.write(b"hello")
    for viewer in (one, two):
        said = b""
        async with asyncio.timeout(60):
            while b"hello" not in said:
                said += await viewer.read()
    assert await lab.driver.console_send(handle, "\r") == 1
    await lab.until_said(handle, b"01> ")
    page = await lab.driver.console_log(handle, None, 4096)
    assert b"hello" in page.data
    await one.close()
    assert await one.read() == b""
    await lab.driver.kill(handle)
    async with asyncio.timeout(60):
        while await two.read():
            continue


async def test_a_viewer_that_does_not_read_holds_up_nobody(lab: Lab) -> None:
    handle = await lab.run()
    await lab.driver.console_open(handle)
    for count in range(1, 41):
        sent = 0
        while not sent:
            sent = await lab.driver.console_send(handle, "x" * 60 + "\r")
        await lab.until_said(handle, f"{count:02x}> ".encode())


async def test_the_next_agent_finds_the_machine_and_what_it_said_meanwhile(lab: Lab) -> None:
    """The agent is cut off without a word; output of the time without one is filled in, once."""
    handle = await lab.run()
    await lab.driver.console_send(handle, "before\r")
    await lab.until_said(handle, b"01> ")
    await lab.driver.close()
    gap = lab.folder / "box" / "gap.log"
    size = gap.stat().st_size
    _, writer = await asyncio.open_unix_connection(str(lab.folder / "box" / "serial.sock"))
    writer.write(b"\r\x12")  # Typed by a stranger, since no agent is there.
    await until(lambda: asyncio.to_thread(gap.read_bytes), lambda said: said.count(BANNER) == 2)
    writer.close()
    assert gap.stat().st_size > size
    lab.reborn()
    seen = await lab.driver.observe(handle)
    assert (seen.state, seen.pid) == (State.RUNNING, handle["pid"])
    await lab.driver.console_send(handle, "after\r")
    said = await lab.until_said(handle, b"after")
    assert said.count(BANNER) == 2
    assert said.index(b"before") < said.index(b"02> ") < said.rindex(BANNER) < said.index(b"after")
