"""What may be asked of a sandbox: what is refused by name, and what a person is warned of."""

import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.vm import sandbox_ask
from edge.vm.cgroups_find import Hierarchies
from edge.vm.launch import ShimState, load_state, save_state
from edge.vm.model import Spec
from edge.vm.processes import boot_id, is_alive, stat_of
from edge.vm.sandbox_ask import refuse, warnings_of
from edge.vm.shim_client import living_shim
from shared.errors import RpcError

from .conftest import Node, OpenNode
from .waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sandboxes need Linux namespaces")
NONE, ALL = Hierarchies("x"), Hierarchies("x", 2, dict.fromkeys(("cpu", "memory", "pids"), "/x"))


def spec_of(**fields: Any) -> Spec:
    return msgspec.convert({"name": "box", "image": "builtin:shell", **fields}, Spec)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("disks", [{"name": "data", "size_mib": 10}]),
        ("nics", [{"mode": "none"}]),
        ("kernel", {"image": "linux"}),
        ("cloud_init", {}),
        ("arch", "aarch64" if os.uname().machine == "x86_64" else "x86_64"),
    ],
)
async def test_what_only_a_vm_can_have_is_refused_by_name(
    node: Node, field: str, value: object
) -> None:
    spec = {"name": "box", "image": "builtin:shell", field: value}
    with pytest.raises(RpcError) as refusal:
        await node.call("vm.create", spec=spec)
    assert (refusal.value.kind, refusal.value.data) == ("invalid_params", {"field": field})
    assert field in str(refusal.value)
    assert (await node.call("vm.list"))["items"] == []


def test_its_own_architecture_may_be_named() -> None:
    refuse(spec_of(arch=os.uname().machine), {})


@pytest.mark.parametrize(
    ("fields", "hierarchies", "told"),
    [
        ({}, ALL, set()),
        ({"cpus": 2}, ALL, {sandbox_ask.CPUS_IGNORED}),
        ({"memory_mib": 64, "limits": {"cpu_percent": 50}}, ALL, set()),
        ({"memory_mib": 64}, NONE, {sandbox_ask.MEMORY_EACH}),
        ({"limits": {"memory_mib": 64}}, NONE, {sandbox_ask.MEMORY_EACH}),
        ({"limits": {"cpu_percent": 50}}, NONE, {sandbox_ask.CPU_FREE}),
    ],
)
def test_a_person_is_warned_of_what_does_not_hold(
    fields: dict[str, Any],
    hierarchies: Hierarchies,
    told: set[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sandbox_ask, "counts_apart", lambda: True)
    always = {sandbox_ask.NO_NETWORK, sandbox_ask.NOTHING_KEPT}
    found = warnings_of(spec_of(**fields), hierarchies, is_isolated=True)
    assert set(found) == always | told


def test_without_isolation_that_comes_first() -> None:
    found = warnings_of(spec_of(), NONE, is_isolated=False)
    assert found == (sandbox_ask.UNISOLATED, sandbox_ask.PIDS_FREE)


def test_on_an_old_kernel_the_number_of_processes_needs_a_group(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sandbox_ask, "counts_apart", lambda: False)
    assert sandbox_ask.PIDS_FREE in warnings_of(spec_of(), NONE, is_isolated=True)
    assert sandbox_ask.PIDS_FREE not in warnings_of(spec_of(), ALL, is_isolated=True)


async def test_a_spec_is_validated_with_its_warnings(node: Node) -> None:
    spec = {"name": "box", "image": "builtin:shell", "cpus": 2}
    found = await node.call("vm.validate", spec=spec)
    assert (found["problems"], found["driver"]) == ([], "sandbox")
    assert {sandbox_ask.CPUS_IGNORED, sandbox_ask.NO_NETWORK} <= set(found["warnings"])


async def test_only_the_nodes_own_file_names_programs(open_node: OpenNode) -> None:
    """Neither a spec nor an image can bring a command line of its own."""
    node = await open_node(templates={"one": ("/bin/sh", "-c", "echo one$((1+1)); read x")})
    for image in ("template:two", "template:/bin/sh", "template:"):
        with pytest.raises(RpcError) as refusal:
            await node.create(image=image)
        assert refusal.value.kind == "not_found"
    with pytest.raises(RpcError) as refusal:
        await node.create(image="template:one", argv=["/bin/sh"])
    assert refusal.value.kind == "unauthorized"
    await node.create(image="template:one")
    await until(node.console, lambda seen: "one2" in seen)


def test_a_zombie_does_not_serve_a_sandbox(folder: Path) -> None:
    """Process 1 of a small container collects the dead late, or never."""
    dead = os.fork()
    if dead == 0:
        os._exit(0)
    try:
        os.waitid(os.P_PID, dead, os.WEXITED | os.WNOWAIT)
        stat = stat_of(dead)
        assert stat is not None
        assert stat.letter == "Z"
        assert is_alive(dead, stat.start_ticks) is False
        save_state(folder, ShimState("box", boot_id(), dead, stat.start_ticks, dead, 1, False))
        assert load_state(folder) is not None
        assert living_shim(folder) is None
    finally:
        os.waitpid(dead, 0)
        (folder / "state.json").unlink()
