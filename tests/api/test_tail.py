"""POST /tail on a real hub: rows as they come, a position that goes on, bounds, and an end at once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.applications import Starlette

from hub import tail, tail_door, tail_telling
from hub.tail_door import TailDoor
from hub.tail_position import PARTS_MAX, Position
from shared.codec import compress
from shared.ranges import Ranges
from shared.records import Encoding, Gap, Signal
from tests.api.conftest import ADMIN_TOKEN, Log, World, bearer
from tests.api.tail_client import TailClient, app_of, door_of

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second is long in a test."""
    monkeypatch.setattr(tail, "CHANGES_SECONDS", 0.05)
    monkeypatch.setattr(tail, "PACE_SECONDS", 0.01)


@pytest.fixture
def door(world: World) -> TailDoor:
    return door_of(world.hub)


@pytest.fixture
async def app(world: World, door: TailDoor) -> AsyncIterator[Starlette]:
    """The door of the hub; no tail is left open at the end."""
    yield app_of(world.hub, door)
    assert door.open_tails == 0


async def pushed(world: World, *chunks: Any) -> None:
    """The hub takes these in."""
    answer = await world.push(list(chunks), chunks[0].header.origin)
    assert answer.status_code == 200, answer.text
    outcomes = {outcome["outcome"] for outcome in answer.json()["receipt"]["outcomes"]}
    assert outcomes == {"accepted"}, answer.text


async def registered(world: World) -> Log:
    """An edge that the hub knows."""
    assert (await world.beat("edge-1")).status_code == 200
    return Log()


def as_json(*bodies: str) -> bytes:
    """A JSON body with these records, as it is stored."""
    records = ",".join(f'{{"body":{{"stringValue":"{body}"}}}}' for body in bodies)
    text = f'[{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{records}]}}]}}]}}]'
    return compress(text.encode())


def json_chunk(log: Log, *bodies: str, **changes: Any) -> Any:
    return log.chunk(len(bodies), as_json(*bodies), encoding=Encoding.JSON, **changes)


async def test_rows_are_told_as_they_come_and_none_from_before(
    world: World, app: Starlette
) -> None:
    log = await registered(world)
    await pushed(world, log.chunk())
    client = TailClient(app)
    await client.begins()
    assert client.headers["content-type"].startswith("text/event-stream")
    assert client.headers["cache-control"] == "no-store"
    await pushed(world, log.chunk())
    await client.hears(lambda each: len(each.rows) == 3)
    await pushed(world, log.chunk())
    await client.hears(lambda each: len(each.rows) == 6)
    assert client.names() == [(seq, index) for seq in (2, 3) for index in range(3)]
    found = await world.call("log.query", order="oldest")
    assert client.rows == found["items"][3:], "rows look as in log.query"
    await client.leave()


async def test_a_pause_leaves_no_hole(world: World, app: Starlette) -> None:
    log = await registered(world)
    first = TailClient(app)
    await first.begins()
    await pushed(world, log.chunk())
    await first.hears(lambda each: len(each.rows) == 3)
    await first.leave()
    await pushed(world, *log.chunks(3))
    second = TailClient(app, {"position": first.position.to_wire()}, position=first.position)
    await second.hears(lambda each: len(each.rows) == 9)
    assert not second.of("position"), "the beginning is not told again"
    await pushed(world, log.chunk())
    await second.hears(lambda each: len(each.rows) == 12)
    assert second.names() == [(seq, index) for seq in (2, 3, 4, 5) for index in range(3)]
    await second.leave()


async def test_a_chunk_goes_on_in_its_middle(
    world: World, app: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_telling, "ROWS_MAX", 2)
    log = await registered(world)
    first = TailClient(app)
    await first.begins()
    first.room.clear()
    await pushed(world, log.chunk(7))
    first.room.set()
    await first.hears(lambda each: len(each.rows) >= 7)
    await first.leave()
    parts = first.of("rows")
    assert [(part["part"], part["next"], part["last"]) for part in parts] == [
        *((0, 3, False), (1, 5, False), (2, 7, False), (3, 8, True))
    ]
    position = Position(first.position.start_ms, is_whole=True)
    position.fold("rows", parts[0])
    position.fold("rows", parts[1])
    second = TailClient(app, {"position": position.to_wire()})
    await second.hears(lambda each: len(each.rows) == 3)
    assert second.names() == [(1, 4), (1, 5), (1, 6)]
    await second.leave()


