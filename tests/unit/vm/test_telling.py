"""Operations and the use of machines are told to the world: once each, also over crashes."""

from typing import Any

from edge.vm.ledger import Ledger
from edge.vm.model import VmEvent
from edge.vm.service import Telemetry
from shared.errors import BufferFull

from .conftest import Node, OpenNode
from .fake_driver import World
from .fake_node import FakeNode, OpenFake
from .kept import Kept
from .waiting import until


def told(node: FakeNode | Node) -> list[VmEvent]:
    return [event for event in node.events if event.name == "vm.operation"]


async def told_states(node: FakeNode | Node) -> list[tuple[str, str]]:
    return [(e.attributes["op.method"], e.attributes["op.state"]) for e in told(node)]


async def test_each_operation_is_told_at_its_begin_and_at_its_end(fake: FakeNode) -> None:
    async with fake.running():
        await fake.create(start=False)
        await fake.call(
            "vm.start", vm="box", requested_by="alice", via_hub="hub-2", request_id="r-9", wait_s=30
        )
        await until(lambda: told_states(fake), lambda seen: len(seen) == 4)
    assert await told_states(fake) == [
        ("vm.create", "running"),
        ("vm.create", "done"),
        ("vm.start", "running"),
        ("vm.start", "done"),
    ]
    end = told(fake)[-1]
    (operation,) = [op for op in await fake.operations() if op["method"] == "vm.start"]
    assert {key: end.attributes[key] for key in end.attributes if key[:3] == "op."} == {
        "op.id": operation["op_id"],
        "op.request_id": "r-9",
        "op.method": "vm.start",
        "op.state": "done",
        "op.by": "alice",
        "op.via_hub": "hub-2",
        "op.error": "",
        "op.created_ms": told(fake)[-2].time_ns // 10**6,
        "op.changed": True,
    }
    assert (end.vm_name, end.severity) == ("box", "INFO")
    assert end.text == "vm.start of box by alice through hub-2: done"


async def test_a_failure_is_told_with_its_reason(fake: FakeNode) -> None:
    await fake.create(start=False)
    fake.world.broken = {"start"}
    async with fake.running():
        await fake.call("vm.start", vm="box", wait_s=30)
        await until(lambda: told_states(fake), lambda seen: seen[-1:] == [("vm.start", "failed")])
    end = told(fake)[-1]
    assert (end.severity, end.attributes["op.error"]) == ("ERROR", "driver_error")
    assert "start is broken" in end.text


async def test_a_request_that_changes_nothing_is_told_by_its_end_only(fake: FakeNode) -> None:
    await fake.create(start=False)
    async with fake.running():
        await fake.call("vm.stop", vm="box")
        await until(lambda: told_states(fake), lambda seen: len(seen) == 3)
    assert (await told_states(fake))[-1] == ("vm.stop", "done")
    assert told(fake)[-1].text.endswith("nothing to do")


async def test_what_was_not_told_before_a_kill_is_told_by_the_next_agent(
    open_fake: OpenFake,
) -> None:
    node = await open_fake()
    record = await node.create(start=False)
    await node.die()  # The ledger has the operation, and no event was kept.
    node = await open_fake()
    async with node.running():
        await until(lambda: told_states(node), lambda seen: len(seen) == 2)
    assert {event.vm_id for event in told(node)} == {record["id"]}
    await node.service.close()
    node = await open_fake()
    await node.service.close()
    assert told(node) == [], "nothing is told again that was told"


async def test_an_interrupted_operation_is_told_with_its_end(
    open_fake: OpenFake, world: World
) -> None:
    node = await open_fake()
    await node.create(start=False)
    world.holds = {"start.before"}
    await node.call("vm.start", vm="box", wait_s=0)
    await world.reached.wait()
    await node.die()
    node = await open_fake()
    await node.service.close()
    assert (await told_states(node))[-1] == ("vm.start", "failed")
    assert told(node)[-1].attributes["op.error"] == "interrupted"


