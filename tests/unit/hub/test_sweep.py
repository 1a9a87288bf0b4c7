"""Sweeps: nothing to do in a sound mesh, what is lost comes back, and nobody is bothered by them."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from hub import sweep, vectors
from hub.standing import describe_standing
from hub.vectors import LOGS_MAX
from shared.errors import Unreachable
from shared.ranges import of_seqs
from tests.law.drawing import chunk_of
from tests.unit.hub.peer_stage import KEY, FarHub, Stage, in_virtual_time, stage


def pulled(world: Stage, *seqs: int) -> None:
    """Say that all of the peer's arrivals have been pulled, and only these are here."""
    world.peer().pulled_arrival = len(world.far.arrivals)
    world.peer().store_epoch = world.far.store_epoch
    world.shelf.held = {KEY: of_seqs(seqs)} if seqs else {}


def test_hubs_in_step_have_nothing_to_repair() -> None:
    async def story() -> None:
        world = stage()
        for seq in range(1, 100):
            world.far.hold(seq)
            await world.live(2.0, sweeping=True)
        world.far.asked.clear()
        await world.live(600, sweeping=True)
        count = world.sweeper.count(world.peer())
        assert 8 <= count.sweeps <= 13
        assert count.equal == count.sweeps == world.far.asked["/peer/vector"]
        assert (count.repaired, count.failed, world.repairs) == (0, 0, [])
        assert count.ended_at is not None

    in_virtual_time(story())


def test_what_announcements_left_out_is_found_and_counted_as_a_repair() -> None:
    async def story() -> None:
        world = stage()
        world.far.hold(*range(1, 9))
        world.far.hidden = {3, 4, 8}
        await world.live(200, sweeping=True)
        count = world.sweeper.count(world.peer())
        assert world.shelf.held == {KEY: of_seqs(range(1, 9))}
        assert (count.repaired, world.repairs) == (3, [("hub-2", 3)])

    in_virtual_time(story())


def test_what_a_disk_has_lost_comes_back_as_soon_as_somebody_asks() -> None:
    async def story() -> None:
        world = stage()
        world.far.hold(*range(1, 7))
        await world.live(1, sweeping=True)
        world.shelf.held = {KEY: of_seqs([1, 6])}
        world.sweeper.sweep_soon()
        await world.live(10, sweeping=True)
        assert world.shelf.held == {KEY: of_seqs(range(1, 7))}
        assert world.sweeper.count(world.peer()).repaired == 4

    in_virtual_time(story())


def test_a_wish_for_a_sweep_outlasts_the_wait_for_a_peer_that_has_not_answered() -> None:
    async def story() -> None:
        world = stage()
        world.far.hold(1, 2)
        pulled(world, 1)
        world.peer().hub_id = ""
        world.sweeper.sweep_soon()
        task = asyncio.create_task(world.sweeper.sweep_from(world.peer()))
        await asyncio.sleep(20)
        assert world.far.asked.total() == 0
        world.peer().hub_id = "hub-2"
        await asyncio.sleep(10)
        assert world.shelf.held == {KEY: of_seqs([1, 2])}
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    in_virtual_time(story())


def test_sweeps_are_described_for_people() -> None:
    async def story() -> None:
        world = stage()
        world.far.hold(1, 2)
        world.far.hidden = {2}
        await world.live(100, sweeping=True)
        now, count = asyncio.get_running_loop().time(), world.sweeper.count(world.peer())
        told = describe_standing(world.standing(), count, now)
        assert (told["repaired_chunks"], told["sweeps"], told["sweeps_failed"]) == (1, 1, 0)
        assert (told["pulled_chunks"], told["lag_seconds"], told["faults"]) == (2, 0.0, {})
        assert 0 < told["sweep_age_s"] < 60
        assert told["sweep_error"] is None

    in_virtual_time(story())


def test_what_is_on_its_way_is_no_repair() -> None:
    """The vector lists what announcements are just about to bring."""

    async def story() -> None:
        world = stage()
        world.far.hold(*range(1, 7))
        world.shelf.commit_seconds = 1.0
        first = asyncio.create_task(world.sweeper.sweep(world.peer()))
        await world.live(300, sweeping=True)
        assert await first == 0
        assert world.shelf.held == {KEY: of_seqs(range(1, 7))}
        assert world.sweeper.count(world.peer()).repaired == 0

    in_virtual_time(story())


def test_while_pulling_is_far_behind_a_sweep_is_put_off() -> None:
    async def story() -> None:
        world = stage()
        world.far.hold(*range(1, 5))
        assert await world.sweeper.sweep(world.peer()) == 0
        assert world.sweeper.count(world.peer()).postponed == 1
        assert world.far.asked["/peer/chunks"] == 0
        assert world.standing().lag.by_origin == {"edge-1": 4}

    in_virtual_time(story())