async def test_only_what_matches_is_told_and_the_rest_moves_the_position(
    world: World, app: Starlette
) -> None:
    log = await registered(world)
    client = TailClient(app, {"text": "Needle"})
    await client.begins()
    await pushed(world, json_chunk(log, "hay", "more hay"))
    await pushed(world, log.chunk(signal=Signal.METRICS))
    await client.hears(lambda each: 2 in each.position.seen(("edge-1", "e1")))
    assert client.rows == []
    await pushed(world, json_chunk(log, "hay", "a needle", "hay"))
    await client.hears(lambda each: each.rows)
    assert [row["body"] for row in client.rows] == ["a needle"]
    assert client.position.seen(("edge-1", "e1")) == Ranges(((1, 3),))
    await client.leave()


async def test_other_nodes_and_signals_are_left_out(world: World, app: Starlette) -> None:
    log = await registered(world)
    await world.beat("edge-2")
    other = Log("edge-2")
    client = TailClient(app, {"nodes": ["edge-2"], "signal": "events"})
    await client.begins()
    await pushed(world, json_chunk(log, "not this node", signal=Signal.EVENTS))
    await pushed(world, json_chunk(other, "not this signal"))
    await pushed(world, json_chunk(other, "this", signal=Signal.EVENTS))
    await client.hears(lambda each: each.rows)
    assert [row["body"] for row in client.rows] == ["this"]
    assert [key[0] for key in client.position.later] == ["edge-2"]
    await client.leave()


async def test_a_tail_can_reach_back(world: World, app: Starlette) -> None:
    log = await registered(world)
    await pushed(world, log.chunk())
    client = TailClient(app, {"since": "-1m"})
    await client.hears(lambda each: len(each.rows) == 3)
    await pushed(world, log.chunk())
    await client.hears(lambda each: len(each.rows) == 6)
    assert client.names() == [(seq, index) for seq in (1, 2) for index in range(3)]
    await client.leave()


async def test_a_declared_loss_is_told_once(world: World, app: Starlette) -> None:
    log = await registered(world)
    gaps = (
        Gap("logs", "evicted", ((1, 3),), 3, 30, 300, 1000, 2000),
        Gap("metrics", "evicted", ((4, 5),), 2, 20, 200, 1000, 2000),
    )
    log.seq = 5
    client = TailClient(app)
    await client.begins()
    await pushed(world, log.chunk(gaps=gaps))
    await client.hears(lambda each: each.rows)
    (told,) = client.of("gap")
    (gap,) = told["gaps"]
    assert (gap["reason"], gap["records"], gap["ranges"]) == ("evicted", 30, [[1, 3]])
    await client.leave()
    again = TailClient(app, {"position": client.position.to_wire()})
    await pushed(world, log.chunk())
    await again.hears(lambda each: each.rows)
    assert again.of("gap") == []
    await again.leave()


async def test_a_chunk_that_cannot_be_read_is_told_of_and_stays_unseen(
    world: World, app: Starlette
) -> None:
    log = await registered(world)
    client = TailClient(app)
    await client.begins()
    await pushed(world, log.chunk(body=b"not compressed"))
    await pushed(world, log.chunk())
    await client.hears(lambda each: each.rows)
    (told,) = client.of("unreadable")
    assert (told["origin"], told["seq"]) == ("edge-1", 1)
    assert client.position.seen(("edge-1", "e1")) == Ranges(((2, 2),))
    await client.leave()


async def test_a_slow_reader_holds_nothing_in_memory_and_is_told_that_it_is_behind(
    world: World, app: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "CHANGES_SECONDS", 0.0)
    monkeypatch.setattr(tail, "LAG_CHUNKS", 5)
    monkeypatch.setattr(tail, "PAGE_CHUNKS", 4)
    log = await registered(world)
    client = TailClient(app)
    await client.begins()
    client.room.clear()
    for _ in range(4):
        await pushed(world, *log.chunks(10))
    client.room.set()
    await client.hears(lambda each: len(each.rows) == 120)
    await client.hears(lambda each: each.of("lag") and each.of("lag")[-1] == {"chunks": 0})
    assert client.of("lag")[0]["chunks"] > 5
    assert client.names() == [(seq, index) for seq in range(1, 41) for index in range(3)]
    await client.leave()


