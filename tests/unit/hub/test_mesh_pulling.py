"""Pulling from peers: all that they have comes, in order, once, and what liars say harms nobody."""

import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from shared.envelope import write_batch
from shared.errors import HeadwaterError, TooLarge, Unavailable, Unreachable
from shared.ranges import of_seqs
from shared.records import Chunk, read_header
from tests.law.drawing import chunk_of
from tests.unit.hub.peer_stage import KEY, NOW_MS, FarHub, in_virtual_time, stage

Lie = Callable[[Any], Any]


def test_all_that_a_peer_has_comes_once_and_is_confirmed_after_the_commit() -> None:
    async def story() -> None:
        world = stage()
        world.far.hold(*range(1, 11))
        await world.live(1)
        assert world.shelf.held == {KEY: of_seqs(range(1, 11))}
        assert len(world.shelf.kept) == 10
        confirmed = [each["since"] for each in world.far.questions if each["path"] == "/peer/have"]
        assert confirmed == [0, 10]
        assert world.standing().error == world.peer().error == ""
        assert world.standing().lag.chunks == 0

    in_virtual_time(story())


def test_nothing_is_confirmed_that_could_not_be_committed() -> None:
    async def story() -> None:
        world = stage()
        world.far.hold(1, 2, 3, 4)
        world.shelf.error = Unavailable("the disk is full")
        await world.live(60)
        confirmed = {each["since"] for each in world.far.questions if each["path"] == "/peer/have"}
        assert confirmed == {0}
        assert world.peer().error == "", "it is not the peer's fault"
        world.shelf.error = None
        await world.live(10)
        assert world.shelf.held == {KEY: of_seqs([1, 2, 3, 4])}

    in_virtual_time(story())


def test_what_is_here_or_was_dropped_is_not_asked_for() -> None:
    async def story() -> None:
        world = stage()
        world.far.hold(*range(1, 8))
        world.shelf.held, world.shelf.dropped = {KEY: of_seqs([5])}, {KEY: of_seqs([1, 2])}
        await world.live(1)
        wanted = [each["wanted"] for each in world.far.questions if each["path"] == "/peer/chunks"]
        assert wanted[0] == [[*KEY, [[3, 4], [6, 7]]]]
        assert [chunk.header.seq for chunk in world.shelf.kept] == [3, 4, 6, 7]

    in_virtual_time(story())


def test_the_next_page_is_on_its_way_while_one_is_committed() -> None:
    async def story() -> None:
        world = stage()
        world.far.hold(*range(1, 7))
        world.shelf.commit_seconds = 1.0
        await world.live(0.9)
        assert world.shelf.kept == []
        assert world.far.asked["/peer/chunks"] == 2

    in_virtual_time(story())


def test_the_time_at_which_the_cluster_took_chunks_in_is_passed_on() -> None:
    async def story() -> None:
        world = stage()
        world.far.hold(1, 2)
        await world.live(1)
        assert world.shelf.received_ms == [NOW_MS - 40] * 2
        assert world.standing().lag.delay_ms == 40

    in_virtual_time(story())


def test_where_we_stand_is_written_once_in_a_while_and_when_nothing_is_left() -> None:
    async def story() -> None:
        world = stage()
        for seq in range(1, 31):
            world.far.hold(seq)
            await world.live(0.3)
        assert len(world.saved) < 10
        await world.live(11)
        assert world.saved[-1].pulled_arrival == 30

    in_virtual_time(story())


def test_a_header_with_fields_of_a_later_version_travels_as_it_is() -> None:
    """The chunk's hash covers the header's bytes, so hubs that know fewer fields must not touch them."""

    async def story() -> None:
        known = chunk_of(1)
        fields = [*msgspec.msgpack.decode(known.header_bytes), ["a field of version 9"], {"b": 1}]
        later = msgspec.msgpack.encode(fields)
        world = stage()
        world.far.arrivals.append(Chunk(read_header(later), later, known.body))
        await world.live(1)
        assert [chunk.header_bytes for chunk in world.shelf.kept] == [later]
        assert world.shelf.kept[0].body == known.body

    in_virtual_time(story())


