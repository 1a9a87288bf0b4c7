"""Leadership in running hubs: elected by majority, handed over, shown, and told to hooks."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hub.lead.part import LeadPart
from hub.store.lead_table import guard
from shared.errors import Refused, SettingsError
from tests.api.conftest import ADMIN_TOKEN, World
from tests.api.mesh_world import Wire, config_of, opened, part_in, until

THREE = ("hub-1", "hub-2", "hub-3")
ALONE = ("hub-1",)


def lead_of(world: World) -> LeadPart:
    """The part of a hub that leads."""
    return part_in(world, LeadPart)


@dataclass
class Mesh:
    """Hubs of this process that know each other's names; they run until `stop`."""

    folder: Path
    apps: dict[str, Any] = field(default_factory=dict)
    worlds: dict[str, World] = field(default_factory=dict)
    stacks: dict[str, AsyncExitStack] = field(default_factory=dict)
    loops: "dict[str, asyncio.Task[None]]" = field(default_factory=dict)

    async def hub(self, name: str, hubs: Sequence[str], mode: str, **settings: Any) -> World:
        """Start a hub, or start it again on its store."""
        usual = {"synchronous": "FULL", "leader": mode, "lead_hubs": tuple(hubs)}
        config = config_of(self.folder, name, hubs, **{**usual, **settings})
        stack = self.stacks[name] = AsyncExitStack()
        world = await opened(stack, self.apps, config, Wire(self.apps))
        self.loops[name] = asyncio.create_task(world.hub.run())
        self.worlds[name] = world
        return world

    async def stop(self, name: str, *, by_surprise: bool = False) -> None:
        """End a hub as its process does; by surprise it says no goodbye."""
        world, loop = self.worlds.pop(name), self.loops.pop(name)
        assert not loop.done(), "a loop of the hub ended"
        if by_surprise:
            del self.apps[name]
        else:
            world.hub.stop()
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        self.apps.pop(name, None)
        await self.stacks.pop(name).aclose()

    async def standings(self) -> list[dict[str, Any]]:
        """What each hub says of the leader."""
        return [await world.call("peers.leader") for world in self.worlds.values()]

    async def agreed(self, after_term: int = 0) -> World:
        """Wait until all that run follow one of them in a later term than this; the leader."""
        parts = [lead_of(world) for world in self.worlds.values()]

        def is_agreed() -> bool:
            standings = [part.describe() for part in parts]
            seen = {(each["leader"], each["term"]) for each in standings}
            leads = any(each["leading"] for each in standings)
            return len(seen) == 1 and leads and min(seen)[1] > after_term

        await until(is_agreed)
        return self.worlds[str(lead_of(next(iter(self.worlds.values()))).describe()["leader"])]


@asynccontextmanager
async def meshes(folder: Path) -> AsyncIterator[Mesh]:
    mesh = Mesh(folder)
    yield mesh
    for name in list(mesh.worlds):
        await mesh.stop(name)


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[Mesh]:
    """No hubs yet; all that a test starts are stopped at its end."""
    async with meshes(tmp_path) as mesh:
        yield mesh


@pytest.fixture
async def three(mesh: Mesh) -> Mesh:
    """Three hubs with a leader by majority."""
    for name in THREE:
        await mesh.hub(name, THREE, "quorum")
    await mesh.agreed()
    return mesh


def others(mesh: Mesh, leader: World) -> list[World]:
    return [world for world in mesh.worlds.values() if world is not leader]


async def test_three_hubs_agree_on_one_leader_and_show_it(three: Mesh) -> None:
    leader = await three.agreed()
    standings = await three.standings()
    assert [each["leading"] for each in standings].count(True) == 1
    name, term = leader.hub.config.hub_id, lead_of(leader).leadership.term
    for world in three.worlds.values():
        shown = (await world.call("hub.status"))["lead"]
        assert (shown["mode"], shown["leader"], shown["term"]) == ("quorum", name, term)
    answer = await leader.client.get(
        "/hubs", headers={"authorization": f"Bearer {ADMIN_TOKEN}", "accept": "text/html"}
    )
    assert f"quorum, term {term}; this hub is leader" in answer.text


