"""Who is asked before numbers count as dropped, who is not, and what a liar achieves: nothing."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from hub import taken_over_wire
from hub.peers import Peer
from hub.replicate import LogKey
from hub.store.taken_over import Adopted
from hub.taken_over import Fate, TakenOver, Went
from hub.taken_over_poll import NODES_TOLD_MAX, told_of
from hub.web.event_words import sentence_of
from shared.errors import Unreachable
from shared.http import Reply
from shared.ranges import NOTHING, SEQ_MAX, Ranges, from_wire, of_seqs
from shared.sums import Sum
from tests.unit.hub.peer_stage import KEY, FarHub, Shelf, Stage, in_virtual_time, vector_of

WENT = Went(1, 1000, b"h" * 32, Sum(500, 5000, 50_000), 1_700_000_000_000)


class Disk(Shelf):
    """A shelf that takes over what it is told to."""

    async def take_over(self, agreed: Mapping[LogKey, TakenOver]) -> Adopted:
        for key, each in agreed.items():
            self.dropped[key] = self.dropped.get(key, NOTHING) | each.seqs
        return Adopted({key: each.seqs for key, each in agreed.items()})


@dataclass
class Telling(FarHub):
    """A peer that says what became of its chunks: those in `gone` its retention took."""

    is_away: bool = False

    async def post(self, peer: Peer, path: str, body: bytes, *args: Any, **bounds: Any) -> Reply:
        """What the network brings, and the answer."""
        if self.is_away:
            raise Unreachable(peer.url, "the line is dead", sent=True)
        if path != "/peer/fates":
            return await super().post(peer, path, body, *args, **bounds)
        self.asked[path] += 1
        question = orjson.loads(body)
        self.questions.append({"path": path, **question})
        sound = taken_over_wire.write_answer(
            {(item[0], item[1]): self.fate(item) for item in question["wanted"]}
        )
        said = self.lies.get(path, lambda answer: answer)(sound)
        return Reply(200, {}, said if isinstance(said, bytes) else orjson.dumps(said))

    def fate(self, item: Any) -> Fate:
        judged = from_wire(item[2])
        known = judged & vector_of(self.arrivals).get((item[0], item[1]), NOTHING)
        dropped = known & self.gone
        return Fate(judged, known - dropped, dropped, WENT if dropped else None)


def stage(**fars: Telling) -> tuple[Stage, list[dict[str, Any]]]:
    """A hub with these peers, all of which have answered; and what it tells of."""
    named = {name.replace("_", "-"): far for name, far in fars.items()}
    world = Stage(named, Disk())
    for peer in world.peers.by_url.values():
        peer.answered_at = 0.0
    events: list[dict[str, Any]] = []
    world.sweeper.tell = lambda name, facts: events.append({"event": name, **facts})
    return world, events


def holding(*seqs: int, gone: Ranges = NOTHING) -> Telling:
    far = Telling(gone=gone)
    far.hold(*seqs)
    return far


def taken(world: Stage) -> Ranges:
    return world.shelf.dropped.get(KEY, NOTHING)


async def sweep_for(world: Stage, seconds: float) -> None:
    await world.live(seconds, sweeping=True)


def test_what_the_only_peer_dropped_is_taken_over_and_told_of_once() -> None:
    async def story() -> None:
        world, events = stage(hub_2=holding(*range(1, 9), gone=of_seqs([2, 4, 6, 8])))
        await sweep_for(world, 600)
        assert taken(world) == of_seqs([2, 4, 6, 8])
        assert world.shelf.held == {KEY: of_seqs([1, 3, 5, 7])}
        told = {"event": "retention.adopted", "peer": "hub-2", "origin": "edge-1", "chunks": 4}
        assert events == [told]
        count = world.sweeper.count(world.peer())
        assert (count.taken_over, count.in_vain) == (4, {})
        assert world.far.asked["/peer/fates"] == 1

    in_virtual_time(story())


def test_while_one_peer_is_away_nobody_is_asked_and_nothing_taken_over() -> None:
    """It holds what the other one dropped; when it is back it brings it."""

    async def story() -> None:
        gone = of_seqs([2, 4])
        full, away = holding(1, 2, 3, 4, gone=gone), holding(1, 2, 3)
        away.is_away = True
        world, events = stage(hub_2=full, hub_3=away)
        await sweep_for(world, 7300)
        assert taken(world) == NOTHING
        assert full.asked["/peer/fates"] == 0
        away.is_away = False
        await sweep_for(world, 600)
        assert world.shelf.held == {KEY: of_seqs([1, 2, 3])}
        assert taken(world) == of_seqs([4])
        assert [each["chunks"] for each in events] == [1]

    in_virtual_time(story())


def test_a_peer_that_was_swept_and_is_away_now_is_waited_for() -> None:
    """That it had nothing of it an hour ago says nothing of today."""

    async def story() -> None:
        full, other = holding(1, 2, 3), holding(1, 3)
        world, _ = stage(hub_2=full, hub_3=other)
        await sweep_for(world, 200)
        world.shelf.held = {KEY: of_seqs([1, 3])}
        full.gone, other.is_away = of_seqs([2]), True
        world.sweeper.sweep_soon()
        await sweep_for(world, 600)
        assert (taken(world), full.asked["/peer/fates"] > 0) == (NOTHING, True)
        other.is_away = False
        await sweep_for(world, 200)
        assert taken(world) == of_seqs([2])

    in_virtual_time(story())


@pytest.mark.parametrize("lacks", ["answer", "name", "sweep"])
def test_a_peer_that_was_not_heard_since_the_start_is_waited_for(lacks: str) -> None:
    async def story() -> None:
        quiet = holding(1)
        world, _ = stage(hub_2=holding(1, 2, gone=of_seqs([2])), hub_3=quiet)
        if lacks == "answer":
            world.peer("hub-3").answered_at = None
        elif lacks == "sweep":
            quiet.lies["/peer/vector"] = lambda sound: {**sound, "logs": 5}
        else:
            world.peers.learn(["http://hub-4"])
        steps = [world.sweeper.sweep_from(world.peer(name)) for name in ("hub-2", "hub-3")]
        pulls = [world.puller.pull_from(world.peer(name)) for name in ("hub-2", "hub-3")]
        tasks = [asyncio.create_task(step) for step in steps + pulls]
        await asyncio.sleep(1000)
        assert taken(world) == NOTHING
        assert world.far.asked["/peer/fates"] == 0
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    in_virtual_time(story())


def test_a_hub_that_becomes_known_while_others_are_asked_is_waited_for() -> None:
    async def story() -> None:
        world, _ = stage(hub_2=holding(1, 2, gone=of_seqs([2])), hub_3=holding(1))
        third = world.fars["hub-3"]

        def learn(sound: Any) -> Any:
            world.peers.learn(["http://hub-4"])
            return sound

        third.lies["/peer/fates"] = learn
        await sweep_for(world, 300)
        assert third.asked["/peer/fates"] == 1
        assert taken(world) == NOTHING

    in_virtual_time(story())


def test_a_peer_of_an_older_version_is_no_fault_and_nothing_is_taken_over() -> None:
    async def story() -> None:
        def refuse(sound: Any) -> Any:
            raise Unreachable("hub-3", "HTTP 404 Not Found", sent=True)

        world, _ = stage(hub_2=holding(1, 2, gone=of_seqs([2])), hub_3=holding(1))
        world.fars["hub-3"].lies["/peer/fates"] = refuse
        await sweep_for(world, 600)
        assert taken(world) == NOTHING
        for name in ("hub-2", "hub-3"):
            count = world.sweeper.count(world.peer(name))
            assert (count.failed, count.error, world.standing(name).trouble) == (0, "", "")

    in_virtual_time(story())


LIES: dict[str, Any] = {
    "a number beyond what it listed": {"judged": [[2, 9]], "dropped": [[2, 9]]},
    "a range that goes back": {"dropped": [[2, 1]]},
    "ranges that overlap": {"dropped": [[2, 2], [2, 2]]},
    "a huge range": {"judged": [[1, SEQ_MAX]], "dropped": [[1, SEQ_MAX]]},
    "a text": {"dropped": "2"},
    "held and dropped": {"held": [[2, 2]]},
    "nothing went": {"went": None},
    "nothing judged": {"judged": [], "held": [], "dropped": []},
}


@pytest.mark.parametrize("name", LIES)
@pytest.mark.parametrize("liar", ["hub-2", "hub-3"])
def test_a_lie_is_shown_with_the_peer_that_told_it_and_nothing_is_taken_over(
    name: str, liar: str
) -> None:
    async def story() -> None:
        gone = of_seqs([2])
        world, events = stage(hub_2=holding(1, 2, gone=gone), hub_3=holding(1, 2, gone=gone))

        def lie(sound: Any) -> Any:
            return {**sound, "logs": [{**sound["logs"][0], **LIES[name]}]}

        world.fars[liar].lies["/peer/fates"] = lie
        await sweep_for(world, 300)
        assert (taken(world), events) == (NOTHING, [])
        assert sum(world.standing(liar).faults.values()) > 0
        assert world.standing(liar).trouble == world.peer(liar).error != ""
        honest = "hub-2" if liar == "hub-3" else "hub-3"
        assert world.standing(honest).faults == {}
        assert world.sweeper.count(world.peer(honest)).failed == 0
        world.fars[liar].lies.clear()
        await sweep_for(world, 300)
        assert taken(world) == gone
        assert world.standing(liar).trouble == ""

    in_virtual_time(story())


def test_a_long_list_is_asked_about_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        gone = of_seqs(range(2, 40, 2))
        world, events = stage(hub_2=holding(*range(1, 40), gone=gone), hub_3=holding(1))
        world.far.page_chunks = 50
        await sweep_for(world, 300)
        assert taken(world) == gone
        sizes = [len(q["wanted"][0][2]) for q in world.far.questions if q["path"] == "/peer/fates"]
        assert max(sizes) == 4
        assert sum(sizes) >= 19
        assert sum(each["chunks"] for each in events) == 19

    monkeypatch.setattr("hub.taken_over_wire.ASKED_SPANS_MAX", 4)
    monkeypatch.setattr("hub.taken_over_poll.QUESTIONS_MAX", 3)
    in_virtual_time(story())


def test_a_long_list_is_settled_in_seconds_and_not_in_a_part_each_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        gone = of_seqs(range(2, 120, 4))
        there = [seq for seq in range(1, 120) if seq % 4 in (1, 2)]
        world, _ = stage(hub_2=holding(*there, gone=gone))
        world.far.page_chunks = 50
        await sweep_for(world, 110)
        assert taken(world) == gone

    monkeypatch.setattr("hub.sweep.LACKING_SPANS_MAX", 5)
    monkeypatch.setattr("hub.vectors.SPANS_MAX", 5)
    in_virtual_time(story())


@pytest.mark.parametrize(
    ("facts", "whose"), [({"origin": "edge-1"}, "edge-1"), ({"nodes": 21}, "21 nodes")]
)
def test_the_event_is_told_in_a_plain_sentence(facts: dict[str, Any], whose: str) -> None:
    row = {"type": "retention.adopted", "node": "hub-1"}
    told = sentence_of({**row, "attributes": {"peer": "hub-2", "chunks": 4, **facts}})
    assert (
        told == f"4 chunks of {whose} never come: their time was over on hub-2, and no hub has them"
    )


def test_of_very_many_nodes_one_event_tells() -> None:
    few = Adopted({(f"n{n}", e): of_seqs([1, 2]) for n in range(NODES_TOLD_MAX) for e in "ab"})
    many = Adopted({(f"n{n}", "a"): of_seqs([1]) for n in range(NODES_TOLD_MAX + 1)})
    told = list(told_of("hub-2", few))
    assert len(told) == NODES_TOLD_MAX
    assert told[0] == {"peer": "hub-2", "origin": "n0", "chunks": 4}
    assert list(told_of("hub-2", many)) == [{"peer": "hub-2", "nodes": 21, "chunks": 21}]
