"""Laws of removal and of incidents: no order, repetition or grouping of what hubs tell each other matters."""

from dataclasses import dataclass, field
from functools import reduce
from itertools import permutations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.nodes.enrolment import Enrolment
from hub.nodes.graves import Admission, Graves
from hub.nodes.tombstone_acks import TombstoneAcks
from hub.nodes.tombstones import (
    RETENTION_MS,
    Turn,
    began,
    is_removed,
    lifted,
    merge_settled,
    removal_value,
    settled,
    tombstone,
)
from hub.peering.incident import Key, Moment, Sight, groups_of, merge_sights, sight_bytes
from hub.peering.incident_report import incident, incidents
from hub.peering.view_digest import NodeDigest
from shared.beat import Beat
from shared.merge import Facts, NodeRecord, Observation, to_bytes
from shared.stamp import HybridClock
from tests.examples import examples
from tests.law.drawing import HUBS, node_records, patient

NODE = "edge-1"
LATE_MS = 10 * RETENTION_MS

# ---- settling


@given(st.lists(node_records(), min_size=2, max_size=4))
@patient
def test_records_of_several_lives_end_equal_in_whatever_order_they_come(
    parts: list[NodeRecord],
) -> None:
    ends = {to_bytes(settled(reduce(merge_settled, order))) for order in permutations(parts)}
    assert len(ends) == 1


@given(node_records(), node_records(), node_records())
@patient
def test_the_grouping_of_records_of_several_lives_makes_no_difference(
    a: NodeRecord, b: NodeRecord, c: NodeRecord
) -> None:
    a, b, c = settled(a), settled(b), settled(c)
    left = merge_settled(merge_settled(a, b), c)
    assert to_bytes(left) == to_bytes(merge_settled(a, merge_settled(b, c)))
    for part in (a, b, c, left):
        assert to_bytes(merge_settled(left, part)) == to_bytes(left)


# ---- removal and return


@dataclass
class Hub:
    """One hub as far as removal goes: the real rules around a table of one node."""

    hub_id: str
    records: dict[str, NodeRecord] = field(default_factory=dict)
    graves: Graves = field(default_factory=Graves)
    removed: Turn | None = None
    """The latest removal that it ever learned of."""
    returned: Turn | None = None

    def __post_init__(self) -> None:
        self.clock = HybridClock(self.hub_id)
        self.acks = TombstoneAcks(self.hub_id)
        self.enrolment = Enrolment(self.graves)

    @property
    def record(self) -> NodeRecord | None:
        return self.records.get(NODE)

    def is_live(self) -> bool:
        return self.record is not None and not is_removed(self.record)

    def merge(self, record: NodeRecord) -> None:
        held = self.record
        self.records[NODE] = merge_settled(held, record) if held else settled(record)
        self.clock.witness(began(record).stamp)
        self.acks.note(self.records[NODE])
        if is_removed(record):
            self.removed = max(self.removed or began(record), began(record))
        elif began(record).stamp.wall_ms:
            self.returned = max(self.returned or began(record), began(record))

    def hear(self, incarnation: int, beat: int) -> None:
        if self.enrolment.refusal(NODE, self.record, LATE_MS):
            return
        told = lifted(Beat(NODE, incarnation, beat, "e", 1, {"n": 1}, {}, {}), self.record)
        seen = Observation(told.incarnation, beat, 5, self.hub_id, {})
        self.merge(NodeRecord(NODE, Facts(told.incarnation, 1, told.facts), seen))

    def receive(self, record: NodeRecord) -> NodeRecord | None:
        admission = self.graves.judge(record)
        if admission is Admission.TAKE:
            self.merge(record)
        return self.graves.answer(NODE) if admission is Admission.BURIED else None

    def purge(self) -> None:
        for node_id in self.acks.due(HUBS, LATE_MS):
            self.graves.bury(node_id, self.acks.turns[node_id])
            del self.records[node_id]
            self.acks.drop(node_id)


@dataclass
class World:
    """Three hubs, and every copy of a record that was ever sent: each may come late, and again."""

    hubs: dict[str, Hub] = field(default_factory=lambda: {name: Hub(name) for name in HUBS})
    copies: list[NodeRecord] = field(default_factory=list)

    def step(self, move: str, hub: Hub, other: Hub, number: int) -> None:
        stamp = hub.clock.next(1000 + number)
        match move:
            case "beat":
                hub.hear(number % 3 + 1, number)
            case "remove":
                hub.merge(tombstone(NODE, stamp, removal_value(5, "ada")))
            case "register" if not hub.is_live():
                hub.merge(hub.enrolment.register(NODE, stamp))
            case "deliver" if self.copies:
                self._deliver(self.copies[number % len(self.copies)], other)
            case "spread" if hub.record:
                for each in self.hubs.values():
                    self._deliver(hub.record, each)
            case "purge":
                self._ask_all()
                hub.purge()
                other.purge()
        if hub.record and hub.record not in self.copies:
            self.copies.append(hub.record)

    def _deliver(self, copy: NodeRecord, hub: Hub) -> None:
        answer = hub.receive(copy)
        if answer is not None:
            self.copies.append(answer)

    def _ask_all(self) -> None:
        for _ in range(2):
            for one in self.hubs.values():
                for other in self.hubs.values():
                    asked = one.acks.section_for(other.hub_id)
                    other.acks.take(asked, one.hub_id, other.records, other.graves)

    def check(self) -> None:
        for hub in self.hubs.values():
            if hub.is_live() and hub.removed:
                assert hub.returned is not None
                assert hub.returned > hub.removed, f"{hub.hub_id} woke up a removed node"

    def settle(self) -> None:
        """Everything that was said, and all that the hubs hold, reaches everybody."""
        for _ in range(3):
            self.copies += [hub.record for hub in self.hubs.values() if hub.record]
            self.copies = list({to_bytes(copy): copy for copy in self.copies}.values())
            for copy in list(self.copies):
                for hub in self.hubs.values():
                    self._deliver(copy, hub)
            self.check()