async def test_a_follower_passes_the_order_to_step_down_on(three: Mesh) -> None:
    before = await three.agreed()
    term = lead_of(before).leadership.term
    answer = await others(three, before)[0].call("peers.stepDown")
    assert answer == {"stepped_down": before.hub.config.hub_id, "term": term}
    assert await three.agreed(after_term=term) is not before


async def test_a_drill_hands_over_to_the_hub_that_was_named(three: Mesh) -> None:
    before = await three.agreed()
    asked, wanted = others(three, before)
    target = wanted.hub.config.hub_id
    await until(lambda: target in lead_of(before).describe()["followers"])
    drilled = await asked.call("peers.drill", target=target)
    assert (drilled["before"], drilled["after"]) == (before.hub.config.hub_id, target)
    assert drilled["term_after"] > drilled["term_before"]
    assert await three.agreed(after_term=drilled["term_before"]) is wanted


async def test_a_leader_that_is_gone_without_a_word_is_followed_by_another(three: Mesh) -> None:
    before = await three.agreed()
    term = lead_of(before).leadership.term
    await three.stop(before.hub.config.hub_id, by_surprise=True)
    assert (await three.agreed(after_term=term)).hub.config.hub_id in THREE


async def test_a_hub_that_comes_back_knows_its_term(three: Mesh) -> None:
    before = await three.agreed()
    name, term = before.hub.config.hub_id, lead_of(before).leadership.term
    await three.stop(name)
    await three.agreed(after_term=term)
    back = await three.hub(name, THREE, "quorum")
    assert lead_of(back).leadership.term >= term
    await three.agreed(after_term=term)


async def test_leave_to_act_goes_with_the_term_and_an_older_one_writes_no_more(
    three: Mesh,
) -> None:
    before = await three.agreed()
    fence = lead_of(before).lease.acquire("sweeping")
    assert fence is not None
    assert fence.is_exclusive
    followers = [lead_of(world).lease for world in others(three, before)]
    assert [lease.acquire("sweeping") for lease in followers] == [None, None]
    await before.call("peers.stepDown")
    after = await three.agreed(after_term=fence.number)
    newer = lead_of(after).lease.acquire("sweeping")
    assert newer is not None
    assert newer.number > fence.number
    with pytest.raises(Refused, match="no longer leads"):
        lead_of(before).lease.check(fence)
    write = before.hub.footing.database.write
    await write(lambda connection: guard(connection, "sweeping", newer.number))
    with pytest.raises(Refused, match="has taken its place"):
        await write(lambda connection: guard(connection, "sweeping", fence.number))


async def test_members_change_by_one_hub_at_the_leader(three: Mesh) -> None:
    leader = await three.agreed()
    follower = others(three, leader)[0]
    kept = sorted({*THREE} - {follower.hub.config.hub_id})
    refused = await follower.refusal("peers.members", hubs=kept)
    assert leader.hub.config.hub_id in refused["message"]
    await until(lambda: len(lead_of(leader).describe()["followers"]) == 2)
    assert (await leader.call("peers.members", hubs=kept))["members"] == kept


async def test_strangers_have_no_vote(three: Mesh) -> None:
    leader = await three.agreed()
    for body in (b"{}", b"[", b"x" * 5000):
        assert (await leader.peer("/peer/lead", body)).status_code in (400, 413)
    answer = await leader.client.post("/peer/lead", content=b"{}")
    assert answer.status_code == 401


