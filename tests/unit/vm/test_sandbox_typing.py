"""Much that is typed or pasted at once: all of it arrives, as fast as the payload reads it."""

import sys

import pytest

from edge.vm.shim_client import dial_console

from .conftest import OpenNode
from .waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sandboxes need Linux namespaces")
LINE = b"x" * 99 + b"\n"
LINES = 3000
SLOW = "stty -echo; echo ready; read go; sleep 0.5; head -c 300000 | wc -lc; read end"
DEAF = "stty -echo; echo ready; sleep 1000"


async def test_a_large_paste_arrives_whole_at_a_payload_that_reads_late(
    open_node: OpenNode,
) -> None:
    """A terminal holds some ten KB; what is beyond has to wait, not to be lost."""
    node = await open_node(templates={"slow": ("/bin/sh", "-c", SLOW)})
    console = await dial_console(node.sandbox(await node.create(image="template:slow")))
    await until(node.console, lambda seen: "ready" in seen)
    await console.write(b"go\n" + LINE * LINES)
    told = f"{LINES} {len(LINE) * LINES}"
    await until(node.console, lambda seen: told in " ".join(seen.split()))
    await console.close()


async def test_whoever_pastes_to_the_deaf_holds_up_nobody_else(open_node: OpenNode) -> None:
    """The paste waits with its viewer: others watch and leave, and the sandbox can be ended."""
    node = await open_node(templates={"deaf": ("/bin/sh", "-c", DEAF)})
    sandbox = node.sandbox(await node.create(image="template:deaf"))
    await until(node.console, lambda seen: "ready" in seen)
    one, other = await dial_console(sandbox), await dial_console(sandbox)
    await one.write(LINE * 400)
    await one.close()
    await other.resize(100, 30)
    await node.call("vm.stop", vm="box", mode="force", wait_s=20)
    record = await until(node.get, lambda seen: seen["state"] != "running")
    assert record["state"] == "stopped"
    await other.close()