moves = st.tuples(
    st.sampled_from(("beat", "remove", "register", "deliver", "spread", "purge")),
    st.sampled_from(HUBS),
    st.sampled_from(HUBS),
    st.integers(0, 50),
)


@given(st.lists(moves, min_size=12, max_size=40))
@settings(patient, max_examples=examples(200))
def test_no_order_of_messages_wakes_a_removed_node_and_the_last_word_of_a_person_holds(
    steps: list[tuple[str, str, str, int]],
) -> None:
    world = World()
    for move, hub, other, number in steps:
        world.step(move, world.hubs[hub], world.hubs[other], number)
        world.check()
    world.settle()
    hubs = world.hubs.values()
    removed = max((hub.removed for hub in hubs if hub.removed), default=None)
    returned = max((hub.returned for hub in hubs if hub.returned), default=None)
    known = any(hub.record for hub in hubs)
    should_live = known and (removed is None or (returned is not None and returned > removed))
    assert {hub.is_live() for hub in hubs} == {should_live}
    if should_live:
        assert len({to_bytes(hub.record) for hub in hubs if hub.record}) == 1


def test_the_moves_reach_a_purge_a_refusal_and_a_return() -> None:
    """The law above is not empty: a grave is dug, an old copy is refused, and a person lets it back."""
    world = World()
    one, two, _ = world.hubs.values()
    for move, hub, other in [
        ("beat", one, one),
        ("spread", one, one),
        ("remove", one, one),
        ("spread", one, one),
        ("purge", one, one),
    ]:
        world.step(move, hub, other, 0)
    assert (one.record, len(one.graves), is_removed(two.record or NodeRecord(NODE))) == (
        None,
        1,
        True,
    )
    world._deliver(world.copies[0], one)
    assert (one.record, one.graves.refused) == (None, 1)
    assert is_removed(world.copies[-1])
    world.step("register", one, one, 0)
    world.settle()
    assert all(hub.is_live() for hub in world.hubs.values())


# ---- the digest


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("ab"), node_records()), max_size=6))
@settings(patient, max_examples=examples(40))
def test_a_digest_that_followed_every_change_equals_one_made_from_the_end(
    steps: list[tuple[bool, str, NodeRecord]],
) -> None:
    held: dict[str, NodeRecord] = {}
    followed = NodeDigest()
    for drops, node_id, drawn in steps:
        record = msgspec.structs.replace(drawn, node_id=node_id)
        if drops:
            held.pop(node_id, None)
            followed.drop(node_id)
        else:
            followed.note(held.get(node_id), record)
            held[node_id] = record
    fresh = NodeDigest()
    for record in held.values():
        fresh.note(None, record)
    assert (followed.root(), followed.short(), len(followed)) == (
        fresh.root(),
        fresh.short(),
        len(fresh),
    )


# ---- incidents

times = st.integers(0, 8).map(lambda number: number * 7_000)


@st.composite
def sights(draw: st.DrawFn) -> Sight:
    began_ms = draw(times)
    moment = Moment(began_ms, (("hub-1",), ("hub-2", "hub-3")))
    return Sight(
        draw(st.sampled_from(HUBS)),
        began_ms,
        draw(st.integers(0, 3)),
        HUBS,
        (moment,),
        forgotten=draw(st.sampled_from([(), ("hub-2",)])),
        equal_ms=draw(st.none() | times.map(lambda after: began_ms + after)),
    )


def gathered(drawn: list[Sight]) -> dict[Key, Sight]:
    held: dict[Key, Sight] = {}
    for each in drawn:
        held = merge_sights(held, {each.key: each})
    return held


many_sights = st.lists(sights(), max_size=8).map(gathered)


def written(held: dict[Key, Sight]) -> list[bytes]:
    return [sight_bytes(held[key]) for key in sorted(held)]


@given(many_sights, many_sights, many_sights)
@patient
def test_what_hubs_saw_is_merged_alike_in_any_order_grouping_and_repetition(
    a: dict[Key, Sight], b: dict[Key, Sight], c: dict[Key, Sight]
) -> None:
    left = merge_sights(merge_sights(a, b), c)
    assert written(left) == written(merge_sights(a, merge_sights(b, c)))
    assert written(merge_sights(a, b)) == written(merge_sights(b, a))
    for part in (a, b, c, left):
        assert written(merge_sights(left, part)) == written(left)


@given(many_sights, st.randoms(use_true_random=False))
@patient
def test_all_hubs_name_an_incident_alike_and_find_it_by_every_name(
    held: dict[Key, Sight], shuffled: object
) -> None:
    listed = list(held.values())
    told = incidents(listed)
    shuffled.shuffle(listed)  # type: ignore[attr-defined]
    assert incidents(listed) == told
    assert sum(len(group) for group in groups_of(listed)) == len(listed)
    for each in told:
        for name in each["names"]:
            found = incident(name, listed)
            assert found is not None
            assert found["id"] == each["id"]
