"""What happens to machines without a call: order of starts and stops, restarts, expiry, memory."""

import asyncio
from typing import Any

import pytest

from edge.vm import ledger as ledger_module
from edge.vm import records as records_module
from edge.vm.ending import judge_end
from edge.vm.ledger import HOUR_MS, Ledger
from edge.vm.model import Exit, Power, Restart, Spec, State
from edge.vm.order import start_groups, stop_waves
from edge.vm.records import Records

from .fake_driver import World
from .fake_node import FakeNode, OpenFake
from .test_ledger import operation, vm
from .waiting import until

KILLED = Exit(None, 9, 1)


# ---- starts and stops with the host


async def make_fleet(node: FakeNode, **spec: Any) -> None:
    """Six machines, two of each start order."""
    for order in (3, 1, 2):
        for letter in "ab":
            await node.create(f"{letter}{order}", start_order=order, **spec)


async def boot_anew(node: FakeNode, world: World) -> None:
    """The agent is gone, and its host was started anew."""
    folder = node.service._records._path
    await node.die()
    for machine in world.machines.values():
        world.end(machine)
    world.order.clear()
    ledger = Ledger(folder)
    ledger.set_meta("boot_id", "an earlier boot")
    ledger.close()


async def names_up(node: FakeNode) -> set[str]:
    return {vm["name"] for vm in (await node.call("vm.list"))["items"] if vm["state"] == "running"}


async def test_after_a_boot_the_groups_start_in_order_and_each_at_once(
    open_fake: OpenFake, world: World
) -> None:
    node = await open_fake()
    await make_fleet(node)
    await boot_anew(node, world)
    node = await open_fake()
    async with node.running():
        await until(lambda: names_up(node), lambda seen: len(seen) == 6)
    assert [name[-1] for name in world.order] == ["1", "1", "2", "2", "3", "3"]
    assert {op["requested_by"] for op in await node.operations("a1")} == {"", "autostart"}


@pytest.mark.parametrize(("at_once", "seen_max"), [(1, 1), (4, 4)])
async def test_only_so_many_machines_of_a_group_start_at_once(
    open_fake: OpenFake, world: World, at_once: int, seen_max: int
) -> None:
    node = await open_fake()
    for number in range(6):
        await node.create(f"box-{number}")
    await boot_anew(node, world)
    world.starting_max = 0
    node = await open_fake(starts_at_once_max=at_once)
    async with node.running():
        await until(lambda: names_up(node), lambda seen: len(seen) == 6)
    assert 1 <= world.starting_max <= seen_max


async def test_an_agent_killed_on_the_way_is_reminded_by_the_book(
    open_fake: OpenFake, world: World
) -> None:
    node = await open_fake()
    await node.create("first", start_order=1)
    await node.create("last", start_order=2)
    await boot_anew(node, world)
    node = await open_fake()
    world.holds = {"start.before"}
    async with node.running():
        await asyncio.wait_for(world.reached.wait(), 30)
    await node.die()
    node = await open_fake()
    async with node.running():
        await until(lambda: names_up(node), lambda seen: "last" in seen)


async def test_a_machine_that_somebody_stopped_meanwhile_is_not_started(
    open_fake: OpenFake, world: World
) -> None:
    node = await open_fake()
    await node.create("one", start_order=1)
    await node.create("two", start_order=2)
    await boot_anew(node, world)
    node = await open_fake()
    await node.call("vm.stop", vm="one")
    async with node.running():
        await until(lambda: names_up(node), lambda seen: seen == {"two"})
    record = await node.get("one")
    assert (record["state"], record["reason"], record["power"]) == ("stopped", "user", "stopped")


async def test_a_leaving_agent_stops_in_reverse_order_as_each_machine_says(
    open_fake: OpenFake, world: World
) -> None:
    node = await open_fake(on_stop="stop")
    records = {
        (await node.create(name, start_order=order, on_host_shutdown=how))["id"]: name
        for name, order, how in (
            ("early", 1, "stop"),
            ("stays", 2, "leave"),
            ("late", 3, "force"),
        )
    }
    world.order.clear()
    await node.service.close()
    seen = [(what, records[vm_id]) for what, vm_id in map(str.split, world.order)]
    assert seen == [("kill", "late"), ("stop", "early")]
    node = await open_fake(on_stop="stop")
    assert await names_up(node) == {"stays"}
    assert (await node.get("late"))["reason"] == "host_shutdown"
    async with node.running():
        await until(lambda: names_up(node), lambda seen: len(seen) == 3)