async def test_the_lowest_id_leads_where_leaders_are_static(mesh: Mesh) -> None:
    for name in THREE[:2]:
        await mesh.hub(name, THREE[:2], "static")
    leader = await mesh.agreed(after_term=-1)
    assert leader.hub.config.hub_id == "hub-1"
    assert lead_of(leader).lease.is_exclusive is False
    refused = await leader.refusal("peers.stepDown")
    assert "quorum" in refused["message"]
    assert (await leader.refusal("peers.members", hubs=["hub-1"]))["data"]["kind"] == (
        "not_supported"
    )
    answer = await leader.peer("/peer/lead", b"{}")
    assert (answer.status_code, "leader = static" in answer.text) == (400, True)


async def test_without_a_leader_every_duty_is_shared(mesh: Mesh) -> None:
    world = await mesh.hub("hub-1", (), "none")
    shown = await world.call("peers.leader")
    assert (shown["mode"], shown["leader"], shown["leading"]) == ("none", None, False)
    assert lead_of(world).lease.acquire("sweeping") is None


async def test_a_store_that_may_forget_a_vote_is_refused(mesh: Mesh) -> None:
    with pytest.raises(SettingsError, match="synchronous = FULL, not NORMAL"):
        await mesh.hub("hub-1", ALONE, "quorum", synchronous="NORMAL")


HOOK = (
    "import os, sys;"
    "facts = [os.environ['HEADWATER_LEAD_' + name] for name in ('KIND', 'FENCE', 'LEADER')];"
    "open(sys.argv[1], 'a').write(' '.join(facts) + '\\n')"
)


async def test_hooks_run_when_the_lead_begins_and_when_the_hub_stops(
    mesh: Mesh, tmp_path: Path
) -> None:
    """A hub that never led has nothing to stop when it begins."""
    said = tmp_path / "said"
    said.touch()
    words = (sys.executable, "-I", "-S", "-c", HOOK, str(said))
    world = await mesh.hub("hub-1", ALONE, "quorum", hook_command=words)
    await until(lambda: said.read_text().count("\n") == 1)
    term = lead_of(world).leadership.term
    await mesh.stop("hub-1")
    assert said.read_text().splitlines() == [
        f"start {term} hub-1",
        f"stop {term} ",
    ]


async def test_after_a_crash_only_the_hub_that_led_runs_a_stop_and_with_the_fence_of_its_start(
    mesh: Mesh, tmp_path: Path
) -> None:
    """What the hook protects would take another number for a word of somebody else: also where all
    hubs know a later term, and where the way to lead was changed meanwhile."""
    said = {name: tmp_path / f"{name}.said" for name in THREE}
    words = {name: _words(said[name]) for name in THREE}
    for name in THREE:
        await mesh.hub(name, THREE, "quorum", hook_command=words[name])
    first = await mesh.agreed()
    led, term = first.hub.config.hub_id, lead_of(first).leadership.term
    await until(lambda: said[led].read_text() == f"start {term} {led}\n")
    for name in THREE:
        await mesh.stop(name, by_surprise=True)
    for name in THREE:
        await mesh.hub(name, THREE, "static", hook_command=words[name])
    (lowest, *others) = THREE
    await until(lambda: "start" in "".join(said[lowest].read_text().splitlines()[-1:]))
    await until(lambda: f"stop {term} " in said[led].read_text().splitlines())
    for name in {*others} - {led}:
        assert said[name].read_text() == "", name


def _words(said: Path) -> tuple[str, ...]:
    said.touch()
    return (sys.executable, "-I", "-S", "-c", HOOK, str(said))


async def test_a_hook_that_fails_is_told_as_an_event(mesh: Mesh) -> None:
    words = (sys.executable, "-I", "-S", "-c", "raise SystemExit('no such address')")
    world = await mesh.hub("hub-1", ALONE, "quorum", hook_command=words)
    await mesh.agreed()

    async def failures() -> list[dict[str, Any]]:
        found = await world.call("event.list", type="leader:hook_failed")
        return list(found["items"])

    async with asyncio.timeout(60):
        while not (items := await failures()):
            await asyncio.sleep(0.1)
    assert items[0]["severity"] == "ERROR"
    assert "no such address" in items[0]["attributes"]["error"]
