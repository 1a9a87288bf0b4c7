"""The law of live tails: whatever happens to hubs and connections, each row is told exactly once.

And a position is read from anybody, so nothing but BadInput may come of it.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub import tail, tail_telling
from hub.tail_position import PARTS_MAX, SKEW_MS, Position, read_position
from shared.errors import BadInput
from shared.ranges import Ranges, of_seqs
from shared.records import Signal
from tests.examples import examples
from tests.law.tail_world import NOW_MS, MadeChunk, MemoryHub, Reader, again

KEYS = [("a", "e1"), ("a", "e2"), ("b", "e1")]
HUBS = 3

chunks = st.builds(
    MadeChunk,
    key=st.sampled_from(KEYS),
    seq=st.integers(1, 9),
    rows=st.integers(0, 7),
    signal=st.sampled_from([Signal.LOGS, Signal.LOGS, Signal.METRICS]),
    received_ms=st.sampled_from([NOW_MS - 2 * SKEW_MS, NOW_MS, NOW_MS + 60_000]),
    declares_loss=st.booleans(),
)
arrivals = st.tuples(st.just("arrive"), st.integers(0, HUBS - 1), st.integers(0, 10**6))
connections = st.tuples(st.just("connect"), st.integers(0, HUBS - 1), st.integers(1, 6))
stories = st.lists(st.one_of(arrivals, connections), max_size=60)


@pytest.fixture(autouse=True)
def small_messages() -> Iterator[None]:
    """Chunks are told in several parts, and changes at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tail_telling, "ROWS_MAX", 2)
        patch.setattr(tail, "CHANGES_SECONDS", 0.0)
        patch.setattr(tail, "PAGE_CHUNKS", 4)
        yield


def is_owed(chunk: MadeChunk, base: dict[Any, Ranges], start_ms: int) -> bool:
    """Whether a chunk comes after the tail's beginning."""
    if chunk.key in base:
        return chunk.seq not in base[chunk.key]
    return chunk.received_ms >= start_ms - SKEW_MS


async def live(
    story: list[tuple[str, int, int]], made: list[MadeChunk], before: int, reader: Reader
) -> dict[Any, Ranges]:
    """Play a story to its end, at which one hub has everything; returns what the tail began with."""
    hubs = [MemoryHub() for _ in range(HUBS)]
    for chunk in made[:before]:
        hubs[0].put(chunk)
    base = dict(hubs[0].held)
    await reader.connect(hubs[0], messages_max=1)
    for what, number, many in story:
        if what == "connect":
            await reader.connect(hubs[number], many)
        elif made:
            hubs[number].put(made[many % len(made)])
    for chunk in made:
        hubs[0].put(chunk)
    assert await reader.connect(hubs[0])
    assert {hub.readers_open for hub in hubs} == {0}
    return base


@given(
    story=stories,
    made=st.lists(chunks, max_size=20, unique_by=lambda chunk: (chunk.key, chunk.seq)),
    before=st.integers(0, 5),
    text=st.sampled_from(["", "loud"]),
)
@settings(max_examples=examples(150), deadline=None)
def test_every_row_is_told_once_over_any_hubs_and_connections(
    story: list[tuple[str, int, int]], made: list[MadeChunk], before: int, text: str
) -> None:
    """However connections break, hubs differ and chunks arrive."""
    reader = Reader({"text": text} if text else {})
    base = asyncio.run(live(story, made, before, reader))
    owed = [chunk for chunk in made if is_owed(chunk, base, NOW_MS)]
    logs = [chunk for chunk in owed if chunk.signal is Signal.LOGS]
    names = [name for chunk in logs for name in chunk.names if text in name]
    assert reader.told == Counter(names)
    assert reader.losses == Counter(chunk.loss for chunk in logs if chunk.declares_loss)


@given(
    made=st.lists(chunks, max_size=20, unique_by=lambda chunk: (chunk.key, chunk.seq)),
    cut=st.integers(1, 40),
)
@settings(max_examples=examples(60), deadline=None)
def test_a_position_means_the_same_after_a_journey_through_json(
    made: list[MadeChunk], cut: int
) -> None:
    hub, reader = MemoryHub(), Reader()
    asyncio.run(reader.connect(hub))
    for chunk in made:
        hub.put(chunk)
    asyncio.run(reader.connect(hub, cut))
    held = reader.position
    copy = again(held)
    assert copy.to_wire() == held.to_wire()
    for chunk in made:
        named = (chunk.key, chunk.seq, chunk.received_ms)
        assert copy.wants(*named) == held.wants(*named)
        assert copy.place(chunk.key, chunk.seq) == held.place(chunk.key, chunk.seq)


