"""No order of beats, orders of people, losses and burials brings a removed node back to life.

Real registries of three hubs exchange real messages, which get lost, come twice and in any order. Two
of them bury tombstones as soon as both hold them; the third is one that they do not count on, as a hub
that was away for long: it may hold old records when nothing but graves is left on the others.
"""

from collections.abc import Mapping
from random import Random
from typing import Any

import pytest

from hub.nodes import tombstone_acks
from hub.nodes.removals import Removals
from hub.nodes.tombstones import is_removed, removal_value
from hub.peering.exchange_saved import SavedGossip
from hub.peering.exchange_sweep import Sweep, answer_listing, answer_swap, answer_table
from hub.peering.exchange_wire import Push
from hub.registry import Registry
from shared.beat import Beat
from shared.merge import LABELS, REMOVED, Intent, NodeRecord, intent_order, to_bytes
from shared.stamp import HybridClock, Stamp

SLOWLY_MS = 1_000
"""Between two orders of people: more than any node here counts its starts."""

AHEAD_MS = 2**45
"""A clock that is off by a thousand years."""

NODES = ("edge-1", "edge-2", "edge-3")
COUNTED_ON = ("hub-1", "hub-2")
HUBS = (*COUNTED_ON, "hub-3")


def untold(name: str, facts: Mapping[str, Any]) -> None:
    """Nobody listens to events here."""


class Hub:
    """One hub: its registry with what it knows of removed nodes."""

    def __init__(self, name: str, world: "World") -> None:
        self.world = world
        self.registry = Registry(name, 0.0, HybridClock(name), numbering=name)
        self.registry.begin("epoch.1", "cluster", SavedGossip([], {}))
        self.removals = Removals(
            self.registry, untold, lambda: world.wall_ms / 1000, lambda: world.wall_ms
        )
        self.removals.load(())
        self.registry.replica.on_taken = lambda before, after: self.registry.noted(
            before, after, world.wall_ms / 1000
        )

    @property
    def live(self) -> dict[str, bytes]:
        return {each.node_id: to_bytes(each) for each in self.registry.present()}

    def beat(self, node_id: str, incarnation: int) -> None:
        if self.removals.refusal_of_beat(node_id) is None:
            number = self.world.wall_ms
            beat = Beat(node_id, incarnation, number, "e", number, {"at": number}, {}, {})
            self.registry.hear(beat, number / 1000, number)

    def intend(self, node_id: str, name: str, value: object) -> None:
        self.registry.intend(node_id, name, value, self.world.wall_ms, self.world.wall_ms / 1000)

    def remove(self, node_id: str) -> None:
        if node_id in self.live:
            self.intend(node_id, REMOVED, removal_value(self.world.wall_ms, "ada"))
            self.world.note(self.registry.records[node_id])

    def let_back(self, node_id: str) -> None:
        if self.removals.removal(node_id) is None:
            return
        self.removals.unearth(node_id)
        self.intend(node_id, REMOVED, False)
        self.world.note(self.registry.records[node_id])

    def label(self, node_id: str) -> None:
        if node_id in self.live:
            self.intend(node_id, LABELS, {"at": str(self.world.wall_ms)})

    def obey_a_mad_clock(self, node_id: str, value: object) -> None:
        """An order with a stamp years ahead, as from a restored backup; it wins over what has none."""
        if node_id in self.live:
            ahead = Stamp(AHEAD_MS + self.world.wall_ms, 0, self.registry.hub_id)
            record = NodeRecord(node_id, intent={REMOVED: Intent(value, ahead)})
            self.registry.apply(record, self.world.wall_ms / 1000)
            self.world.note(record)

    def hear_of_tombstones(self, other: "Hub") -> None:
        section = other.removals.acks.section_for(self.registry.hub_id)
        self.removals.told(section, other.registry.hub_id)

    def sweep(self, other: "Hub") -> int:
        """As hub.peering.talk does with a peer; how many records differed."""
        mine, theirs, at_ms = self.registry.exchange, other.registry.exchange, self.world.wall_ms
        sweep = Sweep(mine)
        listing, question = answer_table(theirs, sweep.table()), None
        while True:
            nodes, question = sweep.on_listing(listing)
            while nodes:
                swap, nodes = sweep.next_swap(nodes)
                sweep.on_swap(answer_swap(theirs, swap, at_ms), at_ms)
            if question is None:
                return sweep.differing
            listing = answer_listing(theirs, question)


