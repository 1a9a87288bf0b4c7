"""A payload that prints without end: its console log, its shim and its viewers stay bounded."""

import asyncio
import re
import sys
from pathlib import Path

import pytest

from edge.vm.driver import Console
from edge.vm.shim_client import dial_console, living_shim

from .conftest import Node, OpenNode
from .waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sandboxes need Linux namespaces")
FLOOD_BYTES = 24_000_000
FLOOD = f"read go; head -c {FLOOD_BYTES} /dev/zero | tr '\\0' x; echo; echo over$((1+1)); read end"
LOG_BYTES_MAX = 256 * 1024
SHIM_GROWTH_KIB_MAX = 2048
MISSED = re.compile(rb"\[headwater: (\d+) bytes are left out here, this viewer was too slow\]")


def resident_kib(pid: int) -> int:
    fields = Path(f"/proc/{pid}/status").read_text().partition("VmHWM:")[2].split()
    return int(fields[0])


async def whole_flood(console: Console) -> int:
    """Read until every byte was shown or told to be missed; returns how many were missed."""
    shown, rest = 0, b""
    async with asyncio.timeout(120):
        while shown + (missed := sum(map(int, MISSED.findall(rest)))) < FLOOD_BYTES:
            piece = await console.read()
            assert piece, "cut off"
            shown += piece.count(b"x")
            rest += piece.replace(b"x", b"")
    return missed


async def flooding(open_node: OpenNode) -> tuple[Node, Path]:
    node = await open_node(
        templates={"flood": ("/bin/sh", "-c", FLOOD)}, console_bytes_max=LOG_BYTES_MAX
    )
    return node, node.sandbox(await node.create(image="template:flood"))


async def test_a_flood_costs_neither_disk_nor_memory(open_node: OpenNode) -> None:
    """With two that watch and one that only holds its window open; the payload gets through."""
    node, sandbox = await flooding(open_node)
    shim = living_shim(sandbox)
    assert shim is not None
    consoles = [await dial_console(sandbox) for _ in range(3)]
    # By then a shim has imported all that it ever needs.
    await node.call("vm.exec", vm="box", argv=["true"])
    before = resident_kib(shim.shim_pid)
    await node.type("go")
    await asyncio.gather(*(whole_flood(console) for console in consoles[:2]))
    assert resident_kib(shim.shim_pid) - before < SHIM_GROWTH_KIB_MAX
    assert sum(path.stat().st_size for path in sandbox.glob("console-*.log")) <= LOG_BYTES_MAX
    assert await whole_flood(consoles[2]) > FLOOD_BYTES // 2
    assert (await node.get())["state"] == "running"
    for console in consoles:
        await console.close()


async def test_a_viewer_that_fell_behind_can_still_type(open_node: OpenNode) -> None:
    node, sandbox = await flooding(open_node)
    console = await dial_console(sandbox)
    await console.write(b"go\n")
    await until(node.console, lambda seen: "over2" in seen)
    await console.write(b"end\n")
    record = await until(node.get, lambda seen: seen["state"] != "running")
    assert (record["state"], record["exit"]["code"]) == ("stopped", 0)
    await console.close()