async def test_one_that_is_told_twice_is_the_same_event(open_fake: OpenFake) -> None:
    """The agent was killed after the event was kept and before the mark was taken away."""
    node = await open_fake()
    await node.create(start=False)
    kept: list[VmEvent] = []

    async def keep_and_fail(event: VmEvent) -> None:
        kept.append(event)
        raise BufferFull("killed here")

    node.service._telling._emit = keep_and_fail
    await node.service.close()
    node = await open_fake()
    await node.service.close()
    first = told(node)[0]
    assert (first.time_ns, first.attributes) == (kept[0].time_ns, kept[0].attributes)
    assert len({event.attributes["event.id"] for event in told(node)}) == 2


async def test_a_full_buffer_delays_what_is_told(fake: FakeNode) -> None:
    fake.is_dumb = True
    tries = 0
    emit = fake.emit

    async def count(event: VmEvent) -> None:
        nonlocal tries
        tries += 1
        try:
            await emit(event)
        except BufferFull as error:
            raise BufferFull("full", 0.01) from error

    fake.service._telling._emit = count

    async def tried() -> int:
        return tries

    async with fake.running():
        await fake.create(start=False)
        await until(tried, lambda seen: seen > 2)
        fake.is_dumb = False
        await until(lambda: told_states(fake), lambda seen: len(seen) == 2)


async def test_marks_of_operations_that_are_forgotten_go_with_them(open_fake: OpenFake) -> None:
    node = await open_fake(operations_max=2)
    await node.create(start=False)
    for _ in range(120):
        await node.call("vm.stop", vm="box")
    rows = await node.service._records.read(lambda ledger: ledger.untold(1000))
    assert len(rows) < 60
    assert isinstance(node.service._records._ledger, Ledger)


# ---- what machines use


def telemetry(kept: Kept, **resource: Any) -> Telemetry:
    return Telemetry(kept, {"headwater.node": "edge-1", **resource})


async def test_what_running_machines_use_is_kept_as_metrics(open_fake: OpenFake) -> None:
    kept = Kept()
    node = await open_fake(telemetry(kept), stats_seconds=0.01)
    await node.create("box")
    await node.create("idle", start=False)

    async def points() -> dict[tuple[str, str, str], float]:
        return kept.points()

    async with node.running():
        found = await until(points, bool)
    assert found == {
        ("vm.cpu.time", "box", ""): 1.5,
        ("vm.memory.usage", "box", ""): 4096,
        ("vm.process.count", "box", ""): 3,
        ("vm.disk.io", "box", "read"): 10,
        ("vm.disk.io", "box", "write"): 20,
    }


async def test_a_machine_whose_use_is_not_known_hides_no_other(
    open_fake: OpenFake, world: World
) -> None:
    kept = Kept()
    node = await open_fake(telemetry(kept), stats_seconds=0.01)
    await node.create()
    world.broken = {"stats"}
    (stats, _) = node.service._tellers
    assert await stats.__self__.take() is True  # type: ignore[attr-defined]
    assert kept.parts == []
    world.broken = set()
    kept.is_full = True
    assert await stats.__self__.take() is False  # type: ignore[attr-defined]


async def test_a_real_sandbox_is_measured(open_node: OpenNode) -> None:
    kept = Kept()
    node = await open_node(stats_seconds=0.05)
    await node.create()
    tellers = node.service._build_tellers(telemetry(kept), node.service._actions._runtime)
    assert await tellers[0].__self__.take() is True  # type: ignore[attr-defined]
    assert kept.points()["vm.memory.usage", "box", ""] > 0
    assert kept.points()["vm.process.count", "box", ""] >= 1
    assert {key for key in kept.points() if key[2]} == {
        ("vm.disk.io", "box", "read"),
        ("vm.disk.io", "box", "write"),
        ("vm.network.io", "box", "receive"),
        ("vm.network.io", "box", "transmit"),
    }
