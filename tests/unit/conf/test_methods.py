"""The methods: what is written is checked, on disk before the answer, and shown with its story."""

import asyncio
from typing import Any

import pytest

from hub.conf.methods import conf_methods
from hub.conf.section import Section
from shared.conf import EMPTY_HASH, Document, Request, read_document
from shared.conf_report import Report
from shared.errors import BadInput, RpcError, Unavailable
from tests.unit.conf.world import World


async def test_what_is_set_is_on_disk_told_to_everybody_and_answered() -> None:
    world = World()
    answer = await world.methods.set(
        {"settings": {"log_level": "DEBUG"}, "labels": {"role": "web"}, "author": "ann"}
    )
    (saved,) = world.saved
    assert [entry.value for entry in saved.entries] == ["debug"]
    assert world.changes == 1
    (item,) = answer["items"]
    assert item == {
        "scope": "edges:role=web",
        "for": "edges",
        "labels": {"role": "web"},
        "key": "log_level",
        "value": "debug",
        "unset": False,
        "before": None,
        "author": "ann",
        "hub_id": "hub-1",
        "at": "1970-01-01T00:00:01Z",
        "version": "1000.0@hub-1",
    }
    assert (await world.methods.get({}))["items"] == [item]
    assert answer["hash"] == world.book.versions.hash


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"settings": {"log_level": "loud"}, "for": "hubs"}, "log_level must be one of"),
        ({"settings": {"log_level": "info"}}, "say which are meant"),
        ({"settings": {}}, "parameters:"),
        ({"settings": {"tail": "/a"}, "labels": {"a=b": "c"}}, "the name of a label"),
        ({"settings": {"tail": "/a"}, "for": "nobody"}, "parameters:"),
        ({"settings": {"tail": "/a"}, "colour": "red"}, "parameters:"),
        ({"settings": {"scrape_seconds": 1, "scrape_timeout_seconds": 2}}, "every edge would"),
    ],
)
async def test_what_is_wrong_is_refused_before_it_spreads(
    asked: dict[str, Any], reason: str
) -> None:
    world = World()
    with pytest.raises(RpcError) as refused:
        await world.methods.set(asked)
    assert refused.value.kind == "invalid_params"
    assert reason in str(refused.value)
    assert (world.saved, world.changes, world.book.changes) == ([], 0, 0)


async def test_a_disk_that_fails_leaves_everything_as_it_was() -> None:
    world = World(disk_error=Unavailable("the disk is full"))
    with pytest.raises(Unavailable):
        await world.methods.set({"settings": {"tail": "/a"}})
    assert (world.book.in_force(), world.changes) == ([], 0)


async def test_of_two_changes_at_once_the_second_is_checked_against_the_first() -> None:
    """Each is sound alone; together no edge could have them."""
    world = World()
    outcomes = await asyncio.gather(
        world.methods.set({"settings": {"scrape_seconds": 5}}),
        world.methods.set({"settings": {"scrape_timeout_seconds": 9}}),
        return_exceptions=True,
    )
    assert [isinstance(each, RpcError) for each in outcomes] == [False, True]
    assert world.book.values("edges") == {"scrape_seconds": 5.0}


async def test_unset_takes_back_and_only_what_was_set() -> None:
    world = World()
    await world.methods.set({"settings": {"tail": "/a", "buffer_policy": "shed"}})
    with pytest.raises(RpcError) as refused:
        await world.methods.unset({"keys": ["tail"], "labels": {"role": "web"}})
    assert refused.value.kind == "not_found"
    answer = await world.methods.unset({"keys": ["tail"]})
    assert [(each["key"], each["unset"], each["before"]) for each in answer["items"]] == [
        ("tail", True, ["/a"])
    ]
    assert world.book.values("edges") == {"buffer_policy": "shed"}


async def test_the_history_tells_who_replaced_what_through_which_hub() -> None:
    world = World()
    await world.methods.set({"settings": {"tail": "/a"}, "author": "ann"})
    world.wall_ms = 9_000
    await world.methods.set({"settings": {"tail": "/b"}, "author": "bob"})
    await world.methods.set({"settings": {"keep_logs_days": 3}, "author": "eve"})
    await world.methods.unset({"keys": ["tail"], "author": "bob"})
    items = (await world.methods.history({"key": "tail"}))["items"]
    told = [(each["author"], each["before"], each["value"], each["unset"]) for each in items]
    assert told == [
        ("bob", ["/b"], None, True),
        ("bob", ["/a"], ["/b"], False),
        ("ann", None, ["/a"], False),
    ]
    assert len((await world.methods.history({}))["items"]) == 4
    assert len((await world.methods.history({"limit": 1}))["items"]) == 1


