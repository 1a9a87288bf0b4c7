"""Commands that are run inside a sandbox besides its payload: where, for how long, how much."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from edge.vm import sandbox_ground, shim_client
from edge.vm.driver import Capability
from edge.vm.launch import load_state
from edge.vm.processes import below, stat_of
from shared.errors import RpcError

from .conftest import Node, OpenNode
from .waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sandboxes need Linux namespaces")


async def run(node: Node, *argv: str, timeout_s: float = 20) -> dict[str, Any]:
    return await node.call("vm.exec", vm="box", argv=list(argv), timeout_s=timeout_s)


async def sh(node: Node, script: str, timeout_s: float = 20) -> dict[str, Any]:
    return await run(node, "/bin/sh", "-c", script, timeout_s=timeout_s)


async def test_the_capability_is_there_because_it_was_tried(node: Node) -> None:
    """Continuous integration must be able to join sandboxes: there is no skip here."""
    drivers = (await node.call("node.drivers"))["drivers"]
    sandbox = next(each for each in drivers if each["name"] == "sandbox")
    assert Capability.EXEC in sandbox["capabilities"]
    assert list((node.folder / "sandboxes").iterdir()) == []


async def test_a_command_is_where_the_payload_is(node: Node) -> None:
    """The same namespaces, folder, environment and files; a terminal is the payload's alone."""
    record = await node.create(env={"COLOUR": "green"})
    await node.type("echo written > $HOME/note; echo note$((1+1))")
    await until(node.console, lambda seen: "note2" in seen)
    done = await sh(node, "hostname; pwd; cat note; echo $COLOUR; test -t 0 || echo no terminal")
    assert done["stdout"].split("\n") == [
        "box",
        "/home/sandbox",
        "written",
        "green",
        "no terminal",
        "",
    ]
    theirs = {
        name: os.readlink(f"/proc/{record['pid']}/ns/{name}")
        for name in ("user", "pid", "mnt", "net", "uts", "ipc")
    }
    ours = await sh(
        node, "cd /proc/self/ns; for n in user pid mnt net uts ipc; do readlink $n; done"
    )
    assert ours["stdout"].split() == list(theirs.values())


async def test_a_command_has_no_rights_and_cannot_get_any(node: Node) -> None:
    await node.create()
    status = (await run(node, "cat", "/proc/self/status"))["stdout"]
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(fields[name], 16) == 0, name
    assert fields["NoNewPrivs"] == "1"
    assert set(fields["Uid"].split()) == {"65534"}
    refused = await sh(node, "touch /usr/x; ls /proc/self/fd | wc -l")
    assert "Read-only file system" in refused["stderr"]


async def test_nobody_inside_can_look_into_who_came_from_outside(node: Node) -> None:
    """The keeper has the agent's program in its memory and connections in its hands."""
    await node.create()
    script = (
        "for p in /proc/[0-9]*; do grep -q 'edge[.]vm[.]shim' $p/cmdline && "
        "{ echo found; ls $p/fd; cat $p/environ; head -c 1 $p/mem; } ; done"
    )
    done = await sh(node, script)
    assert done["stdout"].split() == ["found"], done
    assert "Permission denied" in done["stderr"]


@pytest.mark.parametrize(
    ("script", "code", "signal"), [("exit 3", 3, None), ("kill -9 $$", None, 9), ("true", 0, None)]
)
async def test_how_a_command_ended_is_told(
    node: Node, script: str, code: int | None, signal: int | None
) -> None:
    await node.create()
    done = await sh(node, script)
    assert (done["code"], done["signal"]) == (code, signal)


async def test_a_program_that_is_not_there_is_127_with_its_text(node: Node) -> None:
    await node.create()
    done = await run(node, "no-such-program")
    assert done["code"] == 127
    assert "no-such-program: No such file" in done["stderr"]


async def test_output_is_cut_at_its_bound_and_the_command_goes_on(node: Node) -> None:
    await node.create()
    done = await sh(node, "head -c 300000 /dev/zero; head -c 200000 /dev/zero >&2; exit 5")
    assert (len(done["stdout"]), len(done["stderr"])) == (65536, 65536)
    assert (done["truncated"], done["code"]) == (True, 5)