def test_a_chunk_told_in_part_is_told_first_on_the_next_hub() -> None:
    """So that a reader is never in the middle of more chunks than hubs have failed it."""
    first, second, reader = MemoryHub(), MemoryHub(), Reader()
    asyncio.run(reader.connect(first))
    long = [MadeChunk(KEYS[0], seq, 5) for seq in (1, 2, 3)]
    first.put(long[2])
    for chunk in long:
        second.put(chunk)
    asyncio.run(reader.connect(first, 1))
    assert list(reader.position.parts) == [(KEYS[0], 3)]
    told = len(reader.events)
    asyncio.run(reader.connect(second))
    rows = [data for event, data in reader.events[told:] if event == "rows"]
    assert [data["seq"] for data in rows[:2]] == [3, 3]
    assert rows[0]["rows"][0]["index"] == 2


def test_a_hub_that_lacks_all_of_too_many_broken_chunks_says_so() -> None:
    """Rather than breaking off in the middle of yet another one."""
    reader, hub = Reader(position=Position(NOW_MS, is_whole=True)), MemoryHub()
    reader.position.parts = {(KEYS[0], seq): 1 for seq in range(1, PARTS_MAX + 1)}
    assert not asyncio.run(reader.connect(hub))
    hub.put(MadeChunk(KEYS[0], 1, 3))
    assert asyncio.run(reader.connect(hub))
    assert len(reader.position.parts) == PARTS_MAX - 1


def test_what_a_new_hub_is_refilled_with_is_not_news() -> None:
    """A tail that begins on an empty disk does not tell the whole past when it comes back."""
    hub, reader = MemoryHub(), Reader()
    asyncio.run(reader.connect(hub))
    for seq in range(1, 20):
        hub.put(MadeChunk(KEYS[0], seq, 1, received_ms=NOW_MS - 3_600_000))
    hub.put(MadeChunk(KEYS[0], 20, 1, received_ms=NOW_MS + 5))
    asyncio.run(reader.connect(hub))
    assert list(reader.told) == ["loud a/e1/20/0"]


spans = st.lists(st.tuples(st.integers(-2, 50), st.integers(-2, 50)), max_size=5)
names = st.one_of(st.text(max_size=5), st.integers(), st.none())
logs = st.lists(st.tuples(names, names, spans), max_size=5)
forms = st.fixed_dictionaries(
    {},
    optional={
        "version": st.sampled_from([0, 1, 2, "1"]),
        "start_ms": st.integers(-5, 2**60),
        "base": logs,
        "later": logs,
        "parts": st.lists(st.tuples(names, names, st.integers(), st.integers()), max_size=20),
        "more": st.none(),
    },
)
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9)),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(max_size=9), inner)),
    max_leaves=20,
)


@given(value=st.one_of(forms, anything))
@settings(max_examples=examples(300), deadline=None)
def test_a_position_from_anybody_is_read_or_refused(value: Any) -> None:
    try:
        position = read_position(value)
    except BadInput:
        return
    assert again(position).to_wire() == position.to_wire()


@given(event=st.sampled_from(["rows", "gap", "position", "lag", "else"]), data=anything)
@settings(max_examples=examples(200), deadline=None)
def test_a_message_from_anybody_is_folded_or_refused(event: str, data: Any) -> None:
    position = Position()
    try:
        position.fold(event, data)
    except BadInput:
        return
    orjson.dumps(position.to_wire())


def test_a_position_that_is_too_large_is_refused() -> None:
    log = ["a", "e", [[1, 2]]]
    for changes in (
        {"base": [log] * 20_001},
        {"base": [log] * 15_000, "later": [log] * 15_000},
        {"base": [["a", "e", [[n, n] for n in range(1, 200_001, 2)]], log]},
        {"parts": [["a", "e", 1, 1]] * (PARTS_MAX + 1)},
        {"base": [["x" * 256, "e", []]]},
        {"base": [["a", "e", [[5, 4]]]]},
    ):
        with pytest.raises(BadInput):
            read_position({"version": 1, "start_ms": 0, "base": [], **changes})


@given(
    mine=st.sets(st.integers(1, 40)),
    more=st.sets(st.integers(1, 40)),
    in_base=st.booleans(),
)
def test_what_is_seen_is_no_longer_missing(mine: set[int], more: set[int], in_base: bool) -> None:
    """Seeing is a union, whatever the order."""
    key = KEYS[0]
    position = Position(base={key: of_seqs(mine)} if in_base else {}, is_whole=True)
    if not in_base:
        position.see(key, of_seqs(mine))
    position.see(key, of_seqs(more))
    assert position.seen(key) == of_seqs(mine | more)
    left = position.missing({key: of_seqs(range(1, 41))}).get(key, Ranges())
    assert left == of_seqs(set(range(1, 41)) - mine - more)