def test_a_peer_that_lost_its_store_is_pulled_from_its_beginning() -> None:
    async def story() -> None:
        world = stage()
        world.far.hold(1, 2, 3)
        await world.live(1)
        world.far.arrivals, world.far.store_epoch = [], "life 2"
        world.far.hold(7)
        await world.live(1)
        assert world.shelf.held == {KEY: of_seqs([1, 2, 3, 7])}
        assert (world.peer().pulled_arrival, world.standing().error) == (1, "")

    in_virtual_time(story())


def test_what_a_peer_has_no_more_is_counted_and_not_asked_for_again() -> None:
    async def story() -> None:
        world = stage()
        world.far.hold(1, 2, 3, 4)
        world.far.gone = of_seqs([2, 4])
        await world.live(60)
        assert world.shelf.held == {KEY: of_seqs([1, 3])}
        assert world.peer().chunks_gone == 2
        assert world.far.asked["/peer/chunks"] == 2

    in_virtual_time(story())


# ---- liars


def changed(**fields: Any) -> Lie:
    """The sound answer with some fields changed."""
    return lambda sound: {**sound, **fields}


def raising(error: HeadwaterError) -> Lie:
    def lie(sound: Any) -> Any:
        raise error

    return lie


def spoilt_body(sound: bytes) -> bytes:
    return sound[:-1] + bytes([sound[-1] ^ 1])


def other_bytes(sound: bytes) -> bytes:
    return write_batch([chunk_of(1, b"other bytes under the same key")])


