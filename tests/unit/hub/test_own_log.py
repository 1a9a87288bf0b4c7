"""A hub writes its own log: in one chain, once each, whatever the store, the senders and restarts do."""

import asyncio
import contextlib
from collections import Counter

import pytest

from hub.own_log import OwnLimits, OwnLog
from hub.verify import StoredChunk, Verifier
from shared.errors import Unavailable
from shared.receive.gather import GatherLimits
from shared.receive.sink import Overloaded
from shared.records import Chunk, Encoding, Part, Signal
from tests.unit.hub.own_world import HUB, LIFE, MemoryStore, own_log, part, running
from tests.unit.receive.sinks import runtime


def assert_is_a_chain(chunks: list[Chunk], epoch: str = LIFE) -> None:
    """Numbers from 1 without a hole, and hashes that lead from each to the next."""
    verifier = Verifier((HUB, epoch))
    for chunk in chunks:
        verifier.feed(chunk.header.seq, StoredChunk(chunk, chunk.hash))
    assert verifier.faults == []
    assert [chunk.header.seq for chunk in chunks] == list(range(1, len(chunks) + 1))


async def test_what_is_appended_is_kept_under_the_name_of_the_hub() -> None:
    store = MemoryStore()
    async with running(own_log(store)) as log:
        await log.append(part("a"))
        assert store.texts() == ["a 0"]  # By the time that append returns.
        await log.append(part("b"))
    assert store.texts() == ["a 0", "b 0"]
    assert store.senders == {HUB}
    assert_is_a_chain(store.log())


async def test_many_at_once_are_kept_once_each_in_few_commits() -> None:
    store = MemoryStore()
    async with running(own_log(store)) as log:
        await asyncio.gather(*(log.append(part(f"t{n}")) for n in range(300)))
    assert sorted(store.texts()) == sorted(f"t{n} 0" for n in range(300))
    assert len(store.commits) <= 4
    assert_is_a_chain(store.log())


async def test_small_parts_of_one_kind_become_one_chunk() -> None:
    store = MemoryStore()
    async with running(own_log(store)) as log:
        await asyncio.gather(
            *(log.append(part("p")) for _ in range(9)),
            *(log.append(part("j", Encoding.JSON)) for _ in range(9)),
        )
    assert sorted((c.header.encoding, c.header.records) for c in store.log()) == [
        ("json", 9),
        ("proto", 9),
    ]


async def test_appending_and_writing_at_once_share_one_chain() -> None:
    """The lines of the hub itself do not go through the queue of the senders."""
    store = MemoryStore()
    async with running(own_log(store)) as log:
        both = [log.append(part(f"a{n}")) for n in range(40)]
        await asyncio.gather(*both, *(log.write([part(f"w{n}")]) for n in range(40)))
    assert sorted(store.texts()) == sorted(f"{x}{n} 0" for n in range(40) for x in "aw")
    assert_is_a_chain(store.log())


async def test_writing_needs_no_loop() -> None:
    """The last words of a hub are said when its loops have ended."""
    store = MemoryStore()
    log = own_log(store)
    await log.write([part("a"), part("b")])
    await log.write([])
    assert store.texts() == ["a 0", "b 0"]


async def test_a_restart_takes_up_the_chain() -> None:
    store = MemoryStore()
    for text in ("a", "b", "c"):
        async with running(own_log(store)) as log:
            await log.append(part(text))
    assert store.texts() == ["a 0", "b 0", "c 0"]
    assert list(store.chunks) == [(HUB, LIFE)]
    assert_is_a_chain(store.log())


async def test_another_life_of_the_store_begins_another_epoch() -> None:
    """An emptied or restored store may have lost numbers that peers still have."""
    store = MemoryStore()
    await own_log(store).write([part("a")])
    other = OwnLog(HUB, "other", store, runtime(threads=False), Counter())
    await other.write([part("b")])
    (chunk,) = store.log("other")
    assert (chunk.header.seq, chunk.header.predecessor) == (1, None)
    assert_is_a_chain(store.log("other"), "other")


async def test_a_log_whose_end_was_dropped_goes_on_under_the_next_name() -> None:
    """Retention may have taken the last chunk while the hub was down."""
    store = MemoryStore()
    await own_log(store).write([part("a")])
    await own_log(store).write([part("b")])
    store.forgotten.add(((HUB, LIFE), 2))
    for text in ("c", "d"):
        await own_log(store).write([part(text)])
    first, second = store.log("life.2")
    assert first.header.predecessor == (LIFE, 2)
    assert second.header.predecessor is None
    assert_is_a_chain([first, second], "life.2")
    assert store.texts() == ["a 0", "b 0", "c 0", "d 0"]


async def test_a_refused_commit_uses_up_no_number() -> None:
    store = MemoryStore()
    async with running(own_log(store)) as log:
        await log.append(part("a"))
        store.refusals = 1
        with pytest.raises(Unavailable, match="no room") as caught:
            await log.append(part("b"))
        assert not isinstance(caught.value, Overloaded)
        assert caught.value.retry_after_seconds > 0
        await log.append(part("c"))
    assert store.texts() == ["a 0", "c 0"]
    assert_is_a_chain(store.log())


