"""Three hubs that elect a leader on the event loop, on virtual time, with everything but the network real."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any

import pytest

from hub.lead.calls import HandOver, LeadCalls, NewMembers
from hub.lead.drill import drill
from hub.lead.hooks import HookCall, Hooks
from hub.lead.leader import IN_FLIGHT_MAX, QuorumLeader
from hub.lead.messages import write
from hub.lead.mode import Mode
from hub.lead.model import Ballot, Members, Tell
from hub.lead.static import HubState, StaticLeadership
from hub.lead.static_leader import StaticLeader
from hub.lead.voice import LeadVoice
from hub.lead.voting import no_successor
from shared.errors import BadInput, Refused, RpcError, Unavailable, Unreachable
from tests.sim.loop import VirtualLoop
from tests.unit.lead.hubs import THREE, vote_ask

Story = Callable[["Mesh"], Awaitable[None]]


class Mesh:
    """Some leaderships, and a network on which hubs can fall silent."""

    def __init__(self, hubs: tuple[str, ...] = THREE.hubs) -> None:
        self.hubs = hubs
        self.silent: set[str] = set()
        self.hung: set[str] = set()
        self.disk_full: set[str] = set()
        self.asked = 0
        self.disk: dict[str, Ballot] = {}
        self.told: list[tuple[str, Tell]] = []
        self.leaders: dict[str, QuorumLeader] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Start all hubs."""
        for name in self.hubs:
            self.leaders[name] = self._leader(name)
            self.tasks[name] = asyncio.create_task(self.leaders[name].run())

    def _leader(self, name: str) -> QuorumLeader:
        async def post(to: str, message: bytes) -> bytes:
            self.asked += 1
            await asyncio.sleep(0.002 if to not in self.hung else 3600.0)
            if {name, to} & self.silent or to not in self.leaders:
                raise Unreachable(to, "silent", sent=True)
            return await self.leaders[to].answer(message)

        async def save(ballot: Ballot) -> None:
            await asyncio.sleep(0.005)
            if name in self.disk_full:
                raise Unavailable("the disk is full")
            self.disk[name] = ballot

        def tell(told: Tell) -> None:
            self.told.append((name, told))

        ballot = Ballot(Members(self.hubs))
        return QuorumLeader(name, ballot, post=post, save=save, tell=tell, rng=Random(name))

    async def settled(self) -> str:
        """Wait until somebody acts; who."""
        while not (acting := self.acting()):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        return acting

    def acting(self) -> str:
        """Who may act, empty when nobody may."""
        now = asyncio.get_running_loop().time()
        acting = [name for name, each in self.leaders.items() if each.is_leading(now)]
        assert len(acting) <= 1
        return "".join(acting)

    async def stop(self) -> None:
        """End all hubs."""
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


def play(story: Story, hubs: tuple[str, ...] = THREE.hubs) -> None:
    """Run a story to its end on virtual time."""

    async def body() -> None:
        mesh = Mesh(hubs)
        mesh.start()
        try:
            async with asyncio.timeout(600):
                await story(mesh)
            broken = [task for task in mesh.tasks.values() if task.done() and task.exception()]
            assert broken == []
        finally:
            await mesh.stop()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(body())


def test_three_hubs_agree_on_one_leader() -> None:
    async def story(mesh: Mesh) -> None:
        name = await mesh.settled()
        assert {each.election.leader for each in mesh.leaders.values()} == {name}
        assert {ballot.term for ballot in mesh.disk.values()} == {mesh.leaders[name].term}
        elected = [told for _, told in mesh.told if told.name == "leader:elected"]
        assert [told.facts["leader"] for told in elected] == [name] * 3
        assert set(elected[0].facts) == {"hub", "term", "mode", "state", "leader", "reason"}

    play(story)


def test_a_silent_leader_stops_and_another_is_elected() -> None:
    async def story(mesh: Mesh) -> None:
        first = await mesh.settled()
        mesh.silent.add(first)
        await asyncio.sleep(1.0)
        assert mesh.acting() != first
        second = await mesh.settled()
        assert second != first
        mesh.silent.clear()
        await asyncio.sleep(5.0)
        assert mesh.acting() == second

    play(story)


