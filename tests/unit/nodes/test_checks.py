"""How a hub runs its share of the checks, and what it says of them."""

import asyncio
from itertools import chain

import pytest

from hub.nodes.check_rules import Check, Outcome, runner_of
from shared.errors import BadInput, Unavailable
from tests.unit.nodes.check_world import Script, World, tcp, world


def refused(check: Check, host: str) -> Outcome:
    """A target where nobody listens."""
    return Outcome(False, "the connection was refused")


async def turn(hub: World, now: float) -> None:
    """Run all that is due at a time, as the loop does."""
    async with asyncio.TaskGroup() as tasks:
        for run in hub.checks.due(hub.at(now)):
            tasks.create_task(hub.checks.run_due(run))


async def test_the_loop_runs_what_is_due_until_it_is_cancelled() -> None:
    """A check that was due long ago runs at once, and its result is in the history."""
    hub, ran = world(), asyncio.Event()

    def answer(check: Check, host: str) -> Outcome:
        ran.set()
        return Outcome(True, "connected", 0.002)

    hub.script.answer = answer
    hub.checks.plan("edge-1", tcp("ssh"), hub.at(-100.0))
    task = asyncio.create_task(hub.checks.run())
    async with asyncio.timeout(60):
        await ran.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert hub.script.ran[0] == ("ssh", "10.0.0.7")
    assert hub.checks.schedule.running == 0


async def test_a_check_is_told_when_it_begins_to_fail_and_when_it_passes_again() -> None:
    """And not at each run between."""
    hub = world()
    hub.checks.plan("edge-1", tcp("ssh"), hub.at(0))
    await turn(hub, 10)
    hub.script.answer = refused
    for now in (20, 30, 40):
        await turn(hub, now)
    hub.script.answer = Script().answer
    await turn(hub, 50)
    assert hub.states() == [
        ("edge-1", "ssh", "ok"),
        ("edge-1", "ssh", "failed"),
        ("edge-1", "ssh", "ok"),
    ]
    facts = {"node_id": "edge-1", "check": "ssh", "target": "10.0.0.7:22"}
    assert hub.told == [
        ("node.check.failed", {**facts, "message": "the connection was refused"}),
        ("node.check.passed", {**facts, "message": "connected"}),
    ]


async def test_each_hub_runs_its_share_and_all_is_run() -> None:
    """Three hubs that see each other run each check exactly once."""
    names = frozenset({"hub-1", "hub-2", "hub-3"})
    hubs = [world(name, names) for name in sorted(names)]
    for hub in hubs:
        for number in range(30):
            hub.checks.plan(f"edge-{number}", tcp(f"c{number}"), hub.at(0))
        await turn(hub, 5)
        await turn(hub, 10)
    ran = [sorted({name for name, _ in hub.script.ran}) for hub in hubs]
    assert sorted(chain(*ran)) == sorted(f"c{number}" for number in range(30))
    assert all(ran)


async def test_a_hub_says_nothing_more_of_checks_that_another_one_runs_now() -> None:
    """Or an old failure would be held against the node for ever."""
    hub = world("hub-1", frozenset({"hub-1"}))
    hub.script.answer = refused
    nodes = [f"edge-{number}" for number in range(20)]
    for node in nodes:
        hub.checks.plan(node, tcp("ssh"), hub.at(0))
    await turn(hub, 5)
    await turn(hub, 5.1)
    hub.states()
    hub.live.add("hub-2")
    theirs = {node for node in nodes if runner_of(node, "ssh", hub.live) == "hub-2"}
    await turn(hub, 20)
    assert {node for node, _, state in hub.states() if state == "unknown"} == theirs


async def test_a_hub_that_reaches_nobody_holds_no_failure_against_nodes() -> None:
    """It may be the one that is cut off; what it does reach still passes."""
    hub = world()
    hub.judges[0] = False
    hub.script.answer = lambda check, host: (
        refused(check, host) if check.name == "a" else Outcome(True, "connected", 0.1)
    )
    hub.checks.plan("edge-1", tcp("a", "b"), hub.at(0))
    await turn(hub, 10)
    await turn(hub, 11)
    assert hub.states() == [("edge-1", "b", "ok")]
    assert hub.told == []