def test_what_is_held_or_was_dropped_is_not_asked_for() -> None:
    async def story() -> None:
        world = stage()
        world.far.hold(*range(1, 10))
        pulled(world, 2, 3)
        world.shelf.dropped = {KEY: of_seqs([1, 7, 9])}
        assert await world.sweeper.sweep(world.peer()) == 4
        wanted = [each["wanted"] for each in world.far.questions if "wanted" in each]
        assert wanted[0] == [[*KEY, [[4, 6], [8, 8]]]]

    in_virtual_time(story())


def test_what_does_not_come_is_left_alone_for_an_hour() -> None:
    """The peer has it no more, or it contradicts the log here and is kept beside it."""

    async def story() -> None:
        world = stage()
        world.far.hold(*range(1, 5))
        pulled(world, 1, 2)
        world.far.gone, world.shelf.beside = of_seqs([3]), of_seqs([4])
        await world.live(1800, sweeping=True)
        asked = world.far.asked["/peer/chunks"]
        assert asked == 2, "one page with what is kept beside, and one that says that 3 is gone"
        assert world.sweeper.count(world.peer()).repaired == 0
        world.sweeper.sweep_soon()
        await world.live(10, sweeping=True)
        assert world.far.asked["/peer/chunks"] > asked, "who asks for a sweep means all of it"

    in_virtual_time(story())


def test_a_vector_of_many_logs_comes_in_pages() -> None:
    async def story() -> None:
        world = stage()
        logs = LOGS_MAX * 2 + 5
        world.far.arrivals = [chunk_of(1, origin=f"edge-{number:05}") for number in range(logs)]
        world.far.page_chunks = 4000
        pulled(world)
        assert await world.sweeper.sweep(world.peer()) == logs
        assert world.far.asked["/peer/vector"] == 3

    in_virtual_time(story())


def test_accepting_edges_comes_first_but_not_for_ever() -> None:
    async def story() -> None:
        world = stage()
        world.far.hold(1, 2)
        pulled(world)
        world.shelf.waiting = sweep.BUSY_JOBS + 1
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        assert await world.sweeper.sweep(world.peer()) == 2
        assert loop.time() - began_at >= sweep.SETTLE_SECONDS + sweep.BUSY_SECONDS_MAX - 0.5

    in_virtual_time(story())


def test_one_peer_is_swept_at_a_time() -> None:
    async def story() -> None:
        fars = {name: FarHub() for name in ("hub_2", "hub_3", "hub_4")}
        world = stage(**fars)
        running, most = 0, 0

        async def slow(question: dict[str, Any]) -> Any:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(5.0)
            running -= 1
            return vectors.answer({}, vectors.read_question(question), 0)

        for far in fars.values():
            far.vector = slow  # type: ignore[method-assign]
        await world.live(1, sweeping=True)
        world.sweeper.sweep_soon()
        await world.live(300, sweeping=True)
        assert most == 1
        assert all(world.sweeper.count(world.peer(f"hub-{n}")).sweeps > 2 for n in (2, 3, 4))

    in_virtual_time(story())


def endless() -> Callable[[Any], Any]:
    """A vector that goes on for ever, page by page in the right order."""
    number = 0

    def lie(sound: Any) -> Any:
        nonlocal number
        number += 1
        log = [f"n{number:09}", "e", [[1, 1]]]
        return {**sound, "logs": [log], "next": [log[0], "e", 1]}

    return lie


def test_a_vector_without_end_is_found_out() -> None:
    async def story() -> None:
        world = stage()
        world.far.lies["/peer/vector"] = endless()
        await world.live(70, sweeping=True)
        assert set(world.standing().faults) == {"no_end"}
        assert world.far.asked["/peer/vector"] == sweep.PAGES_MAX
        assert "does not end" in world.standing().trouble

    in_virtual_time(story())


def test_a_lie_in_a_vector_is_shown_until_a_sweep_goes_well() -> None:
    async def story() -> None:
        world = stage()
        world.far.hold(1)
        world.far.lies["/peer/vector"] = lambda _: {"version": 3}
        await world.live(200, sweeping=True)
        assert "version 3" in world.standing().trouble
        assert world.far.asked["/peer/vector"] <= 5
        assert world.shelf.held == {KEY: of_seqs([1])}, "pulling goes on"
        world.far.lies.clear()
        await world.live(100, sweeping=True)
        assert world.standing().trouble == ""

    in_virtual_time(story())


@pytest.mark.parametrize("text", ["HTTP 404 Not Found", "the line is dead"])
def test_a_peer_that_knows_no_vectors_is_told_of_in_its_count_only(text: str) -> None:
    async def story() -> None:
        def refuse(sound: Any) -> Any:
            raise Unreachable("hub-2", text, sent=True)

        world = stage()
        world.far.lies["/peer/vector"] = refuse
        await world.live(200, sweeping=True)
        count = world.sweeper.count(world.peer())
        assert count.failed >= 2
        assert text in count.error
        assert world.standing().trouble == ""

    in_virtual_time(story())
