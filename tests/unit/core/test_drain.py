"""Drains: joined by their id, and never better in words than in truth."""

import asyncio
from pathlib import Path

import pytest

from edge.drain import Drain
from edge.drain_goal import Log
from shared.errors import Unavailable
from shared.ranges import Ranges
from shared.records import Signal
from shared.runtime import Runtime
from tests.unit.core.buffers import fill, running, until
from tests.unit.core.draining import World


async def test_what_is_safe_everywhere_is_drained(tmp_path: Path, runtime: Runtime) -> None:
    """The verdict says how much that was."""
    async with running(tmp_path, runtime) as buffer:
        world = World(buffer, runtime)
        await fill(buffer, Signal.LOGS, 3)
        whole = buffer.seqs
        waiting = asyncio.create_task(world.call("edge.drain", deadline_s=60))
        await until(lambda: world.push.nudges and world.push.beats)
        world.holds(whole, whole)
        verdict = await waiting
    assert (verdict["verdict"], verdict["safe_to_power_off"]) == ("drained", True)
    assert (verdict["goal"]["chunks"], verdict["goal"]["records"]) == (3, 30)
    assert verdict["left"] == {"chunks": 0, "records": 0, "bytes": 0}
    assert verdict["causes"] == []


async def test_an_empty_edge_is_drained_at_once(tmp_path: Path, runtime: Runtime) -> None:
    """Even with no time to wait."""
    async with running(tmp_path, runtime) as buffer:
        verdict = await World(buffer, runtime).call("edge.drain", deadline_s=0)
    assert verdict["safe_to_power_off"] is True


async def test_what_is_left_is_told_by_where_it_is(tmp_path: Path, runtime: Runtime) -> None:
    """On one hub only is not nowhere, and neither is safe."""
    async with running(tmp_path, runtime) as buffer:
        world = World(buffer, runtime)
        await fill(buffer, Signal.LOGS, 6)
        world.holds(Ranges(((1, 4),)), Ranges(((1, 1),)))
        world.push.last_error = "the hub says 503"
        verdict = await world.call("edge.drain", deadline_s=0)
    assert (verdict["verdict"], verdict["safe_to_power_off"]) == ("incomplete", False)
    causes = {cause["cause"]: cause for cause in verdict["causes"]}
    assert causes.keys() == {"not_on_any_hub", "on_one_hub"}
    assert (causes["not_on_any_hub"]["chunks"], causes["not_on_any_hub"]["records"]) == (2, 20)
    assert causes["not_on_any_hub"]["why"] == "the hub says 503"
    assert (causes["on_one_hub"]["chunks"], causes["on_one_hub"]["records"]) == (3, 30)
    assert verdict["left"]["chunks"] == 5
    assert "2 chunks have not reached any hub: the hub says 503" in verdict["reason"]


async def test_without_any_hub_that_is_the_reason(tmp_path: Path, runtime: Runtime) -> None:
    """So that nobody looks for it elsewhere."""
    async with running(tmp_path, runtime) as buffer:
        await fill(buffer, Signal.LOGS, 1)
        verdict = await World(buffer, runtime).call("edge.drain", deadline_s=0)
    assert "no hub is known" in verdict["reason"]


async def test_hubs_that_are_silent_are_named(tmp_path: Path, runtime: Runtime) -> None:
    """With what went wrong there."""
    async with running(tmp_path, runtime) as buffer:
        world = World(buffer, runtime)
        world.hub.lapsed("http://hub-1 does not answer: refused")
        await fill(buffer, Signal.LOGS, 1)
        verdict = await world.call("edge.drain", deadline_s=0)
    assert "no hub answers: http://hub-1 does not answer: refused" in verdict["reason"]


async def test_dead_letters_are_told_and_do_not_hinder(tmp_path: Path, runtime: Runtime) -> None:
    """They stay on the disk whatever a drain does."""
    async with running(tmp_path, runtime) as buffer:
        world = World(buffer, runtime)
        await fill(buffer, Signal.LOGS, 2)
        await buffer.bury(1, "too strange")
        world.holds(buffer.seqs, buffer.seqs)
        verdict = await world.call("edge.drain", deadline_s=0)
    assert (verdict["verdict"], verdict["safe_to_power_off"]) == ("drained", True)
    assert verdict["dead_letters"] == 1
    (cause,) = verdict["causes"]
    assert (cause["cause"], cause["chunks"], cause["records"]) == ("dead_letters", 1, 10)
    assert "too strange" in verdict["reason"]


