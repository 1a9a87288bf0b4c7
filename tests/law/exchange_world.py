"""Hubs that tell each other of nodes over a network as unkind as a test wants, on virtual time."""

import heapq
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from itertools import combinations, count, permutations
from random import Random

from sqlite_utils.db import Database

from hub.peering import exchange_sweep, exchange_wire
from hub.peering.exchange import Exchange
from hub.peering.exchange_saved import begin, take_dirty
from hub.peering.exchange_values import RecordRules
from hub.peering.exchange_wire import Answer, Ask, Listing, Message, Pulse, Push, Swap, Table
from hub.peering.vector import Stream, common
from hub.store import gossip_table
from shared.errors import BadInput
from shared.merge import NodeRecord, from_bytes, merge, to_bytes
from shared.ranges import NOTHING, Ranges

CLUSTER = "c1"
TICK_SECONDS = 0.1
RULES: RecordRules[NodeRecord] = RecordRules(
    lambda record: record.node_id, merge, to_bytes, from_bytes
)


class Mistake(Enum):
    """What a careless author could have done."""

    COVER_AT_ONCE = "the first page of many already claims all"
    COVER_TO_PAGE_END = "each page claims the numbers up to its end, superseded ones as well"
    REUSE_NUMBERS = "after a crash the numbers go on where the disk stood"
    SKIP_NUMBERS = "after a crash the same stream goes on beyond all numbers that were given"
    NO_RELAY = "a hub tells only of what it originated"


ONE_STREAM = (Mistake.REUSE_NUMBERS, Mistake.SKIP_NUMBERS)


def open_store() -> sqlite3.Connection:
    """The tables of a hub that matter here, in memory."""
    store = sqlite3.connect(":memory:", isolation_level=None)
    store.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL)")
    store.execute("CREATE TABLE node (node_id TEXT PRIMARY KEY, record BLOB NOT NULL)")
    gossip_table.gossip_tables(Database(store))
    return store