async def test_there_is_room_for_so_many_settings_and_the_refusal_says_what_helps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hub.conf.book.ENTRIES_MAX", 2)
    world = World()
    for node in ("n1", "n2"):
        await world.methods.set({"settings": {"tail": "/a"}, "labels": {"node": node}})
    with pytest.raises(RpcError, match="use labels that many nodes have"):
        await world.methods.set({"settings": {"tail": "/a"}, "labels": {"node": "n3"}})
    await world.methods.set({"settings": {"tail": "/b"}, "labels": {"node": "n2"}})


async def test_what_an_edge_should_have_is_shown_with_where_it_comes_from() -> None:
    world = World(nodes={"n1": {"role": "web"}})
    await world.methods.set({"settings": {"log_level": "info"}, "for": "edges"})
    await world.methods.set({"settings": {"log_level": "debug"}, "labels": {"role": "web"}})
    answer = await world.methods.effective({"node": "n1"})
    assert (answer["state"], answer["applied"]) == ("unknown", None)
    assert [(each["scope"], each["value"]) for each in answer["items"]] == [
        ("edges:role=web", "debug")
    ]
    world.methods.hear("n1", {"role": "web"}, Report(EMPTY_HASH))
    assert (await world.methods.effective({"node": "n1"}))["state"] == "behind"
    with pytest.raises(RpcError, match="there is no node n2"):
        await world.methods.effective({"node": "n2"})


async def test_a_heartbeat_is_told_the_hash_and_the_door_gives_what_it_stands_for() -> None:
    world = World(nodes={"n1": {"role": "web"}})
    await world.methods.set({"settings": {"log_level": "debug"}, "labels": {"role": "web"}})
    wanted = world.methods.hear("n1", {"role": "web"}, Report(EMPTY_HASH))
    document = read_document(world.methods.document_for(Request("n1")))
    assert document == Document({"log_level": "debug"}, wanted.age)
    assert document.hash == wanted.hash
    assert (await world.methods.show_drift({}))["totals"]["behind"] == 1
    world.methods.hear("n1", {"role": "web"}, Report(wanted.hash))
    assert (await world.methods.show_drift({"limit": 1}))["items"] == []


def test_an_edge_of_an_older_version_says_nothing_and_is_unmanaged() -> None:
    world = World()
    assert world.methods.hear("n1", {}, Report()).hash == EMPTY_HASH
    assert world.drift.survey(0).totals["unmanaged"] == 1


def test_a_node_that_was_never_heard_gets_no_settings() -> None:
    world = World()
    with pytest.raises(BadInput, match="n1 has sent no heartbeat yet"):
        world.methods.document_for(Request("n1"))


def test_what_cannot_be_applied_or_read_here_is_told_once() -> None:
    world = World()
    strange = World("hub-2").write("edges", "colour", "red")
    for number in range(1, 4):
        entries = [strange, "no entry"]
        section = Section("hub-2#1", "h", 1, number, number - 1, number, "", 0, entries)
        world.methods.take(section, "hub-2")
    reason = "colour is not a setting of edges that this version knows"
    names = [name for name, _ in world.told]
    assert sorted(names) == ["conf.not_applied", "conf.parked"]
    assert ("conf.not_applied", {"key": "colour", "scope": "edges", "reason": reason}) in world.told
    assert world.changes == 1
    assert world.book.take_unsaved().entries == [strange]


async def test_settings_of_a_newer_version_are_shown_and_said_to_be_not_applied() -> None:
    world = World()
    world.write("groups:blue", "colour", "red")
    answer = await world.methods.get({})
    assert answer["items"][0]["for"] is None
    assert answer["not_applied"][0]["scope"] == "groups:blue"


def test_every_method_says_what_it_is_for() -> None:
    methods = conf_methods(World().methods)
    assert sorted(methods) == [
        "config.drift",
        "config.effective",
        "config.get",
        "config.history",
        "config.set",
        "config.unset",
    ]
    assert all(handler.__doc__ for handler, _ in methods.values())


@pytest.mark.parametrize("error", [None, Unavailable("the disk is full")])
async def test_what_was_told_is_written_after_a_stop_in_the_middle_of_writing_it(
    error: Unavailable | None,
) -> None:
    """Whatever became of the first try, which nobody waited for any more."""
    world = World(disk_error=error)
    entry = World("hub-2").write("edges", "log_level", "debug")
    section = Section("hub-2#1", "h", 1, 1, 0, 1, "", 0, [entry])
    world.methods.take(section, "hub-2")
    first = asyncio.create_task(world.methods.save_told())
    await asyncio.sleep(0)  # Now it waits for the disk.
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    world.disk_error = None
    await world.methods.save_told()
    assert [unsaved.entries for unsaved in world.saved] == [[entry]]