def test_a_hub_that_hangs_does_not_gather_beats() -> None:
    async def story(mesh: Mesh) -> None:
        first = await mesh.settled()
        mesh.hung.add(next(name for name in mesh.hubs if name != first))
        await asyncio.sleep(30.0)
        assert mesh.acting() == first
        assert max(mesh.leaders[first]._in_flight.values()) <= IN_FLIGHT_MAX

    play(story)


def test_a_hub_whose_disk_refuses_gives_no_vote_and_leads_nobody() -> None:
    async def story(mesh: Mesh) -> None:
        first = await mesh.settled()
        mesh.disk_full = set(mesh.hubs) - {first}
        mesh.silent.add(first)
        await asyncio.sleep(20.0)
        assert mesh.acting() == ""
        mesh.disk_full.clear()
        assert await mesh.settled() != first

    play(story)


def test_a_vote_that_is_not_on_disk_is_answered_with_trouble() -> None:
    async def story(mesh: Mesh) -> None:
        mesh.disk_full = set(mesh.hubs)
        await asyncio.sleep(1.1)
        with pytest.raises(Unavailable, match="written to disk"):
            await mesh.leaders["hub-1"].answer(write(vote_ask("hub-2", 9)))

    play(story)


def test_what_cannot_be_read_is_refused() -> None:
    async def story(mesh: Mesh) -> None:
        with pytest.raises(BadInput):
            await mesh.leaders["hub-1"].answer(b"{}")

    play(story)


@pytest.mark.parametrize("asked_at", [0, 1])
def test_a_drill_hands_over_and_passes(asked_at: int) -> None:
    """Asked at the leader or at a hub that follows."""

    async def story(mesh: Mesh) -> None:
        first = await mesh.settled()
        others = [name for name in mesh.hubs if name != first]
        target = others[-1]
        result = await drill(mesh.leaders[[first, others[0]][asked_at]], target)
        assert (result.passed, result.before, result.after) == (True, first, target)
        assert result.seconds_without_leader < 0.2
        assert result.term_after > result.term_before
        await asyncio.sleep(5.0)
        assert mesh.acting() == target

    play(story)


def test_a_drill_that_finds_no_next_leader_fails() -> None:
    async def story(mesh: Mesh) -> None:
        first = await mesh.settled()
        asking = asyncio.create_task(drill(mesh.leaders[first]))
        await asyncio.sleep(0)
        mesh.silent = set(mesh.hubs)
        result = await asking
        assert not result.passed
        assert result.reason == "nobody led within 15 s"
        with pytest.raises(Refused, match="nothing to hand over"):
            await drill(mesh.leaders[first])

    play(story)


def test_a_hub_that_leaves_hands_over_first() -> None:
    async def story(mesh: Mesh) -> None:
        first = await mesh.settled()
        await mesh.leaders[first].close()
        assert await mesh.settled() != first
        await mesh.leaders[first].close()  # Does not lead, so it has nothing to do.

    play(story)


def test_a_hub_alone_leads_itself() -> None:
    async def story(mesh: Mesh) -> None:
        assert await mesh.settled() == "hub-1"
        await asyncio.sleep(30.0)
        assert mesh.acting() == "hub-1"
        assert mesh.leaders["hub-1"].term == 1
        await mesh.leaders["hub-1"].close()

    play(story, ("hub-1",))


def test_calls_answer_and_refuse_as_rpc() -> None:
    async def story(mesh: Mesh) -> None:
        early = mesh.leaders["hub-1"]
        with pytest.raises(RpcError, match="no leader is heard"):
            await LeadCalls(early, early).step_down(HandOver())
        first = await mesh.settled()
        calls = LeadCalls(mesh.leaders[first], mesh.leaders[first])
        assert (await calls.leader())["leader"] == first
        four = await calls.members(NewMembers([*mesh.hubs, "hub-4"]))
        assert four["members"] == [*mesh.hubs, "hub-4"]
        await asyncio.sleep(0.5)
        with pytest.raises(RpcError, match="by one hub"):
            await calls.members(NewMembers(["hub-1"]))
        assert (await calls.step_down(HandOver()))["stepped_down"] == first
        assert await mesh.settled() != first
        with pytest.raises(RpcError, match="only leader = quorum"):
            await LeadCalls(mesh.leaders[first], None).members(NewMembers(["hub-1"]))

    play(story)