async def test_stubborn_machines_are_killed_within_the_time_for_leaving(
    open_fake: OpenFake, world: World
) -> None:
    world.is_stubborn = True
    node = await open_fake(on_stop="stop", close_seconds_max=0.3, stops_at_once_max=2)
    await make_fleet(node)
    started = asyncio.get_running_loop().time()
    await node.service.close()
    assert asyncio.get_running_loop().time() - started < 30
    assert all(each.observed.state is State.ABSENT for each in world.machines.values())


def test_order_is_by_number_then_by_name_and_waves_are_bounded() -> None:
    vms = [vm(name, name) for name in ("c", "a", "b")]
    assert [[each.name for each in group] for group in start_groups(vms)] == [["a", "b", "c"]]
    assert [len(wave) for wave in stop_waves(vms, 2)] == [2, 1]
    assert stop_waves([], 2) == []


# ---- ends and restarts


@pytest.mark.parametrize("reason", ["killed_oom", "guest_panic"])
@pytest.mark.parametrize("restart", list(Restart))
def test_a_guest_that_broke_is_restarted_by_its_policy(reason: str, restart: Restart) -> None:
    spec = Spec(name="box", image="fake", restart=restart)
    ending = judge_end(spec, Power.RUNNING, KILLED, [], 100.0, reason)
    assert (ending.state, ending.reason, ending.power) == (State.FAILED, reason, Power.RUNNING)
    assert (ending.restart_after_seconds is None) is (restart is Restart.NEVER)


def test_a_bad_accelerator_is_tried_around_once_whatever_the_policy() -> None:
    spec = Spec(name="box", image="fake")
    first = judge_end(spec, Power.RUNNING, None, [], 100.0, "accel_failed")
    again = judge_end(spec, Power.RUNNING, None, [99.0], 100.0, "accel_failed")
    assert (first.reason, first.restart_after_seconds) == ("accel_failed", 1.0)
    assert (again.state, again.restart_after_seconds) == (State.FAILED, None)
    stopped = judge_end(spec, Power.STOPPED, None, [], 100.0, "accel_failed")
    assert stopped.restart_after_seconds is None


async def test_a_panic_is_recorded_by_its_name_and_ends_in_a_restart(
    fake: FakeNode, world: World
) -> None:
    await fake.create(restart="on-failure")
    world.end(world.one(), ended="guest_panic")
    record = await until(fake.get, lambda seen: seen["restarts"] == 1)
    record = await until(fake.get, lambda seen: seen["state"] == "running")
    assert world.one().runs == 2
    crash = next(event for event in fake.events if event.name == "vm.crashed")
    assert crash.attributes["vm.reason"] == "guest_panic"
    assert record["restarts"] == 1


async def test_a_stop_before_the_restart_is_final(fake: FakeNode, world: World) -> None:
    await fake.create(restart="always")
    world.end(world.one(), KILLED)
    await until(fake.get, lambda seen: seen["state"] == "failed")
    await fake.call("vm.stop", vm="box")
    assert "restarting" not in (await fake.get())["status"]
    await fake.service._supervisor._restart_later((await fake.get())["id"], 0.0)
    assert world.one().runs == 1


# ---- expiry


async def is_gone(node: FakeNode) -> bool:
    return not (await node.call("vm.list"))["items"]


async def test_an_expired_machine_is_told_of_then_stopped_then_deleted(
    open_fake: OpenFake, world: World
) -> None:
    node = await open_fake(observe_seconds=0.01)
    record = await node.create(expires_at_ms=1)
    async with node.running():
        await until(lambda: is_gone(node), bool)
    names = node.event_names()
    assert names[names.index("vm.started") :] == [
        "vm.started",
        "vm.expired",
        "vm.stopped",
        "vm.deleted",
    ]
    assert world.machines == {}
    operations = await node.operations(record["id"])
    assert [op["method"] for op in operations if op["requested_by"] == "expiry"] == [
        "vm.delete",
        "vm.stop",
    ]


async def test_an_expired_machine_that_does_not_hear_is_killed(
    open_fake: OpenFake, world: World
) -> None:
    world.is_stubborn = True
    node = await open_fake(observe_seconds=0.01)
    await node.create(expires_at_ms=1, stop_timeout_s=0.01)
    async with node.running():
        await until(lambda: is_gone(node), bool)


async def test_a_machine_that_has_time_left_or_is_protected_is_kept(
    open_fake: OpenFake,
) -> None:
    node = await open_fake(observe_seconds=0.01)
    await node.create("later", expires_at_ms=2**50)
    await node.create("kept", expires_at_ms=1, protected=True)
    async with node.running():
        await until(lambda: node.get("kept"), lambda seen: seen["state"] == "stopped")
    assert (await node.get("later"))["state"] == "running"
    assert [event.vm_name for event in node.events if event.name == "vm.expired"] == ["kept"]


