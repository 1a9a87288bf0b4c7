"""A machine that its policy starts, and that does not come up, is tried again up to the limit."""

import msgspec
import pytest

from edge.vm import ending as ending_module
from edge.vm.ending import judge_failed_start
from edge.vm.model import Exit, Restart, Spec, State

from .fake_driver import World
from .fake_node import FakeNode, OpenFake
from .test_engine import boot_anew
from .waiting import until

KILLED = Exit(None, 9, 1)


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits between tries are short; their growth is held against judge_failed_start."""
    monkeypatch.setattr(ending_module, "RESTART_SECONDS_INITIAL", 0.01)


def test_the_waits_grow_and_the_limit_ends_them() -> None:
    spec = Spec(name="box", image="fake", restart=Restart.ON_FAILURE, restart_max=3)
    ends = [judge_failed_start(spec, [99.0] * count, 100.0) for count in range(4)]
    assert [each.restart_after_seconds for each in ends] == [1, 2, 4, None]
    assert [each.reason for each in ends] == ["start_failed"] * 3 + ["restart_limit"]
    assert {each.state for each in ends} == {State.FAILED}
    never = msgspec.structs.replace(spec, restart=Restart.NEVER)
    assert judge_failed_start(never, [], 100.0).restart_after_seconds is None


@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize("restart", ["always", "on-failure"])
async def test_starts_that_fail_end_in_the_limit_with_the_last_reason(
    fake: FakeNode, world: World, restart: str
) -> None:
    await fake.create(restart=restart, restart_max=3)
    world.broken = {"start"}
    world.end(world.one(), KILLED)
    record = await until(fake.get, lambda seen: seen["reason"] == "restart_limit")
    assert (record["state"], record["power"], record["restarts"]) == ("failed", "running", 3)
    assert record["last_error"]["message"] == "start is broken"
    tries = [op for op in await fake.operations() if op["requested_by"] == "restart policy"]
    assert [op["state"] for op in tries] == ["failed"] * 3
    assert "start is broken" in fake.events[-1].text
    assert fake.event_names()[-1] == "vm.given_up"


@pytest.mark.usefixtures("_hasty")
async def test_one_that_comes_up_at_the_third_try_runs(fake: FakeNode, world: World) -> None:
    await fake.create(restart="on-failure")
    world.broken = {"start"}
    world.end(world.one(), KILLED)
    await until(fake.get, lambda seen: seen["restarts"] >= 2)
    world.broken = set()
    record = await until(fake.get, lambda seen: seen["state"] == "running")
    assert (record["last_error"], world.one().runs) == (None, 2)


async def test_a_stop_between_two_tries_is_final(fake: FakeNode, world: World) -> None:
    await fake.create(restart="always")
    world.broken = {"start"}
    world.end(world.one(), KILLED)
    record = await until(
        fake.get, lambda seen: "restarting" in seen["status"] and seen["reason"] == "start_failed"
    )
    await fake.call("vm.stop", vm="box")
    world.broken = set()
    await fake.service._supervisor._restart_later(record["id"], 0.0)
    assert ((await fake.get())["state"], world.one().runs) == ("failed", 1)


async def test_a_start_that_a_person_ordered_and_that_fails_is_not_repeated(
    fake: FakeNode, world: World
) -> None:
    await fake.create(start=False, restart="always")
    world.broken = {"start"}
    await fake.call("vm.start", vm="box", wait_s=30)
    record = await fake.get()
    assert (record["reason"], record["status"]) == ("start_failed", "failed: start_failed")


@pytest.mark.usefixtures("_hasty")
async def test_a_start_at_boot_that_fails_is_repeated_as_the_policy_says(
    open_fake: OpenFake, world: World
) -> None:
    node = await open_fake()
    await node.create("box", restart="on-failure")
    await node.create("once")
    await boot_anew(node, world)
    world.broken = {"start"}
    node = await open_fake()
    async with node.running():
        await until(node.get, lambda seen: seen["restarts"] >= 1)
        world.broken = set()
        await until(node.get, lambda seen: seen["state"] == "running")
        once = await until(lambda: node.get("once"), lambda seen: seen["state"] == "failed")
    assert (once["reason"], once["restarts"]) == ("start_failed", 0)


async def test_a_try_that_the_agents_end_cut_off_is_made_again(
    open_fake: OpenFake, world: World
) -> None:
    node = await open_fake()
    await node.create(restart="on-failure")
    world.holds = {"start.before"}
    world.end(world.one(), KILLED)
    await world.reached.wait()
    await node.die()
    node = await open_fake()
    record = await until(node.get, lambda seen: seen["state"] == "running")
    assert (record["power"], world.one().runs) == ("running", 2)