def test_the_lowest_id_leads_on_the_loop_and_cannot_be_told_to_stop() -> None:
    async def body() -> None:
        states: Mapping[str, HubState] = {"hub-1": HubState(alive=True)}
        names: list[str] = []
        machine = StaticLeadership("hub-1", ("hub-1",), mode=Mode.STATIC)
        leader = StaticLeader(machine, lambda: states, lambda told: names.append(told.name))
        task = asyncio.create_task(leader.run())
        await asyncio.sleep(4.0)
        assert leader.is_leading(asyncio.get_running_loop().time())
        assert names == ["state:changed", "leader:elected"]
        for refused in (leader.step_down(), leader.wait_for_leader(0), drill(leader)):
            with pytest.raises(Refused, match="only leader = quorum"):
                await refused
        await leader.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(body())


async def test_where_nobody_leads_nobody_is_told_to_stop_the_leader() -> None:
    machine = StaticLeadership("hub-1", (), mode=Mode.NONE)
    with pytest.raises(Refused, match="leader = none: nobody leads"):
        await StaticLeader(machine, dict, lambda told: None).step_down()


class Hurried:
    """A leader that was elected just now: it has heard no follower for some tries."""

    def __init__(self, refusals: list[str]) -> None:
        self.refusals, self.term = refusals, 4

    def describe(self, now: float) -> dict[str, Any]:
        return {"leader": "hub-1"}

    async def step_down(self, target: str = "") -> None:
        if self.refusals:
            raise Refused(self.refusals.pop(0))

    async def wait_for_leader(self, after_term: int) -> str:
        return "hub-3"


def test_a_drill_right_after_another_order_waits_for_followers_and_for_nothing_else() -> None:
    soon = f"hub-1: {no_successor('hub-3', 'hub-1', THREE)}"

    async def story() -> None:
        clock = asyncio.get_running_loop().time
        done = await drill(Hurried([soon, soon]), "hub-3")
        assert done.passed
        assert done.seconds_without_leader < 0.1
        never, begun = Hurried([soon] * 100), clock()
        with pytest.raises(Refused, match="hub-3 does not follow now"):
            await drill(never, "hub-3")
        assert 1.0 <= clock() - begun < 2.0
        other = Hurried([no_successor("nobody", "hub-1", THREE)] * 2)
        with pytest.raises(Refused, match="no hub that votes is called nobody"):
            await drill(other, "nobody")
        assert len(other.refusals) == 1

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(story())


async def test_each_beginning_and_end_of_leading_becomes_a_hook_with_its_fence() -> None:
    calls: list[tuple[str, int]] = []
    events: list[str] = []

    async def hook(call: HookCall) -> None:
        calls.append((call.kind, call.fence))

    def event(name: str, facts: Mapping[str, Any]) -> None:
        events.append(name)

    voice = LeadVoice("hub-1", event)
    hooks = Hooks([hook], voice, Random(1))
    voice.give(hooks)
    task = asyncio.create_task(hooks.run())
    voice.begin(2, Mode.QUORUM)
    await hooks.drained()
    facts = {"hub": "hub-1", "mode": "quorum", "state": "leader", "reason": "test"}
    for name, leader, term in (
        ("leader:elected", "hub-2", 3),
        ("leader:lost", "hub-2", 3),
        ("leader:elected", "hub-1", 4),
        ("leader:lost", "", 5),
    ):
        voice(Tell(name, {**facts, "leader": leader, "term": term}))
        await hooks.drained()
    assert calls == [("stop", 2), ("start", 4), ("stop", 4)]
    assert events == ["leader:elected", "leader:lost", "leader:elected", "leader:lost"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
