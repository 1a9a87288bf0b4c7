"""Many orders at once, ends of guests and deaths of agents in between: the books stay true."""

import asyncio
from random import Random
from typing import Any

import pytest

from edge.vm.model import Exit, State
from shared.errors import RpcError

from .fake_driver import World
from .fake_node import FakeNode, OpenFake
from .waiting import until

NAMES = ("a", "b", "c")
CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("vm.start", {}),
    ("vm.start", {}),
    ("vm.stop", {}),
    ("vm.stop", {"mode": "force"}),
    ("vm.stop", {"force_after": 0}),
    ("vm.reboot", {}),
    ("vm.reboot", {"mode": "hard"}),
    ("vm.pause", {}),
    ("vm.resume", {}),
    ("vm.delete", {}),
    ("vm.delete", {"force": True}),
    ("vm.update", {"patch": {"cpus": 2}}),
    ("vm.snapshot.create", {"name": "kept"}),
)


REFUSALS = ("not_found", "conflict", "busy", "invalid_state", "driver_error")


async def one_order(node: FakeNode, rng: Random) -> None:
    """Any call on any machine, or a new one; a refusal is an answer."""
    name = rng.choice(NAMES)
    method, params = rng.choice(CALLS)
    target: dict[str, Any] = {"vm": name, **params}
    if rng.random() < 0.25:
        spec = {"name": name, "image": "fake", "restart": rng.choice(("never", "always"))}
        method, target = "vm.create", {"spec": spec, "start": rng.random() < 0.7}
    for _ in range(rng.randrange(4)):
        await asyncio.sleep(0)
    try:
        await node.call(method, wait_s=rng.choice((0, 1)), **target)
    except RpcError as error:
        if error.kind not in REFUSALS and "closing" not in str(error):
            raise


async def one_gust(node: FakeNode, world: World, rng: Random) -> None:
    """A few orders at once, and sometimes the end of a guest or a driver that refuses."""
    world.broken = (
        {rng.choice(("start", "stop", "pause", "create"))} if rng.random() < 0.2 else set()
    )
    orders = [asyncio.create_task(one_order(node, rng)) for _ in range(rng.randrange(1, 5))]
    if rng.random() < 0.3:
        for machine in world.machines.values():
            if machine.observed.state is not State.ABSENT:
                world.end(machine, Exit(rng.choice((0, 3)), None, world.now_ms))
    if rng.random() < 0.15:  # The agent dies while they are at work.
        await asyncio.sleep(0)
        await node.die()
    await asyncio.gather(*orders)


async def is_calm(node: FakeNode) -> bool:
    """Nothing is at work, nothing is due, and each record says what the world says."""
    vms = (await node.call("vm.list"))["items"]
    up = {
        vm_id
        for vm_id, machine in node.world.machines.items()
        if machine.observed.state is not State.ABSENT
    }
    return (
        all(vm["task"] is None and "restarting" not in vm["status"] for vm in vms)
        and {vm["id"] for vm in vms if vm["state"] in ("running", "paused")} == up
        and {vm["id"] for vm in vms} >= node.world.machines.keys()
    )


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_happens_records_and_world_agree_in_the_end(
    open_fake: OpenFake, world: World, seed: int
) -> None:
    rng = Random(seed)
    node = await open_fake(observe_seconds=0.02)
    told: list[Any] = []
    for _ in range(25):
        await one_gust(node, world, rng)
        if node.is_dumb:
            told += node.events
            node = await open_fake(observe_seconds=0.02)
    world.broken = set()
    async with node.running():
        for vm in (await node.call("vm.list"))["items"]:
            if "restarting" in vm["status"]:
                await node.call("vm.stop", vm=vm["id"], mode="force", wait_s=10)
        await until(lambda: is_calm(node), bool)
        for vm in (await node.call("vm.list"))["items"]:
            await node.call("vm.delete", vm=vm["id"], force=True, wait_s=30)
    assert world.machines == {}, "an orphan was left"
    await node.service.close()
    ends = [
        event.attributes["op.id"]
        for event in (*told, *node.events)
        if event.name == "vm.operation" and event.attributes["op.state"] != "running"
    ]
    assert len(ends) > 5, "there was a storm"
    assert len(ends) == len(set(ends)), "an end was told twice without need"
    ledger_rows = await all_operations(open_fake)
    assert {row["state"] for row in ledger_rows} <= {"done", "failed", "cancelled"}
    assert {row["op_id"] for row in ledger_rows} <= set(ends), "an end was never told"


async def all_operations(open_fake: OpenFake) -> list[dict[str, Any]]:
    """Every operation that the book holds."""
    node = await open_fake()
    found: list[dict[str, Any]] = (await node.call("op.list", limit=1000))["items"]
    return found