LIES: dict[str, tuple[str, Lie, str, str]] = {
    "no JSON": ("/peer/have", lambda _: b"\xff", "unreadable", "not JSON"),
    "a list": ("/peer/have", lambda _: [1], "unreadable", "not a JSON object"),
    "no store": ("/peer/have", changed(store_epoch=None), "unreadable", "store_epoch"),
    "no logs": ("/peer/have", changed(have=7), "unreadable", "lists no logs"),
    "half a log": ("/peer/have", changed(have=[["edge-1"]]), "unreadable", "each log is"),
    "a log twice": (
        "/peer/have",
        changed(have=[[*KEY, [[1, 1]]], [*KEY, [[2, 2]]]]),
        "unreadable",
        "twice",
    ),
    "a long name": ("/peer/have", changed(have=[["a" * 65, "e", [[1, 1]]]]), "unreadable", "64"),
    "a word as a number": ("/peer/have", changed(through="all"), "unreadable", "through"),
    "true as a number": ("/peer/have", changed(head=True), "unreadable", "head"),
    "a number beyond 64 bits": ("/peer/have", changed(head=2**63), "unreadable", "head"),
    "hashes of letters": (
        "/peer/have",
        changed(proofs=[[*KEY, [[1, "x" * 64]]]]),
        "unreadable",
        "hexadecimal",
    ),
    "hashes of nothing": ("/peer/have", changed(proofs=[[*KEY, [7]]]), "unreadable", "a pair"),
    "ranges backwards": ("/peer/have", changed(have=[[*KEY, [[3, 1]]]]), "bad_ranges", "first"),
    "ranges of everything": (
        "/peer/have",
        changed(have=[[*KEY, [[1, 2**63]]]]),
        "bad_ranges",
        "first",
    ),
    "an absurd count": ("/peer/have", changed(have=[[*KEY, [[1, 2**40]]]]), "too_many", "at once"),
    "arrivals beyond its head": ("/peer/have", changed(through=9), "beyond_head", "last one is 4"),
    "more chunks than arrivals": (
        "/peer/have",
        changed(have=[[*KEY, [[1, 5]]]]),
        "no_progress",
        "lists 5 chunks",
    ),
    "a page without progress": ("/peer/have", changed(through=0), "no_progress", "lists 4 chunks"),
    "news that it never lists": (
        "/peer/have",
        changed(through=0, have=[], proofs=[]),
        "no_progress",
        "never lists",
    ),
    "another version": ("/peer/have", changed(version=2), "version", "version 2 .*version 1"),
    "a version of words": ("/peer/have", changed(version="new"), "version", "version new"),
    "no batch": ("/peer/chunks", lambda _: b"<html>", "unreadable", "shorter|not a Headwater"),
    "half a batch": ("/peer/chunks", lambda sound: sound[:-3], "unreadable", "ends inside"),
    "a batch of another version": (
        "/peer/chunks",
        lambda sound: sound[:8] + sound[8:].replace(b"\x01", b"\x09", 1),
        "unreadable",
        "version 9",
    ),
    "a damaged body": ("/peer/chunks", spoilt_body, "wrong_body", "damaged bytes"),
    "another hash": ("/peer/chunks", other_bytes, "wrong_hash", "not the hash"),
    "chunks that nobody asked for": (
        "/peer/chunks",
        lambda _: write_batch([chunk_of(77)]),
        "not_asked",
        "chunk 77 .* nobody asked for",
    ),
    "chunks of a strange log": (
        "/peer/chunks",
        lambda _: write_batch([chunk_of(1, origin="edge-9")]),
        "not_asked",
        "edge-9",
    ),
    "a chunk twice": (
        "/peer/chunks",
        lambda _: write_batch([chunk_of(1, b"body 1")] * 2),
        "twice",
        "twice",
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_a_liar_is_found_out_counted_and_left_alone_while_others_go_on(name: str) -> None:
    path, lie, reason, words = LIES[name]

    async def story() -> None:
        liar, sound = FarHub(lies={path: lie}), FarHub()
        world = stage(hub_2=liar, hub_3=sound)
        liar.hold(1, 2, 3, 4)
        sound.hold(21, 22)
        await world.live(120)
        assert set(world.standing("hub-2").faults) == {reason}
        assert re.search(words, world.peer("hub-2").error), world.peer("hub-2").error
        assert liar.asked.total() < 60, "a liar is not asked in circles"
        assert world.shelf.held == {KEY: of_seqs([21, 22])}
        assert world.standing("hub-3").error == world.peer("hub-3").error == ""
        liar.lies.clear()
        await world.live(120)
        assert world.shelf.held == {KEY: of_seqs([1, 2, 3, 4, 21, 22])}
        assert world.standing("hub-2").error == world.peer("hub-2").error == ""

    in_virtual_time(story())


def test_going_back_is_a_fault_unless_the_store_is_another_one() -> None:
    async def story() -> None:
        world = stage()
        world.far.hold(1, 2, 3)
        await world.live(1)
        world.far.lies["/peer/have"] = changed(through=1, have=[], proofs=[])
        await world.live(30)
        assert set(world.standing().faults) == {"backwards"}
        assert world.peer().pulled_arrival == 3

    in_virtual_time(story())


@pytest.mark.parametrize(
    "error",
    [
        Unreachable("hub-2", "HTTP 400 it speaks version 1, this hub speaks version 2", sent=True),
        TooLarge("the answer", 4_000_000),
    ],
)
def test_an_answer_that_does_not_come_is_told_and_waited_for(error: HeadwaterError) -> None:
    async def story() -> None:
        world = stage()
        world.far.hold(1)
        world.far.lies["/peer/have"] = raising(error)
        await world.live(60)
        assert str(error) == world.peer().error
        assert world.far.asked["/peer/have"] < 100
        assert not world.standing().faults

    in_virtual_time(story())


def test_a_peer_that_answers_at_once_without_news_is_asked_at_leisure() -> None:
    async def story() -> None:
        world = stage()
        world.far.hold(1)
        await world.live(1)
        world.far.asked.clear()
        sound = {"store_epoch": "life 1", "through": 1, "head": 1, "have": [], "proofs": []}

        async def hasty(question: dict[str, Any]) -> Any:
            return sound

        world.far.have = hasty  # type: ignore[method-assign]
        await world.live(60)
        assert world.far.asked["/peer/have"] <= 121
        assert world.standing().error == ""

    in_virtual_time(story())


def test_numbers_that_retention_took_are_passed_over() -> None:
    async def story() -> None:
        world = stage()
        world.far.hold(1, 2, 3)
        world.far.hidden = {1, 2, 3}
        await world.live(1)
        assert world.peer().pulled_arrival == 3
        assert world.standing().lag.chunks == 0
        assert world.far.asked["/peer/chunks"] == 0

    in_virtual_time(story())


def test_pages_grow_on_a_quick_way_and_shrink_on_a_slow_one() -> None:
    async def story() -> None:
        world = stage()
        world.far.hold(1, 2, 3, 4)
        await world.live(1)
        asked = [each["bytes_max"] for each in world.far.questions if "bytes_max" in each]
        assert asked[0] < asked[1]
        standing = world.standing()
        for _ in range(20):
            standing.note_pace(30.0)
        assert 0 < standing.page_bytes < asked[0]

    in_virtual_time(story())