async def test_a_quiet_tail_gives_signs_of_life(
    app: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "PING_SECONDS", 0.02)
    client = TailClient(app)
    await client.hears(lambda each: each.comments >= 3)
    await client.leave()


async def test_a_hub_that_stops_says_bye_at_once(world: World, app: Starlette) -> None:
    client = TailClient(app)
    await client.begins()
    world.hub.stopping.set()
    await asyncio.wait_for(client.task, 30)
    assert client.events[-1] == ("bye", {"reason": "this hub stops"})
    assert client.ended


async def test_a_reader_that_takes_nothing_does_not_hold_up_a_stop(
    world: World, app: Starlette
) -> None:
    log = await registered(world)
    client = TailClient(app)
    await client.begins()
    client.room.clear()
    await pushed(world, log.chunk())
    world.hub.stopping.set()
    await asyncio.wait_for(client.task, 30)


async def test_there_is_room_for_so_many_tails(
    app: Starlette, door: TailDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_door, "TAILS_MAX", 1)
    client = TailClient(app)
    await client.begins()
    refused = TailClient(app)
    assert await refused.answered() == 503
    assert refused.headers["retry-after"] == "10"
    await client.leave()
    assert await TailClient(app, {"nonsense": 1}).answered() == 400
    assert door.open_tails == 0, "a refused question gives its place back"
    welcome = TailClient(app)
    await welcome.begins()
    await welcome.leave()


async def test_nobody_follows_without_a_token_or_a_page_of_this_session(
    world: World, app: Starlette
) -> None:
    assert await TailClient(app, headers={}).answered() == 401
    assert await TailClient(app, headers=bearer("wrong")).answered() == 401
    value = world.hub.guard.check_login(ADMIN_TOKEN)
    cookie = {"cookie": f"{world.hub.guard.cookie_name}={value}"}
    assert await TailClient(app, headers=cookie).answered() == 403
    forged = {**cookie, "x-csrf-token": "guessed"}
    assert await TailClient(app, headers=forged).answered() == 403
    page = await world.client.get("/logs", headers={**cookie, "accept": "text/html"})
    token = page.text.partition('name="csrf" value="')[2].partition('"')[0]
    client = TailClient(app, headers={**cookie, "x-csrf-token": token})
    await client.begins()
    await client.leave()


BAD_QUESTIONS: list[Any] = [
    b"",
    b"[]",
    b"{",
    {"start": "-1h"},
    {"end": "-1h"},
    {"limit": 5},
    {"severity": "awful"},
    {"signal": "metrics"},
    {"since": []},
    {"since": True},
    {"since": "yesterday"},
    {"since": "-1m", "position": Position(is_whole=True).to_wire()},
    {"position": {}},
    {"position": [1]},
    {"position": {"version": 2, "start_ms": 0, "base": []}},
    {"position": {"version": 1, "start_ms": -1, "base": []}},
    {"position": {"version": 1, "start_ms": 0, "base": [["a", "e", [[2, 1]]]]}},
    {"position": {"version": 1, "start_ms": 0, "base": [["a", "e", [[0, 2**63]]]]}},
]


@pytest.mark.parametrize("question", BAD_QUESTIONS, ids=str)
async def test_a_bad_question_is_refused_in_words(
    world: World, app: Starlette, question: Any
) -> None:
    client = TailClient(app, question)
    assert await client.answered() == 400
    assert len(client.problem) > 10
    assert world.counted("answers_400") == 1


async def test_a_question_that_is_too_large_is_refused(
    app: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_door, "BODY_BYTES_MAX", 1000)
    assert await TailClient(app, {"text": "x" * 2000}).answered() == 413


async def test_a_hub_that_lacks_what_was_broken_off_sends_the_reader_on(app: Starlette) -> None:
    position = Position(is_whole=True)
    position.parts = {(("edge-9", "e1"), seq): 1 for seq in range(1, PARTS_MAX + 1)}
    client = TailClient(app, {"position": position.to_wire()})
    assert await client.answered() == 503