async def test_a_command_is_over_when_its_time_is_with_all_it_started(node: Node) -> None:
    """Also what left its session, and what ignores every request to end."""
    await node.create()
    script = "trap '' TERM HUP; (setsid sh -c 'trap \"\" TERM; sleep 3141 & wait' &); echo up; sleep 3142"
    done = await sh(node, script, timeout_s=3)
    assert (done["code"], done["signal"], done["stdout"]) == (None, 9, "up\n")
    assert (await sh(node, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"))["stdout"].count("314") == 0
    assert (await node.get())["state"] == "running"


async def test_what_a_finished_command_left_behind_is_ended_too(node: Node) -> None:
    await node.create()
    await sh(node, "setsid sleep 3143 >/dev/null 2>&1 & exit 0")
    assert "3143" not in (await sh(node, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"))["stdout"]


async def test_who_stops_asking_ends_the_command(node: Node) -> None:
    record = await node.create()
    state = load_state(node.sandbox(record))
    assert state is not None
    asking = asyncio.create_task(sh(node, "sleep 3144", timeout_s=50))

    async def commands() -> list[str]:
        found = [Path(f"/proc/{pid}/cmdline") for pid in below(state.shim_pid)]
        return [text for path in found if path.exists() and "3144" in (text := path.read_text())]

    await until(commands, bool)
    asking.cancel()
    await until(commands, lambda seen: not seen)
    await asyncio.gather(asking, return_exceptions=True)


async def test_a_pause_freezes_commands_and_none_starts_meanwhile(node: Node) -> None:
    record = await node.create()
    state = load_state(node.sandbox(record))
    assert state is not None
    script = "sleep 3145"
    asking = asyncio.create_task(run(node, *script.split(), timeout_s=50))

    async def command() -> int | None:
        for pid in below(state.shim_pid):
            path = Path(f"/proc/{pid}/cmdline")
            if path.exists() and path.read_text().startswith("sleep\0003145"):
                return pid
        return None

    pid = await until(command, bool)
    assert pid is not None
    await node.call("vm.pause", vm="box")
    stat = stat_of(pid)
    assert stat is not None
    assert stat.letter == "T"
    with pytest.raises(RpcError) as refusal:
        await run(node, "true")
    assert refusal.value.kind == "invalid_state"
    await node.call("vm.resume", vm="box")
    assert (await run(node, "true"))["code"] == 0
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


async def test_a_frozen_command_is_ended_in_its_time_too(node: Node) -> None:
    await node.create()
    asking = asyncio.create_task(run(node, "sleep", "3147", timeout_s=3))
    await node.type(
        "until grep -qs '314[7]' /proc/[0-9]*/cmdline; do sleep 0.05; done; echo seen$((1+1))"
    )
    await until(node.console, lambda seen: "seen2" in seen)
    await node.call("vm.pause", vm="box")
    assert (await asking)["signal"] == 9


async def test_a_sandbox_that_ends_takes_its_commands_along(node: Node) -> None:
    await node.create()
    asking = asyncio.create_task(sh(node, "echo up > $HOME/up; sleep 3146", timeout_s=50))
    await node.type("until test -e $HOME/up; do sleep 0.05; done; exit 0")
    with pytest.raises(RpcError, match="ended"):
        await asking
    await until(node.get, lambda seen: seen["state"] == "stopped")
    with pytest.raises(RpcError) as refusal:
        await run(node, "true")
    assert refusal.value.kind == "invalid_state"


async def test_only_so_many_commands_run_at_once(node: Node) -> None:
    record = await node.create()
    folder = node.sandbox(record)
    asking = [
        asyncio.create_task(shim_client.execute(folder, ["sleep", "3148"], 50)) for _ in range(9)
    ]
    over, _ = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
    assert [str(each.exception()) for each in over] == [
        "the command did not run: 8 commands run in it already"
    ]
    for each in asking:
        each.cancel()
    await asyncio.gather(*asking, return_exceptions=True)


async def test_without_namespaces_there_are_no_further_commands(
    open_node: OpenNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox_ground, "probe", lambda uid: (None, "no namespaces here"))
    node = await open_node(allow_unisolated=True)
    await node.create()
    drivers = (await node.call("node.drivers"))["drivers"]
    assert not any("exec" in each["capabilities"] for each in drivers if each["name"] == "sandbox")
    with pytest.raises(RpcError) as refusal:
        await run(node, "true")
    assert refusal.value.kind == "not_supported"