async def test_no_number_is_used_twice_after_a_commit_of_unknown_outcome() -> None:
    """When it was kept all the same, the next chunk follows it."""
    store = MemoryStore()
    async with running(own_log(store)) as log:
        await log.append(part("a"))
        store.lies = 1
        with pytest.raises(Unavailable):
            await log.append(part("b"))
        await log.append(part("c"))
    assert store.texts() == ["a 0", "b 0", "c 0"]
    assert_is_a_chain(store.log())


async def test_a_contradicted_log_goes_on_under_the_next_name_and_loses_nothing() -> None:
    """After a power cut without syncs, peers may have chunks of ours that we have not."""
    store = MemoryStore()
    log = own_log(store)
    await log.write([part("a")])
    stranger = MemoryStore({(HUB, LIFE): {1: store.log()[0]}})
    await own_log(stranger).write([part("from a peer")])
    store.chunks[HUB, LIFE][2] = stranger.log()[1]
    await log.write([part("b")])
    await log.write([part("c")])
    assert store.texts() == ["a 0", "from a peer 0", "b 0", "c 0"]
    assert store.log("life.2")[0].header.predecessor == (LIFE, 2)
    assert_is_a_chain(store.log())
    assert_is_a_chain(store.log("life.2"), "life.2")


async def test_a_store_that_refuses_its_own_hub_for_good_is_no_endless_loop() -> None:
    store = MemoryStore()
    bad = Part(Signal.LOGS, Encoding.PROTO, b"x", 1, -5, -5)
    with pytest.raises(Unavailable, match="refuses the chunks of its own hub"):
        await own_log(store).write([bad])
    assert store.texts() == []
    await own_log(store).write([part("good")])
    assert store.texts() == ["good 0"]


async def test_more_than_may_wait_is_refused_at_once_and_told_to_slow_down() -> None:
    store = MemoryStore(gate=asyncio.Event())
    size = len(part("x" * 1000).body)
    limits = OwnLimits(3 * size + 10, GatherLimits(linger_seconds=0.0))
    async with running(own_log(store, limits)) as log:
        waiting = [asyncio.create_task(log.append(part("x" * 1000))) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as caught:
            await log.append(part("x" * 1000))
        assert caught.value.retry_after_seconds > 0
        assert store.gate is not None
        store.gate.set()
        await asyncio.gather(*waiting)
        await log.append(part("again"))
    assert len(store.texts()) == 4


async def test_a_hub_that_takes_nothing_in_keeps_nothing_of_its_own_either() -> None:
    """Its own words must not fill the disk that it guards."""
    store = MemoryStore()

    def closed() -> None:
        raise Unavailable("the disk is nearly full", 10.0)

    log = OwnLog(HUB, LIFE, store, runtime(threads=False), Counter(), closed)
    for work in (log.append(part()), log.write([part()])):
        with pytest.raises(Unavailable, match="nearly full"):
            await work
    assert store.commits == []


async def test_a_sender_that_leaves_disturbs_nobody() -> None:
    store = MemoryStore(gate=asyncio.Event())
    async with running(own_log(store)) as log:
        leaving = asyncio.create_task(log.append(part("a")))
        staying = asyncio.create_task(log.append(part("b")))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert store.gate is not None
        store.gate.set()
        await staying
    assert "b 0" in store.texts()
    assert_is_a_chain(store.log())


async def test_at_the_end_a_commit_is_finished_and_what_waits_is_refused() -> None:
    store = MemoryStore(gate=asyncio.Event())
    log = own_log(store, OwnLimits(gather=GatherLimits(linger_seconds=0.0)))
    loop = asyncio.create_task(log.run())
    under_way = asyncio.create_task(log.append(part("a")))
    while not log.is_writing:
        await asyncio.sleep(0)
    waiting = asyncio.create_task(log.append(part("b")))
    await asyncio.sleep(0)
    loop.cancel()
    await asyncio.sleep(0)
    assert store.gate is not None
    store.gate.set()
    await under_way
    with pytest.raises(Unavailable, match="stopping"):
        await waiting
    with contextlib.suppress(asyncio.CancelledError):
        await loop
    assert store.texts() == ["a 0"]
    await log.write([part("last words")])
    assert store.texts() == ["a 0", "last words 0"]
    assert_is_a_chain(store.log())
    with pytest.raises(Unavailable, match="stopping"):
        await log.append(part("too late"))


async def test_a_writer_that_is_cancelled_leaves_a_whole_commit() -> None:
    """The loops of a hub are cancelled before it says its last words."""
    store = MemoryStore(gate=asyncio.Event())
    log = own_log(store)
    writing = asyncio.create_task(log.write([part("a")]))
    while not log.is_writing:
        await asyncio.sleep(0)
    writing.cancel()
    await asyncio.sleep(0)
    last = asyncio.create_task(log.write([part("b")]))
    await asyncio.sleep(0)
    assert store.gate is not None
    store.gate.set()
    await last
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert store.texts() == ["a 0", "b 0"]
    assert_is_a_chain(store.log())