class World:
    """All hubs, and the pushes that are on their way."""

    def __init__(self, seed: int) -> None:
        self.rng, self.wall_ms = Random(f"removed {seed}"), 1_000_000
        self.last_word: dict[str, str] = {}
        self._last: dict[str, Any] = {}
        self.hubs = [Hub(name, self) for name in HUBS]
        self.under_way: list[tuple[Hub, Push]] = []

    def step(self) -> None:
        self.wall_ms += SLOWLY_MS
        hub, node = self.rng.choice(self.hubs), self.rng.choice(NODES)
        actions = (
            lambda: hub.beat(node, self.rng.choice((1, 2, 70))),
            lambda: hub.beat(node, self.wall_ms % 1000),
            lambda: hub.label(node),
            lambda: hub.remove(node),
            lambda: hub.let_back(node),
            self.post,
            self.deliver,
            self.deliver,
            self.talk_of_tombstones,
            self.bury,
            lambda: hub.sweep(self.rng.choice([each for each in self.hubs if each is not hub])),
        )
        self.rng.choices(actions, (9, 3, 4, 3, 2, 9, 9, 9, 6, 4, 1))[0]()

    def note(self, record: NodeRecord) -> None:
        """Note what was said last of a node: what no later order outranks, as hubs compare them."""
        said = record.intent[REMOVED]
        if record.node_id not in self._last or self._last[record.node_id] < intent_order(said):
            self._last[record.node_id] = intent_order(said)
            self.last_word[record.node_id] = "removed" if said.value else "back"

    def post(self) -> None:
        for hub in self.hubs:
            for push in hub.registry.exchange.flush():
                self.under_way += [(each, push) for each in self.hubs if each is not hub]

    def deliver(self) -> None:
        """Anything that is under way, late or early; one in ten is lost, one in ten comes twice."""
        if not self.under_way:
            return
        place = self.rng.randrange(len(self.under_way))
        to, push = self.under_way[place]
        luck = self.rng.random()
        if luck > 0.1:
            to.registry.exchange.take_push(push, self.wall_ms)
        if luck < 0.9:
            del self.under_way[place]

    def talk_of_tombstones(self) -> None:
        to, by = self.rng.sample(self.hubs, 2)
        to.hear_of_tombstones(by)

    def bury(self) -> None:
        for hub in self.hubs[:2]:
            hub.removals.bury(COUNTED_ON)

    def settle(self) -> None:
        """No more orders: everything is told until nothing of what lives differs."""
        for _ in range(12):
            self.wall_ms += 1
            self.post()
            while self.under_way:
                to, push = self.under_way.pop(0)
                to.registry.exchange.take_push(push, self.wall_ms)
            for one in self.hubs:
                for other in self.hubs:
                    if one is not other:
                        one.sweep(other)
                        one.hear_of_tombstones(other)


class MadWorld(World):
    """The same, in which orders come now and then whose stamps are years ahead."""

    def step(self) -> None:
        super().step()
        if self.rng.random() < 0.06:
            hub, node = self.rng.choice(self.hubs), self.rng.choice(NODES)
            removal = removal_value(self.wall_ms, "a mad clock")
            hub.obey_a_mad_clock(node, self.rng.choice((False, False, removal)))


def stories(count: int, kind: type[World] = World) -> list[World]:
    worlds = [kind(seed) for seed in range(count)]
    for world in worlds:
        for _ in range(250):
            world.step()
        world.settle()
    return worlds


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Burials wait for nothing but the word of both hubs."""
    monkeypatch.setattr(tombstone_acks, "RETENTION_MS", 0)


def test_what_people_said_last_of_a_node_is_so_on_all_hubs() -> None:
    """Removed means that it is in no list anywhere; let back means that it is in all."""
    seen: dict[str, int] = {"removed": 0, "back": 0, "buried": 0, "told by a grave": 0}
    for world in stories(40):
        for hub in world.hubs:
            assert hub.live == world.hubs[0].live
            for node, word in world.last_word.items():
                assert (node in hub.live) == (word == "back"), (node, word, hub.registry.hub_id)
                seen[word] += 1
            seen["buried"] += len(hub.removals.graves)
            seen["told by a grave"] += hub.removals.graves.refused
    assert all(seen.values()), seen


def test_a_refused_node_stays_out_however_often_it_beats_later() -> None:
    for world in stories(10):
        for hub in world.hubs:
            for node, word in world.last_word.items():
                hub.beat(node, 999)
                if word == "removed" and hub.removals.removal(node) is None:
                    continue  # A hub without a tombstone or a grave takes it in until it is told.
                assert (node in hub.live) == (word == "back")
        world.settle()
        for hub in world.hubs:
            for node, word in world.last_word.items():
                assert (node in hub.live) == (word == "back")
                record = hub.registry.records.get(node)
                is_heard = record is not None and record.facts is not None
                assert is_heard == (word == "back"), "who is back is heard again"


def test_a_tombstone_that_is_buried_leaves_no_trace_in_the_table() -> None:
    for world in stories(10):
        for hub in world.hubs:
            replica = hub.registry.replica
            assert replica.records.keys() == replica.dots.rows.keys()
            assert replica.records.keys() == replica.digests.hashes.keys()
            assert not replica.parked.total
            for node in hub.removals.acks.turns:
                assert is_removed(replica.records[node])


def test_what_people_say_over_a_stamp_from_the_future_is_so_on_all_hubs() -> None:
    """Also when nothing but graves is left of it: what the mad clock ordered does not come back."""
    buried_anew = 0
    for world in stories(40, MadWorld):
        for hub in world.hubs:
            assert hub.live == world.hubs[0].live
            for node, word in world.last_word.items():
                assert (node in hub.live) == (word == "back"), (node, word, hub.registry.hub_id)
            buried_anew += sum(turn.reissue > 0 for _, turn in hub.removals.graves)
    assert buried_anew > 10


def test_a_removal_over_a_stamp_from_the_future_is_let_go_of_like_any_other() -> None:
    """Only those stay whose own stamp is one, until it is in the past or a person orders anew."""
    for world in stories(20, MadWorld):
        world.bury()
        for hub in world.hubs[:2]:
            turns = hub.removals.acks.turns.values()
            assert all(turn.stamp.wall_ms > AHEAD_MS for turn in turns)
