"""The laws of the talk about nodes: all hubs agree in the end, nothing is lost, nothing is repaired.

Each story is a few dozen seconds of virtual time with seeded faults. The last tests make mistakes on
purpose, and show that the laws notice.
"""

from random import Random

import pytest

from hub.peering import exchange_pull
from hub.peering.exchange_values import Taken
from shared.merge import Facts, Intent, NodeRecord, Observation, merge, to_bytes
from shared.stamp import Stamp
from tests.law.exchange_draws import data_of
from tests.law.exchange_world import Hub, Mistake, Weather, World, world_of

NODES = [f"edge-{number}" for number in range(12)]


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of two records, so that a handful of nodes need many."""
    monkeypatch.setattr(exchange_pull, "RECORDS_MAX", 2)


def any_change(rng: Random, wall_ms: int, hub_id: str) -> NodeRecord:
    """Something that a hub hears of a node or is told by a person. Each group of fields has its own
    order, so what is lost is not made good by a later change of another group."""
    node = rng.choice(NODES)
    match rng.randrange(3):
        case 0:
            facts = Facts(1, wall_ms, data_of(hostname=node, told=hub_id))
            return NodeRecord(node, facts)
        case 1:
            seen = Observation(1, wall_ms, wall_ms, hub_id, data_of(load=rng.random()))
            return NodeRecord(node, None, seen)
    name = rng.choice(("labels", "draining", "role", "note"))
    return NodeRecord(node, intent={name: Intent(rng.random(), Stamp(wall_ms, 0, hub_id))})


class Story:
    """A world with a chronicle: what each hub originated, and what of it cannot be lost any more."""

    def __init__(self, world: World) -> None:
        self.world, self.rng = world, world.rng
        self.wall_ms = 1000
        self.young: dict[str, list[NodeRecord]] = {name: [] for name in world.hubs}
        self.lasting: list[NodeRecord] = []

    def change(self, hub: Hub) -> NodeRecord:
        """A hub originates something."""
        self.wall_ms += 1
        change = any_change(self.rng, self.wall_ms, hub.name)
        if hub.exchange.replica.originate(change):
            self.young[hub.name].append(change)
        return change

    def save(self, hub: Hub) -> None:
        """What a hub has originated is on its disk."""
        hub.save()
        self.lasting += self.young[hub.name]
        self.young[hub.name] = []

    def crash(self, hub: Hub) -> None:
        """A hub dies, with what was not on its disk."""
        self.young[hub.name] = []
        self.world.crash(hub.name)

    def check(self) -> None:
        """All laws at once."""
        world = self.world
        world.heal()
        world.settle()
        assert world.sweep() == 0, "after they agree, a sweep finds nothing"
        assert world.repaired == 0, [hub.exchange.replica.repaired for hub in world.hubs.values()]
        self._check_nothing_is_lost()
        for hub in world.hubs.values():
            check_bounds(hub)

    def _check_nothing_is_lost(self) -> None:
        records = self.world.up()[0].exchange.replica.records
        for change in self.lasting:
            held = records[change.node_id]
            assert to_bytes(merge(held, change)) == to_bytes(held), f"lost: {change}"


def check_bounds(hub: Hub) -> None:
    """What must not grow with the time."""
    replica = hub.exchange.replica
    assert not replica.unsaid
    assert replica.digests.hashes.keys() == replica.records.keys() == replica.dots.rows.keys()
    assert all(replica.dots.of(node) for node in replica.records), "each record bears a change"
    own = [stream for stream in replica.vector.ranges if stream[0] == hub.name]
    assert len(own) <= 4, own
    spans = sum(len(held.spans) for held in replica.vector.ranges.values())
    assert spans <= 30 * len(replica.vector.ranges)
    assert not replica.parked.entries


def bad_day(story: Story, seconds: int, *, restores: bool = False) -> None:
    """Changes and every fault there is, for some time."""
    world, rng = story.world, story.rng
    world.weather = Weather(loss=0.2, twice=0.2, delay_seconds_max=0.4, late=0.1)
    for _ in range(seconds * 10):
        for hub in world.up():
            if rng.random() < 0.3:
                story.change(hub)
        _maybe_fault(story, restores=restores)
        if round(world.now * 10) % 10 == 8:  # The tick that follows saves, too, which is no harm.
            for hub in world.up():
                story.save(hub)
        world.tick()


def _maybe_fault(story: Story, *, restores: bool) -> None:
    world, rng = story.world, story.rng
    one, other = rng.sample(sorted(world.hubs), 2)
    hub, chance = world.hubs[one], rng.random()
    if chance < 0.02:
        world.cut ^= {frozenset((one, other))}
    elif chance < 0.03 and hub.is_up:
        story.crash(hub)
    elif chance < 0.06 and not hub.is_up:
        world.start(one)
    elif restores and chance < 0.065:
        hub.copy = hub.store.serialize()
    elif restores and chance < 0.07 and hub.copy:
        hub.restore()


@pytest.mark.parametrize("hubs", [2, 3, 4, 5])
@pytest.mark.parametrize("seed", range(4))
def test_hubs_agree_after_a_bad_day_and_nothing_was_repaired(hubs: int, seed: int) -> None:
    story = Story(world_of(hubs, seed))
    bad_day(story, 40)
    story.check()


@pytest.mark.parametrize("hubs", [2, 3, 5])
@pytest.mark.parametrize("seed", range(4))
def test_hubs_agree_after_old_copies_of_stores_came_back(hubs: int, seed: int) -> None:
    """What only a store had that was thrown away is gone; all the rest is everywhere."""
    story = Story(world_of(hubs, seed))
    bad_day(story, 40, restores=True)
    story.lasting = []
    story.check()


@pytest.mark.parametrize("hubs", [2, 3, 5])
def test_a_change_is_everywhere_after_one_message_when_nothing_is_lost(hubs: int) -> None:
    story = Story(world_of(hubs, 1))
    world = story.world
    for _ in range(200):
        hub = story.rng.choice(world.up())
        change, before = story.change(hub), world.sent
        world.flush(hub)
        assert world.sent - before <= hubs - 1
        world.now += 0.06
        world._deliver()
        for peer in world.up():
            held = peer.exchange.replica.records[change.node_id]
            assert to_bytes(merge(held, change)) == to_bytes(held)
    assert world.is_settled()
    story.check()
    assert all(set(hub.exchange.replica.taken) <= {Taken.NEW} for hub in world.up()), "no answers"


def test_a_change_finds_its_way_around_a_cut_link() -> None:
    """hub-1 and hub-3 never hear each other, and nobody heals that."""
    story = Story(world_of(3, 1))
    lonely_links(story)
    check_agreement_with_links_cut(story)


def lonely_links(story: Story) -> None:
    """Both ends of a cut link originate, for some seconds."""
    story.world.cut = {frozenset(("hub-1", "hub-3"))}
    for _ in range(100):
        story.change(story.world.hubs["hub-1"])
        story.change(story.world.hubs["hub-3"])
        story.world.tick()


def check_agreement_with_links_cut(story: Story) -> None:
    """The hubs agree, while links stay cut."""
    story.world.settle()
    assert story.world.repaired == 0


@pytest.mark.parametrize("seed", range(3))
def test_streams_of_many_lives_go_away(seed: int) -> None:
    """Twenty starts of each hub, most of them after a crash, leave no more than a few streams."""
    story = Story(world_of(3, seed))
    for _ in range(20):
        for hub in story.world.up():
            for _ in range(3):
                story.change(hub)
            story.world.flush(hub)
            if story.rng.random() < 0.5:
                story.save(hub)
            story.crash(hub)
            story.world.start(hub.name)
        story.world.run(story.rng.uniform(0, 8))
    story.world.run(60)
    story.check()


def test_streams_of_a_hub_that_is_gone_for_good_go_away() -> None:
    """What it said stays, and is of those who remain; also a hub that knew half of it agrees."""
    story = Story(world_of(4, 1))
    bad_day(story, 20)
    story.check()
    story.world.crash("hub-4")
    story.world.crash("hub-3")
    for _ in range(60):
        for name in ("hub-1", "hub-2"):
            story.world.hubs[name].exchange.retire(3, gone={"hub-4"})
        story.world.run(1)
    story.world.start("hub-3")
    story.world.settle()
    del story.world.hubs["hub-4"]
    story.check()
    for hub in story.world.up():
        assert not [each for each in hub.exchange.replica.vector.ranges if each[0] == "hub-4"]


def test_a_new_hub_learns_everything() -> None:
    story = Story(world_of(2, 1))
    bad_day(story, 10)
    story.world.hubs["hub-3"] = Hub("hub-3")
    story.young["hub-3"] = []
    story.check()


# ---- mistakes on purpose


def test_covering_what_is_still_to_come_is_noticed() -> None:
    assert_some_story_fails(Mistake.COVER_AT_ONCE)


def test_covering_superseded_numbers_page_by_page_is_noticed() -> None:
    """The change that superseded them may be on a page that never came, and its maker be gone."""
    assert_some_story_fails(Mistake.COVER_TO_PAGE_END)


@pytest.mark.parametrize("mistake", [Mistake.REUSE_NUMBERS, Mistake.SKIP_NUMBERS])
def test_going_on_with_a_stream_that_has_lost_its_end_is_noticed(mistake: Mistake) -> None:
    """Even where no number is given twice: later changes no longer contain the earlier ones."""
    story = Story(world_of(3, 1, mistake))
    lose_the_end_of_a_stream(story)
    with pytest.raises(AssertionError):
        story.check()


def test_a_change_that_its_hub_has_lost_comes_back_to_all() -> None:
    story = Story(world_of(3, 1))
    lost = lose_the_end_of_a_stream(story)
    story.lasting.append(lost)
    story.check()


def lose_the_end_of_a_stream(story: Story) -> NodeRecord:
    """hub-1 tells only hub-2 of an order, crashes before it has it on disk, and goes on to tell all
    of a beat of the same node. Returns the order."""
    world, hub = story.world, story.world.hubs["hub-1"]
    hub.exchange.replica.originate(NodeRecord("edge-1", Facts(1, 1, data_of())))
    world.run(3)
    world.cut = {frozenset(("hub-1", "hub-3")), frozenset(("hub-2", "hub-3"))}
    order = NodeRecord("edge-1", intent={"draining": Intent(True, Stamp(1, 0, "hub-1"))})
    hub.exchange.replica.originate(order)
    world.flush(hub)
    world.run(0.2)
    story.crash(hub)
    world.cut = {frozenset(("hub-2", "hub-3"))}
    world.start("hub-1")
    seen = Observation(1, 1, 1, "hub-1", data_of())
    hub.exchange.replica.originate(NodeRecord("edge-1", None, seen))
    world.run(0.2)
    return order


def test_dropping_relays_is_noticed() -> None:
    story = Story(world_of(3, 1, Mistake.NO_RELAY))
    lonely_links(story)
    with pytest.raises(AssertionError, match="do not agree"):
        check_agreement_with_links_cut(story)


def assert_some_story_fails(mistake: Mistake) -> None:
    """A mistake breaks a law in one of the stories that go well without it."""
    failures = 0
    for seed in range(4):
        story = Story(world_of(3, seed, mistake))
        try:
            bad_day(story, 40)
            story.check()
        except AssertionError:
            failures += 1
    assert failures, f"nobody noticed that {mistake.value}"
