"""The laws of the talk about nodes hold as well where hubs let in records only in part for a while.

Now one hub is doubted and now another, by all others, while there is every fault of a bad day: what a
doubted hub has ordered is withheld, and had in the end by all, as it was, with nothing repaired.
"""

from dataclasses import dataclass
from random import Random

import msgspec
import pytest

from hub.peering import exchange_pull
from hub.peering.exchange_values import Taken
from shared.merge import NodeRecord
from tests.law.exchange_draws import facts, intent
from tests.law.exchange_world import Hub, World, sweep_between
from tests.law.test_exchange_laws import Story, bad_day

DOUBT_SECONDS = 2


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of two records, so that a handful of nodes need many."""
    monkeypatch.setattr(exchange_pull, "RECORDS_MAX", 2)


class Doubt:
    """Whom all others doubt now."""

    def __init__(self) -> None:
        self.hub = ""


@dataclass
class CautiousHub(Hub):
    """A hub that lets in no orders that a doubted one has stamped."""

    doubt: Doubt | None = None

    def start(self) -> None:
        """Begin a new life; a start does not forget whom to doubt."""
        super().start()
        self.exchange.replica.admit = self.admit

    def admit(self, record: NodeRecord, sender: str) -> NodeRecord:
        """All but the orders of the doubted hub."""
        doubted = self.doubt.hub if self.doubt else ""
        if doubted in ("", self.name):
            return record
        kept = {f: each for f, each in record.intent.items() if each.stamp.hub_id != doubted}
        if len(kept) == len(record.intent):
            return record
        return msgspec.structs.replace(record, intent=kept)


@dataclass
class DoubtfulWorld(World):
    """Every few seconds somebody else is doubted, or nobody."""

    doubt: Doubt | None = None
    changes_mind: bool = True
    withheld: int = 0

    def tick(self) -> None:
        """A tenth of a second, with a sweep now and then."""
        super().tick()
        self.withheld += sum(hub.exchange.replica.taken.pop(Taken.WITHHELD, 0) for hub in self.up())
        if self.changes_mind and round(self.now * 10) % (10 * DOUBT_SECONDS) == 0:
            self.believe(self.rng.choice(["", *self.hubs]))
        one, other = self.rng.sample(sorted(self.hubs), 2)
        mine, theirs = self.hubs[one], self.hubs[other]
        is_passing = mine.is_up and theirs.is_up and frozenset((one, other)) not in self.cut
        if is_passing and self.rng.random() < 0.01:
            sweep_between(mine, theirs)

    def believe(self, doubted: str) -> None:
        """From now on this one is doubted; what was withheld is asked for again."""
        assert self.doubt is not None
        self.doubt.hub = doubted
        for hub in self.up():
            hub.exchange.ask_again()

    def heal(self) -> None:
        """End all faults and doubts."""
        super().heal()
        self.changes_mind = False
        self.believe("")


def doubtful_world(hubs: int, seed: int) -> DoubtfulWorld:
    """A mesh of some hubs."""
    doubt, names = Doubt(), [f"hub-{number}" for number in range(1, hubs + 1)]
    world = DoubtfulWorld(Random(seed), {name: CautiousHub(name, doubt=doubt) for name in names})
    world.doubt = doubt
    return world


@pytest.mark.parametrize("hubs", [3, 4, 5])
@pytest.mark.parametrize("seed", range(5))
def test_hubs_agree_when_doubts_are_over_and_nothing_was_repaired(hubs: int, seed: int) -> None:
    world = doubtful_world(hubs, seed)
    story = Story(world)
    bad_day(story, 40)
    story.check()
    assert world.withheld > 0
    assert not any(hub.exchange.replica.waiting.entries for hub in world.up())


def test_what_comes_with_a_withheld_order_passes_and_reaches_hubs_that_its_maker_does_not() -> None:
    """hub-1 is doubted, and cut off from hub-3: its facts get there by hub-2, its order does not yet."""
    world = doubtful_world(3, 1)
    world.changes_mind = False
    world.believe("hub-1")
    world.cut = {frozenset(("hub-1", "hub-3"))}
    maker, third = world.hubs["hub-1"], world.hubs["hub-3"]
    maker.exchange.replica.originate(facts("edge-1"))
    maker.exchange.replica.originate(intent("edge-1", "draining", value=True))
    world.run(10)
    held = third.exchange.replica.records["edge-1"]
    assert held.facts is not None
    assert held.intent == {}
    world.believe("")
    world.run(10)
    assert third.exchange.replica.records["edge-1"].intent_value("draining") is True
    world.settle()
    assert world.repaired == 0


def test_a_page_that_was_asked_for_before_a_doubt_ended_claims_nothing_that_was_withheld() -> None:
    """It comes from behind the withheld record: were it the last page, all would seem to be here."""
    world = doubtful_world(2, 1)
    world.changes_mind = False
    world.believe("hub-1")
    teller, asker = world.hubs["hub-1"].exchange, world.hubs["hub-2"].exchange
    teller.replica.originate(intent("edge-0", "draining", value=True))
    for number in range(1, 4):
        teller.replica.originate(facts(f"edge-{number}"))
    for now in (100.0, 101.0):
        asker.take_pulse(teller.pulse("hub-2"), now)
    pages = []
    while (found := asker.next_ask(101.0)) is not None:
        pages.append(answer := teller.answer(found[1]))
        if answer.vector is not None:
            break
        asker.take_answer(found[1], answer, 0)
    assert (len(pages), asker.replica.taken[Taken.WITHHELD]) == (2, 1)
    assert found is not None
    world.believe("")
    asker.take_answer(found[1], pages[-1], 0)
    assert not asker.replica.vector.covers(teller.replica.own, 1)
    world.settle()
    assert asker.replica.records["edge-0"].intent_value("draining") is True
    assert world.repaired == 0
