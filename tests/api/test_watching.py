"""Hubs that watch each other: who is avoided, dead, back, or cut off, and where people see it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hub.peering.detect_row import Entry, Row
from hub.peering.detect_values import Life, PeerState
from hub.peering.matrix_wire import read_matrix
from hub.peering.probe_wire import Question, read_reply, sign_of, write_probe
from hub.peering.watch_part import WatchPart
from hub.store import hub_table
from shared.errors import BadInput
from tests.api.conftest import ADMIN_TOKEN, World, bearer
from tests.api.mesh_world import NAMES, Wire, config_of, opened, own_events, part_in, until
from tests.api.watch_world import QUICK, Mesh, detector_of, page, quick_watch, watchful

WAIT_SECONDS = 20.0


@pytest.fixture
async def mesh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Mesh]:
    quick_watch(monkeypatch)
    async with watchful(tmp_path) as made:
        yield made


async def told(world: World, kind: str, about: str = "") -> list[dict[str, Any]]:
    """The events of this type that a hub itself has told."""
    found = await own_events(world, kind)
    return [each for each in found if each["attributes"].get("peer", "") == about]


def findings(answer: dict[str, Any]) -> dict[str, str]:
    return {each["kind"]: each["words"] for each in answer["findings"]}


async def test_a_hub_that_refuses_is_avoided_then_dead_at_both_others_and_told_of_once(
    mesh: Mesh,
) -> None:
    mesh.net.down.add("hub-3")
    await mesh.see("hub-3", "avoid")
    await mesh.see("hub-3", "dead")
    for world in mesh.worlds[:2]:
        (event,) = await told(world, "peer.dead", "hub-3")
        assert event["severity"] == "ERROR"
        assert {"hub-1", "hub-2"} == set(event["attributes"]["observers"].split(", "))
        assert event["attributes"]["silent_seconds"] >= QUICK.silent_seconds
        assert not world.hub.peers.is_isolated
        assert mesh.states(world) == {
            "hub-3": "dead",
            **{name: "alive" for name in NAMES[:2] if name != world.hub.config.hub_id},
        }


async def test_a_dead_hub_that_answers_again_is_alive_and_told_of(mesh: Mesh) -> None:
    mesh.net.down.add("hub-3")
    await mesh.see("hub-3", "dead")
    mesh.net.down.clear()
    await mesh.until_all_are_well()
    for world in mesh.worlds[:2]:
        (event,) = await told(world, "peer.alive", "hub-3")
        assert event["severity"] == "INFO"
        assert event["attributes"]["how"]


async def test_calls_try_a_hub_that_is_avoided_after_those_that_are_well(mesh: Mesh) -> None:
    peers = mesh.worlds[0].hub.peers
    mesh.net.down.add("hub-2")
    await mesh.see("hub-2", "avoid")
    now = asyncio.get_running_loop().time()
    assert [peer.hub_id for peer in peers.best_first(now)] == ["hub-3", "hub-2"]


async def test_a_hub_that_reaches_nobody_says_so_everywhere_and_declares_nobody_dead(
    mesh: Mesh,
) -> None:
    lonely = mesh.worlds[2]
    mesh.net.down.add("hub-3")
    await until(lambda: lonely.hub.peers.is_isolated)
    await mesh.see("hub-3", "dead")
    await until(lambda: set(mesh.states(lonely).values()) == {"avoid"})
    assert (await lonely.call("hub.status"))["isolated"] is True
    ready = await lonely.client.get("/readyz")
    assert (ready.status_code, ready.text) == (
        200,
        "ready to answer; isolated: it reaches none of its 2 peers\n",
    )
    assert "reaches none of its peers" in await page(lonely, "/hubs")
    (event,) = await told(lonely, "hub.isolated")
    assert (event["severity"], event["attributes"]["peers"]) == ("ERROR", 2)
    mesh.net.down.clear()
    await mesh.until_all_are_well()
    await until(lambda: not lonely.hub.peers.is_isolated)
    assert (await lonely.client.get("/readyz")).text == "ready\n"
    assert "reaches none of its peers" not in await page(lonely, "/hubs")
    (back,) = await told(lonely, "hub.rejoined")
    assert back["attributes"]["through"] in NAMES[:2]
    assert await told(lonely, "peer.dead", "hub-1") == []


async def test_one_dead_link_kills_no_hub_and_is_found_by_the_matrix(mesh: Mesh) -> None:
    """The third hub still hears both."""
    mesh.net.unroutable.add(frozenset(("hub-1", "hub-3")))
    first, second = mesh.worlds[:2]
    await until(lambda: mesh.states(first)["hub-3"] == "avoid")

    async def found() -> bool:
        return "dead_link" in findings(await second.call("hub.matrix"))

    async with asyncio.timeout(WAIT_SECONDS):
        while not await found():
            await asyncio.sleep(0.05)
    await asyncio.sleep(QUICK.silent_seconds + 2 * QUICK.stable_seconds)
    assert mesh.states(first) == {"hub-2": "alive", "hub-3": "avoid"}
    assert mesh.states(second) == {"hub-1": "alive", "hub-3": "alive"}


async def test_a_hub_whose_gossip_hangs_while_it_answers_probes_is_avoided_and_lives(
    mesh: Mesh,
) -> None:
    mesh.net.hanging.add("hub-2")
    await mesh.see("hub-2", "avoid")
    first = mesh.worlds[0]
    answer = await first.call("hub.matrix")
    (row,) = [each for each in answer["rows"] if each["hub"] == "hub-1"]
    (entry,) = [each for each in row["entries"] if each["peer"] == "hub-2"]
    assert entry["failure"] == "unusable"
    await asyncio.sleep(QUICK.silent_seconds + 2 * QUICK.stable_seconds)
    assert mesh.states(first)["hub-2"] == "avoid"
    mesh.net.hanging.clear()
    await mesh.until_all_are_well()


async def test_the_matrix_has_the_word_of_every_hub_and_names_who_is_dead(mesh: Mesh) -> None:
    first = mesh.worlds[0]

    async def heard() -> dict[str, Any]:
        return await first.call("hub.matrix")  # type: ignore[no-any-return]

    async with asyncio.timeout(WAIT_SECONDS):
        while len((await heard())["rows"]) < 3 or (await heard())["findings"]:
            await asyncio.sleep(0.05)
    mesh.net.down.add("hub-3")
    await mesh.see("hub-3", "dead")
    async with asyncio.timeout(WAIT_SECONDS):
        while "dead_hub" not in findings(await heard()):
            await asyncio.sleep(0.05)
    answer = await heard()
    assert answer["hub"] == "hub-1"
    assert answer["hubs"] == list(NAMES)
    assert "hub-3 is dead" in findings(answer)["dead_hub"]
    assert read_matrix(answer).hubs == list(NAMES)
    twin = await first.client.get("/hubs/matrix.json", headers=bearer(ADMIN_TOKEN))
    assert twin.json().keys() == answer.keys()
    text = await page(first, "/hubs/matrix")
    assert "<svg" in text
    assert "<style" not in text
    assert "hub-3 is dead" in text


async def test_a_hub_probes_another_for_a_third_one(mesh: Mesh) -> None:
    """What it is told in a probe is a sign of life, and it tells what it heard, or nothing."""
    first = mesh.worlds[0]
    sign = sign_of("hub-2", Life("a life", 9, 9))

    async def ask(about: str) -> Any:
        answer = await first.peer("/peer/probe", write_probe(Question(sign, about, 1.0)))
        assert answer.status_code == 200
        return read_reply(answer.content)

    alone = await ask("")
    assert (alone.sender.hub, alone.about) == ("hub-1", None)
    through = await ask("hub-3")
    assert through.about.hub == "hub-3"
    assert through.sender.life.order > alone.sender.life.order
    mesh.net.down.add("hub-3")
    assert (await ask("hub-3")).about is None
    assert (await ask("hub-9")).about is None


async def test_a_hub_that_is_called_dead_lives_on_as_another_and_says_so(mesh: Mesh) -> None:
    """It writes down which one, so that a restart begins above it, and all others hear of it."""
    first, second = mesh.worlds[:2]
    mine, theirs = detector_of(first), detector_of(second)
    lie = Entry("hub-1", PeerState.DEAD, 1.0, instance=mine.instance, incarnation=30)
    told_by = Row("hub-2", theirs.instance, theirs.incarnation, theirs.beat + 50, [lie])
    first.hub.mesh.sections.by_name["reach"].take(
        msgspec.json.encode(told_by), "hub-2", asyncio.get_running_loop().time()
    )
    assert mine.incarnation == 31

    def is_heard() -> bool:
        life = theirs.watches["hub-1"].life
        return life is not None and life.incarnation == 31

    await until(is_heard)
    (event,) = await told(first, "hub.refuted")
    assert (event["severity"], event["attributes"]["told_by"]) == ("WARN", "hub-2")
    stored = await first.hub.stamps.database.write(hub_table.next_incarnation)
    assert stored == 32


async def test_a_probe_that_cannot_be_read_is_refused(world: World) -> None:
    for body in (b"", b"{}", b"\xff", b"[" * 1000):
        answer = await world.peer("/peer/probe", body)
        assert answer.status_code == 400
    assert (await world.peer("/peer/probe", b"x" * 5000)).status_code == 413
    await world.still_works()


async def test_a_hub_alone_is_not_isolated(world: World) -> None:
    assert (await world.call("hub.status"))["isolated"] is False
    answer = await world.call("hub.matrix")
    assert [row["hub"] for row in answer["rows"]] == ["hub-1"]
    assert answer["findings"] == []


def test_an_answer_that_is_no_matrix_is_refused() -> None:
    for answer in ({}, {"rows": 1}, {"rows": [1]}, {"rows": [{"hub": "hub-1"}]}):
        with pytest.raises(BadInput):
            read_matrix(answer)


async def test_a_hub_that_starts_again_is_a_later_life_than_any_before(tmp_path: Path) -> None:
    """Also than the one by which it refuted that it was dead."""
    numbers: list[int] = []
    for _ in range(3):
        async with AsyncExitStack() as stack:
            apps: dict[str, Any] = {}
            world = await opened(stack, apps, config_of(tmp_path, "hub-1"), Wire(apps))
            numbers.append(detector_of(world).incarnation)
            if len(numbers) == 2:
                await part_in(world, WatchPart).watcher.save(40)
    assert numbers == [1, 2, 41]