async def test_an_expired_machine_that_is_busy_is_tried_again(
    open_fake: OpenFake, world: World
) -> None:
    node = await open_fake(observe_seconds=0.01)
    await node.create(start=False, expires_at_ms=1)
    world.holds = {"start.before"}
    await node.call("vm.start", vm="box", wait_s=0)
    async with node.running():
        await until(lambda: names(node), lambda seen: "vm.expired" in seen)
        assert not await is_gone(node)
        world.free.set()
        await until(lambda: is_gone(node), bool)


async def names(node: FakeNode) -> list[str]:
    return node.event_names()


# ---- logs


async def test_logs_say_what_was_ordered_what_the_agent_saw_and_what_the_driver_said(
    fake: FakeNode,
) -> None:
    await fake.create()
    await fake.call("vm.stop", vm="box", requested_by="alice", wait_s=30)
    agent = [line["text"] for line in (await fake.call("vm.logs", vm="box"))["lines"]]
    assert [text.split()[1] for text in agent] == ["vm.created:", "vm.started:", "vm.stopped:"]
    ops = (await fake.call("vm.logs", vm="box", source="ops"))["lines"]
    texts = [line["text"].partition(": ")[2] for line in ops]
    assert texts[-4:] == ["begun by alice", "asked to stop", "ended", "done"]
    assert all(line["at"] for line in ops)
    short = (await fake.call("vm.logs", vm="box", source="ops", tail=2))["lines"]
    assert short == ops[-2:]
    driver = (await fake.call("vm.logs", vm="box", source="driver"))["lines"]
    assert driver == [{"at": None, "text": "stop"}]
    refused = await fake.refusal("vm.logs", vm="box", source="kernel")
    assert refused.kind == "invalid_params"


async def test_the_history_of_a_machine_survives_its_agent(open_fake: OpenFake) -> None:
    node = await open_fake()
    await node.create()
    await node.die()
    node = await open_fake()
    lines = (await node.call("vm.logs", vm="box"))["lines"]
    assert lines[-1]["text"] == "INFO vm.reattached: box was found running and kept"


# ---- what is kept is bounded


def test_old_operations_are_forgotten_after_a_week(tmp_path: Any) -> None:
    ledger = Ledger(tmp_path / "vm.db")
    now_ms = 10 * 24 * HOUR_MS
    ledger.save(None, [operation("old", now_ms - 7 * 24 * HOUR_MS - 1)], None)
    ledger.save(None, [operation("new", now_ms - 7 * 24 * HOUR_MS + 1)], None)
    ledger.prune(now_ms, operations_max=200)
    assert [found.id for found in ledger.operations(None, 10)] == ["new"]
    assert [each.operation.id for each in ledger.untold(10)] == ["new"]
    ledger.close()


def test_all_machines_together_keep_so_many_operations(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "OPERATIONS_MAX", 3)
    ledger = Ledger(tmp_path / "vm.db")
    ledger.save(None, [operation(f"o{n}", 1000 + n) for n in range(9)], None)
    ledger.prune(1000, operations_max=200)
    assert [found.id for found in ledger.operations(None, 10)] == ["o8", "o7", "o6"]
    ledger.close()


def test_the_history_of_each_machine_is_bounded(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "NOTES_MAX", 3)
    ledger = Ledger(tmp_path / "vm.db")
    ledger.save(vm("a"), [], None)
    for number in range(9):
        ledger.note("a", number, f"line {number}")
        ledger.note("gone", number, "of a machine that is forgotten")
    ledger.prune(1000, operations_max=200)
    assert ledger.notes("a", 10) == [(6, "line 6"), (7, "line 7"), (8, "line 8")]
    assert ledger.notes("gone", 10) == []
    ledger.close()


async def test_a_repeated_request_whose_operation_is_forgotten_has_no_second_effect(
    open_fake: OpenFake, world: World
) -> None:
    node = await open_fake(operations_max=2)
    await node.create(start=False)
    await node.call("vm.start", vm="box", request_id="r-1", wait_s=30)
    await node.call("vm.stop", vm="box", wait_s=30)
    for _ in range(60):
        await node.call("vm.stop", vm="box")
    refused = await node.refusal("vm.start", vm="box", request_id="r-1")
    assert (refused.kind, world.one().runs) == ("conflict", 1)


async def test_tombstones_in_memory_are_bounded(
    fake: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_module, "TOMBSTONES_MAX", 2)
    ids = []
    for _ in range(4):
        ids.append((await fake.create(start=False))["id"])
        await fake.call("vm.delete", vm="box", wait_s=30)
    records: Records = fake.service._records
    assert [records.by_id(vm_id) is not None for vm_id in ids] == [False, False, True, True]
    assert (await fake.call("vm.delete", vm=ids[-1]))["changed"] is False
    assert (await fake.refusal("vm.delete", vm=ids[0])).kind == "not_found"