async def test_a_chunk_that_is_buried_meanwhile_does_not_hold_a_drain(
    tmp_path: Path, runtime: Runtime
) -> None:
    """What declares its loss is waited for in its place."""
    async with running(tmp_path, runtime) as buffer:
        world = World(buffer, runtime)
        await fill(buffer, Signal.LOGS, 2)
        world.holds(buffer.seqs, Ranges(((2, 2),)))
        waiting = asyncio.create_task(world.call("edge.drain", deadline_s=60, request_id="a"))
        await until(lambda: world.push.nudges)
        await buffer.bury(1, "too strange")
        await until(lambda: 3 in world.drain.running["a"].goal.seqs)
        world.holds(buffer.seqs, buffer.seqs)
        verdict = await waiting
    assert (verdict["verdict"], verdict["dead_letters"]) == ("drained", 1)


async def test_the_same_id_joins_and_later_gets_the_same_verdict(
    tmp_path: Path, runtime: Runtime
) -> None:
    """A caller who lost the line asks again, and nothing is begun twice."""
    async with running(tmp_path, runtime) as buffer:
        world = World(buffer, runtime)
        await fill(buffer, Signal.LOGS, 2)
        whole = buffer.seqs
        asked = [
            asyncio.create_task(world.call("edge.drain", deadline_s=60, request_id="same"))
            for _ in range(3)
        ]
        await until(lambda: world.push.nudges)
        assert [*world.drain.running] == ["same"]
        world.holds(whole, whole)
        verdicts = await asyncio.gather(*asked)
        await fill(buffer, Signal.LOGS, 1)
        again = await world.call("edge.drain", deadline_s=0, request_id="same")
        other = await world.call("edge.drain", deadline_s=0, request_id="another")
    assert verdicts[0] == verdicts[1] == verdicts[2] == again
    assert (again["verdict"], other["verdict"]) == ("drained", "incomplete")


async def test_a_drain_whose_caller_left_goes_on(tmp_path: Path, runtime: Runtime) -> None:
    """Its verdict waits for whoever asks again by the id."""
    async with running(tmp_path, runtime) as buffer:
        world = World(buffer, runtime)
        await fill(buffer, Signal.LOGS, 2)
        waiting = asyncio.create_task(world.call("edge.drain", request_id="a"))
        await until(lambda: world.push.nudges)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await world.drain.keep_on()
        assert "a" in world.drain.running
        world.holds(buffer.seqs, buffer.seqs)
        await world.drain.keep_on()
        status = await world.call("edge.drain.status", request_id="a")
    assert status["running"] == []
    assert [each["verdict"] for each in status["verdicts"]] == ["drained"]


async def test_a_disk_that_cannot_be_read_does_not_stop_the_verdict(
    tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not known is not invented."""

    async def broken(seqs: Ranges) -> tuple[int, int]:
        raise Unavailable("the disk has gone")

    async with running(tmp_path, runtime) as buffer:
        await fill(buffer, Signal.LOGS, 2)
        monkeypatch.setattr(buffer, "measure", broken)
        verdict = await World(buffer, runtime).call("edge.drain", deadline_s=0)
    assert verdict["verdict"] == "incomplete"
    assert verdict["left"] == {"chunks": 2, "records": None, "bytes": None}


async def test_a_new_life_of_the_log_is_drained_in_place_of_the_old_one(
    tmp_path: Path, runtime: Runtime
) -> None:
    """The old numbers mean other chunks now: what hubs said of them proves nothing."""
    async with running(tmp_path, runtime) as buffer:
        world = World(buffer, runtime)
        await fill(buffer, Signal.LOGS, 3)
        waiting = asyncio.create_task(world.call("edge.drain", deadline_s=60, request_id="a"))
        await until(lambda: world.push.nudges)
        former = buffer.epoch
        await buffer.new_epoch("it was cloned", buffer.seqs)
        await until(lambda: world.drain.running["a"].goal.log.epoch != former)
        assert world.drain.running["a"].goal.seqs == buffer.seqs
        world.holds(buffer.seqs, buffer.seqs)
        assert (await waiting)["verdict"] == "drained"


async def test_chunks_that_wait_to_be_written_again_are_waited_for(
    tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have no number yet that a hub could call safe."""
    behind = [4]
    async with running(tmp_path, runtime) as buffer:
        world = World(buffer, runtime)
        await fill(buffer, Signal.LOGS, 2)
        world.holds(buffer.seqs, buffer.seqs)
        monkeypatch.setattr(
            Drain, "_log", lambda _: Log(buffer.epoch, 2, buffer.seqs, 2 + behind[0])
        )
        late = await world.call("edge.drain", deadline_s=0)
        waiting = asyncio.create_task(world.call("edge.drain", deadline_s=60))
        await until(lambda: world.push.nudges)
        behind[0] = 0
        verdict = await waiting
    assert (late["verdict"], late["left"]["chunks"]) == ("incomplete", 4)
    assert verdict["verdict"] == "drained"