@dataclass
class Hub:
    """A hub as far as this talk goes. Its disk outlives it."""

    name: str
    mistake: Mistake | None = None
    store: sqlite3.Connection = field(default_factory=open_store)
    store_epoch: str = "s0"
    is_up: bool = True
    lives: int = 0
    exchange: Exchange[NodeRecord] = field(init=False)
    copy: bytes = b""

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin a new life with what is on disk."""
        epoch = gossip_table.begin_life(self.store, self.store_epoch, f"r{self.lives}")
        if self.mistake in ONE_STREAM:
            epoch = "the-only-one"
        saved = gossip_table.load(self.store)
        replica, unreadable = begin((self.name, epoch), RULES, saved)
        assert not unreadable
        if self.mistake in ONE_STREAM:
            held = saved.vector.get((self.name, epoch))
            skipped = 1000 if self.mistake is Mistake.SKIP_NUMBERS and self.lives else 0
            replica.seq = replica.said_through = (held.last if held else 0) + skipped
        self.exchange = Exchange(replica, CLUSTER)
        self.is_up, self.lives = True, self.lives + 1

    def save(self) -> None:
        """Bring everything to disk, in one transaction."""
        self.store.execute("BEGIN")
        gossip_table.save(self.store, take_dirty(self.exchange.replica))
        self.store.execute("COMMIT")

    def restore(self) -> None:
        """Die, and come back with an old copy of the store, under a new store epoch."""
        self.store.close()
        self.store = sqlite3.connect(":memory:", isolation_level=None)
        self.store.deserialize(self.copy)
        self.store_epoch = f"s{self.lives}"
        self.start()

    def known(self) -> dict[str, bytes]:
        """All records as bytes."""
        return {node: to_bytes(held) for node, held in self.exchange.replica.records.items()}


@dataclass
class Weather:
    """What the network does to a message."""

    loss: float = 0.0
    twice: float = 0.0
    delay_seconds_max: float = 0.05
    late: float = 0.0
    """The share of messages that come some seconds later, after those that were sent behind them."""


@dataclass
class World:
    """Hubs, a network and the time."""

    rng: Random
    hubs: dict[str, Hub]
    weather: Weather = field(default_factory=Weather)
    cut: set[frozenset[str]] = field(default_factory=set)
    now: float = 0.0
    sent: int = 0
    refused: list[str] = field(default_factory=list)
    bytes_max: int = 0
    _queue: list[tuple[float, int, str, str, Callable[[Hub], None]]] = field(default_factory=list)
    _number: "count[int]" = field(default_factory=count)

    @property
    def mistake(self) -> Mistake | None:
        """The mistake of these hubs."""
        return next(iter(self.hubs.values())).mistake

    def up(self) -> list[Hub]:
        """The hubs that are running."""
        return [hub for hub in self.hubs.values() if hub.is_up]

    # ---- the network

    def send(self, sender: str, to: str, deliver: Callable[[Hub], None]) -> None:
        """Post something; whether it comes, when and how often is up to the weather."""
        self.sent += 1
        for _ in range(2 if self.rng.random() < self.weather.twice else 1):
            if self.rng.random() < self.weather.loss:
                continue
            seconds = self.rng.uniform(0, self.weather.delay_seconds_max)
            if self.rng.random() < self.weather.late:
                seconds = self.rng.uniform(0, 8.0)
            due = self.now + seconds
            heapq.heappush(self._queue, (due, next(self._number), sender, to, deliver))

    def _deliver(self) -> None:
        while self._queue and self._queue[0][0] <= self.now:
            _, _, sender, to, deliver = heapq.heappop(self._queue)
            hub = self.hubs.get(to)
            if hub and hub.is_up and frozenset((sender, to)) not in self.cut:
                try:
                    deliver(hub)
                except BadInput as error:
                    self.refused.append(str(error))

    def wire(self, message: Message) -> bytes:
        """A message as it travels."""
        body = exchange_wire.write(message)
        self.bytes_max = max(self.bytes_max, len(body))
        return body

    # ---- one tick of every hub

    def tick(self) -> None:
        """A tenth of a second for everybody."""
        self.now = round(self.now + TICK_SECONDS, 3)
        self._deliver()
        is_second = round(self.now / TICK_SECONDS) % 10 == 0
        for hub in self.up():
            self.flush(hub)
            if is_second:
                hub.save()
                hub.exchange.retire(3)
                self._pulse(hub)
            self._ask(hub)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(round(seconds / TICK_SECONDS)):
            self.tick()

    def flush(self, hub: Hub) -> None:
        """Push what a hub has not said yet."""
        for push in hub.exchange.flush():
            body = self.wire(push)
            for to in self._others(hub):
                self.send(hub.name, to, partial(self._take_push, body))

    def _take_push(self, body: bytes, hub: Hub) -> None:
        hub.exchange.take_push(exchange_wire.read(body, Push, CLUSTER), 0)

    def _others(self, hub: Hub) -> list[str]:
        return [name for name in self.hubs if name != hub.name]

    def _pulse(self, hub: Hub) -> None:
        for to in self._others(hub):
            body = self.wire(hub.exchange.pulse(to))
            self.send(hub.name, to, partial(self._take_pulse, body))

    def _take_pulse(self, body: bytes, hub: Hub) -> None:
        hub.exchange.take_pulse(exchange_wire.read(body, Pulse, CLUSTER), self.now)

    def _ask(self, hub: Hub) -> None:
        found = hub.exchange.next_ask(self.now)
        if found is None:
            return
        to, ask = found
        body = self.wire(ask)
        self.send(hub.name, to, lambda peer: self._answer(peer, hub.name, body))

    def _answer(self, hub: Hub, asker: str, question: bytes) -> None:
        ask = exchange_wire.read(question, Ask, CLUSTER)
        answer = hub.exchange.answer(ask)
        body = self.wire(_err(hub, answer))
        claims = _to_page_end(hub, answer)
        lives = hub.lives, self.hubs[asker].lives

        def deliver(peer: Hub) -> None:
            # Where lives share a stream, no message of an earlier life may come: a kinder world.
            if self.mistake not in ONE_STREAM or lives == (hub.lives, peer.lives):
                self._take_answer(peer, ask, body, claims)

        self.send(hub.name, asker, deliver)

    def _take_answer(self, hub: Hub, ask: Ask, body: bytes, claims: dict[Stream, Ranges]) -> None:
        if ask.life != hub.exchange.replica.own[1]:
            return  # Whoever asked has died.
        answer = exchange_wire.read(body, Answer, CLUSTER)
        hub.exchange.take_answer(ask, answer, 0)
        if hub.mistake is Mistake.COVER_TO_PAGE_END:
            hub.exchange.replica.claim(claims)

    def start(self, name: str) -> None:
        """Begin a new life of a hub that is down."""
        self.hubs[name].start()
        if self.mistake in ONE_STREAM:
            for hub in self.hubs.values():
                hub.exchange.forget(name)  # A new life has new positions.

    # ---- faults

    def crash(self, name: str) -> None:
        """Lose what was not saved."""
        self.hubs[name].is_up = False

    def heal(self) -> None:
        """End all faults."""
        self.cut.clear()
        self.weather = Weather()
        for hub in self.hubs.values():
            if not hub.is_up:
                self.start(hub.name)

    # ---- what must be true

    def is_settled(self) -> bool:
        """Whether all hubs that are up have the same records and vectors."""
        hubs = self.up()
        vectors = {hub.exchange.replica.vector.digest() for hub in hubs}
        return len(vectors) == 1 and all(hub.known() == hubs[0].known() for hub in hubs)

    def settle(self, seconds_max: float = 120.0) -> None:
        """Let time pass without faults until all agree; fails when they do not."""
        until = self.now + seconds_max
        self.run(10.0)  # Let what is late come, too.
        while not self.is_settled():
            assert self.now < until, f"they do not agree: {self.disagreements()}"
            self.run(1.0)

    def disagreements(self) -> list[str]:
        """What differs, for people."""
        found = []
        for mine, theirs in combinations(self.up(), 2):
            here, there = mine.known(), theirs.known()
            nodes = [
                each for each in here.keys() | there.keys() if here.get(each) != there.get(each)
            ]
            vectors = mine.exchange.replica.vector.ranges, theirs.exchange.replica.vector.ranges
            found.append(f"{mine.name} {theirs.name} {nodes} {vectors}")
        return found

    def sweep(self) -> int:
        """Every hub sweeps with every other; returns how many records differed."""
        return sum(sweep_between(mine, theirs) for mine, theirs in permutations(self.up(), 2))

    @property
    def repaired(self) -> int:
        """What anti-entropy has repaired in all."""
        return sum(sum(hub.exchange.replica.repaired.values()) for hub in self.hubs.values())


def sweep_between(mine: Hub, theirs: Hub) -> int:
    """One digest sweep, whole; returns how many records differed."""
    sweep = exchange_sweep.Sweep(mine.exchange)
    body = exchange_wire.write(sweep.table())
    listing = exchange_sweep.answer_table(theirs.exchange, exchange_wire.read(body, Table, CLUSTER))
    while True:
        told = exchange_wire.read(exchange_wire.write(listing), Listing, CLUSTER)
        nodes, question = sweep.on_listing(told)
        while nodes:
            swap, nodes = sweep.next_swap(nodes)
            heard = exchange_wire.read(exchange_wire.write(swap), Swap, CLUSTER)
            sweep.on_swap(exchange_sweep.answer_swap(theirs.exchange, heard, 0), 0)
        if question is None:
            return sweep.differing
        listing = exchange_sweep.answer_listing(theirs.exchange, question)


def _err(hub: Hub, answer: Answer) -> Answer:
    """The answer, as the author of a mistake would give it."""
    vector = hub.exchange.pulse("nobody").vector
    assert vector is not None
    if hub.mistake is Mistake.COVER_AT_ONCE:
        return _with(answer, vector=vector)
    if hub.mistake is Mistake.NO_RELAY:
        own = hub.exchange.replica.own
        mine = [each for each in answer.items if own in [answer.streams[at] for at, _ in each.dots]]
        told = [each for each in vector if (each[0], each[1]) == own]
        return _with(answer, items=mine, vector=told if answer.vector is not None else None)
    return answer


def _to_page_end(hub: Hub, answer: Answer) -> dict[Stream, Ranges]:
    """What a hub covers of each stream up to the largest number on the page."""
    ends: dict[Stream, Ranges] = {}
    for item in answer.items:
        for index, seq in item.dots:
            stream = answer.streams[index]
            ends[stream] = ends.get(stream, NOTHING).add(1, seq)
    return common(hub.exchange.replica.vector.ranges, ends)


def _with(answer: Answer, **changes: object) -> Answer:
    fields = {name: getattr(answer, name) for name in answer.__struct_fields__}
    return Answer(**{**fields, **changes})


def world_of(hubs: int, seed: int, mistake: Mistake | None = None) -> World:
    """A mesh of some hubs."""
    names = [f"hub-{number}" for number in range(1, hubs + 1)]
    return World(Random(seed), {name: Hub(name, mistake) for name in names})
