"""A hub writes what it says of itself: bounded, in order, never in anybody's way."""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from hub.own_handler import OwnHandler
from hub.own_log import OwnLog
from hub.own_outbox import Outbox
from hub.own_voice import OwnVoice
from shared.errors import Unavailable
from shared.otlp_make import Event
from shared.records import Signal
from tests.unit.hub.own_world import HUB, LIFE, MemoryStore
from tests.unit.receive.sinks import runtime

SECRET = "the-cluster-key"


class Hub:
    """A voice over a store, and what it counts."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore()
        self.counters: Counter[str] = Counter()
        world = runtime(threads=False)
        self.own = OwnLog(HUB, LIFE, self.store, world, self.counters)
        self.voice = OwnVoice(self.own, world, {"service.name": "hub"}, self.counters, [SECRET])


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """A logger of one of our packages, which hands nothing to anybody else."""
    logger = logging.getLogger("hub.test_own_voice")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield logger
    logger.handlers.clear()
    logger.propagate = True


def logger_named(name: str) -> logging.Logger:
    """A logger that no other test shares, and without handlers above it."""
    return logging.Logger(name, logging.DEBUG)  # noqa: LOG001  # On purpose outside of the tree.


def event(name: str) -> Event:
    return Event(1, name, "info", name, {})


def drained(outbox: Outbox) -> list[str]:
    return [held.text for held in outbox.take(len(outbox))]


# ---- the queue


def test_a_full_outbox_lets_the_oldest_go_and_counts_it() -> None:
    outbox = Outbox(3)
    for n in range(5):
        outbox.put(event(f"{n}"))
    assert outbox.dropped == 2
    assert drained(outbox) == ["2", "3", "4"]


def test_what_is_given_back_is_in_front_and_within_the_bound() -> None:
    outbox = Outbox(3)
    for n in range(3):
        outbox.put(event(f"{n}"))
    taken = outbox.take(2)
    outbox.put(event("3"))
    outbox.give_back(taken)
    assert outbox.dropped == 1
    assert drained(outbox) == ["1", "2", "3"]


def test_threads_that_put_at_once_lose_and_repeat_nothing() -> None:
    outbox = Outbox(10_000)

    def put(letter: str) -> None:
        for n in range(500):
            outbox.put(event(f"{letter}{n}"))

    threads = [threading.Thread(target=put, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(drained(outbox)) == sorted(f"{x}{n}" for x in "abcd" for n in range(500))
    assert outbox.dropped == 0


# ---- log lines


async def test_log_lines_of_a_hub_become_logs_of_the_hub(logger: logging.Logger) -> None:
    hub = Hub()
    logger.addHandler(hub.voice.handler)
    logger.info("one of %d", 2, extra={"peer": "hub-2"})
    try:
        raise ValueError("broken")
    except ValueError:
        logger.exception("two")
    assert await hub.voice.flush()
    one, two = hub.store.rows()
    assert (one.body, one.severity_text) == ("one of 2", "INFO")
    assert one.attributes["peer"] == "hub-2"
    assert one.attributes["logger.name"] == logger.name
    assert one.resource["service.name"] == "hub"
    assert (two.body, two.severity_text) == ("two", "ERROR")
    assert "ValueError: broken" in str(two.attributes["exception.stacktrace"])
    assert {chunk.header.signal for chunk in hub.store.log()} == {Signal.LOGS}


@pytest.mark.parametrize(
    ("name", "level", "wanted"),
    [
        ("hub.mesh", logging.INFO, True),
        ("shared.tasks", logging.INFO, True),
        ("hub.mesh", logging.DEBUG, False),
        ("uvicorn.error", logging.INFO, False),
        ("uvicorn.error", logging.WARNING, True),
        ("hubert", logging.INFO, False),
        # Of the writing itself nothing is written: there would be no end of it.
        ("hub.own_log", logging.ERROR, False),
        ("hub.own_voice", logging.CRITICAL, False),
    ],
)
def test_warnings_of_all_and_words_of_ours_are_taken(name: str, level: int, wanted: bool) -> None:
    outbox = Outbox()
    logger = logger_named(name)
    logger.addHandler(OwnHandler(outbox))
    logger.log(level, "hello")
    assert len(outbox) == wanted


def test_secrets_do_not_come_to_the_fleet() -> None:
    outbox = Outbox()
    logger = logger_named("hub.x")
    logger.addHandler(OwnHandler(outbox, [SECRET]))
    logger.warning("key %s, Bearer abc", SECRET, extra={"admin_token": "t", "url": f"?k={SECRET}"})
    (line,) = outbox.take(1)
    assert line.text == "key ***, Bearer ***"
    assert line.attributes == {"logger.name": "hub.x", "admin_token": "***", "url": "?k=***"}


def test_an_argument_that_raises_stops_nobody() -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    outbox = Outbox()
    handler = OwnHandler(outbox)
    logger = logger_named("hub.x")
    logger.addHandler(handler)
    logger.warning("%s", Broken())
    logger.warning("%d", "no number")
    logger.warning("good")
    assert handler.failed == 2
    assert drained(outbox) == ["good"]


def test_an_argument_that_logs_does_not_recurse() -> None:
    outbox = Outbox()
    logger = logger_named("hub.x")
    logger.addHandler(OwnHandler(outbox))

    class Chatty:
        def __str__(self) -> str:
            logger.warning("%s", self)
            return "text"

    logger.warning("%s", Chatty())
    assert drained(outbox) == ["text"]


async def test_a_store_that_refuses_brings_forth_no_new_lines(logger: logging.Logger) -> None:
    """What is said about the failed write is not put behind the lines that wait for it."""
    hub = Hub(MemoryStore(refusals=10**9))
    root = logging.getLogger()
    root.addHandler(hub.voice.handler)
    try:
        logger.addHandler(hub.voice.handler)
        logger.warning("once")
        for _ in range(5):
            assert not await hub.voice.flush()
    finally:
        root.removeHandler(hub.voice.handler)
    hub.store.refusals = 0
    assert await hub.voice.flush()
    assert hub.store.texts() == ["once"]
    assert hub.counters["own_flushes_refused"] == 5


# ---- events


async def test_events_of_a_hub_are_events_with_their_name_and_facts() -> None:
    hub = Hub()
    await hub.voice.tell(event("hub.started"))
    hub.voice.report("retention.dropped", {"day": "2026-11-20", "chunks": 3})
    assert await hub.voice.flush()
    first, second = hub.store.rows()
    assert (first.event_name, second.event_name) == ("hub.started", "retention.dropped")
    assert second.attributes == {"day": "2026-11-20", "chunks": 3}
    assert {chunk.header.signal for chunk in hub.store.log()} == {Signal.EVENTS}


async def test_lines_and_events_of_a_moment_are_one_commit(logger: logging.Logger) -> None:
    hub = Hub()
    logger.addHandler(hub.voice.handler)
    logger.info("line")
    hub.voice.report("hub.started", {})
    assert await hub.voice.flush()
    assert hub.store.commits == [2]


async def test_nothing_to_say_is_no_commit() -> None:
    hub = Hub()
    assert await hub.voice.flush()
    assert hub.store.commits == []


async def test_what_is_refused_waits_and_comes_in_order() -> None:
    hub = Hub(MemoryStore(refusals=2))
    for n in range(1200):  # More than one flush takes at once, and than may wait.
        hub.voice.note(event(f"{n}"))
    assert not await hub.voice.flush()
    assert not await hub.voice.flush()
    hub.voice.note(event("last"))
    assert await hub.voice.flush()
    *told, last, dropped = [row.event_name for row in hub.store.rows()]
    assert (last, dropped) == ("last", "own.dropped")
    assert told == [str(n) for n in range(1200)][-len(told) :]
    lost = hub.counters["own_events_dropped"]
    assert lost + len(told) == 1200
    assert hub.store.rows()[-1].attributes == {"signal": "events", "records": lost}


async def test_telling_raises_nothing_while_the_store_refuses() -> None:
    hub = Hub(MemoryStore(refusals=10**9))
    loop = asyncio.create_task(hub.voice.run())
    for n in range(5_000):
        await hub.voice.tell(event(f"{n}"))
    await asyncio.sleep(0)
    assert not loop.done()
    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loop


async def test_two_flushes_at_once_write_each_word_once() -> None:
    hub = Hub()
    for n in range(700):
        hub.voice.note(event(f"{n}"))
    assert all(await asyncio.gather(*(hub.voice.flush() for _ in range(4))))
    assert [row.event_name for row in hub.store.rows()] == [str(n) for n in range(700)]


async def test_a_closed_hub_can_still_be_told_and_says_it_later() -> None:
    closed = True

    def check() -> None:
        if closed:
            raise Unavailable("no room on the disk")

    store, counters, world = MemoryStore(), Counter[str](), runtime(threads=False)
    voice = OwnVoice(OwnLog(HUB, LIFE, store, world, counters, check), world, {}, counters)
    voice.report("disk.guard.closed", {"free_bytes": 1})
    assert not await voice.flush()
    closed = False
    voice.report("disk.guard.opened", {})
    assert await voice.flush()
    assert [row.event_name for row in store.rows()] == ["disk.guard.closed", "disk.guard.opened"]


async def test_a_loop_that_is_ended_in_a_flush_neither_loses_nor_repeats() -> None:
    hub = Hub(MemoryStore(gate=asyncio.Event()))
    hub.voice.report("one", {})
    loop = asyncio.create_task(hub.voice.run())
    while not hub.own.is_writing:
        await asyncio.sleep(0)
    loop.cancel()
    await asyncio.sleep(0)
    hub.voice.report("hub.stopped", {})
    last = asyncio.create_task(hub.voice.flush())
    assert hub.store.gate is not None
    hub.store.gate.set()
    assert await last
    await asyncio.gather(loop, return_exceptions=True)
    assert [row.event_name for row in hub.store.rows()] == ["one", "hub.stopped"]