async def test_a_node_without_an_address_is_not_failed_but_unknown() -> None:
    """The hub did not try."""
    hub = world()
    hub.checks.plan("edge-lost", tcp("ssh"), hub.at(0))
    await turn(hub, 10)
    (result,) = await hub.checks.run_now("edge-lost")
    assert hub.script.ran == []
    assert hub.states() == []
    assert "no hub knows an address" in result.outcome.message


async def test_a_check_that_is_taken_away_leaves_no_opinion_behind() -> None:
    """Also when its run ends afterwards."""
    hub = world()
    hub.script.answer = refused
    hub.checks.plan("edge-1", tcp("a", "b"), hub.at(0))
    await turn(hub, 10)
    await turn(hub, 11)
    hub.states()
    hub.checks.plan("edge-1", tcp("b"), hub.at(12))
    assert hub.states() == [("edge-1", "a", "unknown")]
    hub.script.gate = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for run in hub.checks.due(hub.at(30)):
            tasks.create_task(hub.checks.run_due(run))
        await asyncio.sleep(0)
        hub.checks.plan("edge-1", None, hub.at(30))
        hub.script.gate.set()
    assert hub.states() == [("edge-1", "b", "unknown")]
    assert hub.checks.schedule.running == 0


async def test_stored_checks_that_cannot_be_read_are_reported_and_not_run() -> None:
    """They may come from a newer version."""
    hub = world()
    hub.checks.plan("edge-1", [{"name": "x", "kind": "quic", "target": ":1"}], hub.at(0))
    with pytest.raises(BadInput, match="cannot be read here: check 1"):
        await hub.checks.run_now("edge-1")
    hub.checks.plan("edge-1", tcp("ssh"), hub.at(0))
    assert hub.checks.unreadable == {}


async def test_on_demand_all_checks_of_a_node_run_here() -> None:
    """Whoever runs them on schedule; the history takes in this hub's share only."""
    hub = world("hub-1", frozenset({"hub-1", "hub-2"}))
    names = [f"c{number}" for number in range(16)]
    hub.checks.plan("edge-1", tcp(*names), hub.at(1e9))
    results = await hub.checks.run_now("edge-1")
    assert sorted(result.check.name for result in results) == sorted(names)
    mine = {name for name in names if runner_of("edge-1", name, hub.live) == "hub-1"}
    assert {subject for _, subject, _ in hub.states()} == mine
    (one,) = await hub.checks.run_now("edge-1", "c3")
    assert one.check.name == "c3"
    with pytest.raises(BadInput, match="no check called c99"):
        await hub.checks.run_now("edge-1", "c99")
    with pytest.raises(BadInput, match="edge-2 has no checks"):
        await hub.checks.run_now("edge-2")


async def test_runs_on_demand_are_bounded() -> None:
    """The third node's 16 checks are refused while those of two others run."""
    hub = world()
    hub.script.gate = asyncio.Event()
    for number in range(3):
        hub.checks.plan(f"edge-{number}", tcp(*(f"c{n}" for n in range(16))), hub.at(1e9))
    async with asyncio.TaskGroup() as tasks:
        first = [tasks.create_task(hub.checks.run_now(f"edge-{number}")) for number in (0, 1)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="32 checks run on demand"):
            await hub.checks.run_now("edge-2")
        hub.script.gate.set()
    assert [len(task.result()) for task in first] == [16, 16]
    assert len(await hub.checks.run_now("edge-2")) == 16


async def test_times_of_runs_are_given_out_once() -> None:
    """In microseconds; a run that failed has none."""
    hub = world()
    hub.checks.plan("edge-1", tcp("a"), hub.at(1e9))
    await hub.checks.run_now("edge-1")
    hub.script.answer = refused
    await hub.checks.run_now("edge-1")
    assert [run[3] for run in hub.checks.take_runs()] == [2000, None]
    assert hub.checks.take_runs() == []
