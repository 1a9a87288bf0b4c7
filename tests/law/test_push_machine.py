"""The push conversation in any weather: hubs that go, come back, refuse, forget and meet clones.

The laws: nothing is released before it is safe; every record ends up at a hub exactly once, or among
the dead letters; a batch stays what it is through all attempts; alerts never wait behind other
data; waits are bounded, and after a wait the same moment brings nothing new.
"""

from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.examples import examples
from tests.law.push_hub import ModelHub
from tests.law.push_log import CHUNK_BYTES, Model
from tests.law.push_world import World

numbers = st.integers(0, 9)
statuses = st.sampled_from([200, 307, 401, 403, 404, 408, 429, 500, 502, 503])


class PushMachine(RuleBasedStateMachine):
    """One edge, one to three hubs, and everything that can happen to them."""

    @initialize(hubs=st.integers(1, 3), seed=st.integers(0, 2**16), has_clone=st.booleans())
    def begin(self, hubs: int, seed: int, has_clone: bool) -> None:
        """A disk that is lost unnoticed while a clone shows itself is one fault too many."""
        self.has_clone = has_clone
        self.world = World([ModelHub(f"http://hub-{i}") for i in range(hubs)], Random(seed))
        self.world.beat_all()
        self.clones = 0

    def hub(self, number: int) -> ModelHub:
        """One of the hubs."""
        return self.world.hubs[number % len(self.world.hubs)]

    @rule(count=st.integers(1, 3), records=st.integers(1, 4), large=st.booleans())
    def produce(self, count: int, records: int, large: bool) -> None:
        for _ in range(count):
            self.world.log.produce(records, CHUNK_BYTES if large else 500)

    @rule()
    def raise_alert(self) -> None:
        self.world.log.produce(1, 200, alert=True)

    @rule(records=st.integers(1, 4), number=numbers, everywhere=st.booleans(), status=st.booleans())
    def produce_poison(self, records: int, number: int, everywhere: bool, status: bool) -> None:
        poison = self.world.log.produce(records, 800)[0]
        for hub in self.world.hubs if everywhere else [self.hub(number)]:
            hub.refused_records.add(poison)
            hub.refuses_by_status = status

    @rule()
    def work(self) -> None:
        self.world.work()

    @rule(count=st.integers(1, 4), seconds=st.sampled_from([0.0, 0.3, 3.0, 40.0]))
    def exchange(self, count: int, seconds: float) -> None:
        """What ordinary moments bring: data gathers, goes, and is answered."""
        for _ in range(count):
            self.world.work()
            self.world.now += 0.06
            self.world.work()
            for flight in [*self.world.flights]:
                self.world.answer(flight)
            self.world.now += seconds

    @rule(records=st.integers(1, 3))
    def produce_and_exchange(self, records: int) -> None:
        self.world.log.produce(records, 500)
        self.exchange(1, 0.0)

    @rule(number=numbers)
    def deliver(self, number: int) -> None:
        if self.world.flights:
            self.world.deliver(self.world.flights[number % len(self.world.flights)])

    @rule(number=numbers)
    def answer(self, number: int) -> None:
        if self.world.flights:
            self.world.answer(self.world.flights[number % len(self.world.flights)])

    @rule(number=numbers)
    def ask(self, number: int) -> None:
        self.world.ask(self.hub(number))

    @rule(number=numbers)
    def hear(self, number: int) -> None:
        if self.world.beats:
            self.world.hear(*self.world.beats.pop(number % len(self.world.beats)))

    @rule(seconds=st.sampled_from([0.01, 0.06, 1.0, 5.0, 31.0, 400.0]))
    def pass_time(self, seconds: float) -> None:
        self.world.now += seconds

    @rule()
    def hurry(self) -> None:
        self.world.talk.hurry(self.world.now)

    @rule()
    def release(self) -> None:
        self.world.release()

    @rule()
    def replicate(self) -> None:
        self.world.replicate()

    @rule(number=numbers, up=st.booleans())
    def go_or_return(self, number: int, up: bool) -> None:
        self.hub(number).is_up = up

    @rule(
        number=numbers,
        status=statuses,
        retry_after=st.none() | st.sampled_from([0.0, 5.0, 60.0]),
        is_date=st.booleans(),
    )
    def feel(self, number: int, status: int, retry_after: float | None, is_date: bool) -> None:
        hub = self.hub(number)
        hub.status, hub.retry_after, hub.is_after_a_date = status, retry_after, is_date

    @rule(number=numbers, bytes_max=st.sampled_from([None, 100, 700, 3000, CHUNK_BYTES]))
    def limit_bodies(self, number: int, bytes_max: int | None) -> None:
        self.hub(number).body_bytes_max = bytes_max

    @rule(number=numbers, loses=st.booleans())
    def lose_replies(self, number: int, loses: bool) -> None:
        self.hub(number).loses_replies = loses

    @rule(number=numbers, credit=st.none() | st.sampled_from([0.0, 1000.0, 1e9]))
    def give_credit(self, number: int, credit: float | None) -> None:
        self.hub(number).credit = credit

    @precondition(lambda self: not self.has_clone)
    @rule(number=numbers)
    def lose_disk(self, number: int) -> None:
        if self.world.may_lose(self.hub(number)):
            self.world.lose_disk(self.hub(number))

    @precondition(lambda self: self.has_clone)
    @rule(number=numbers, ahead=st.integers(0, 2))
    def clone_writes(self, number: int, ahead: int) -> None:
        """A copy of this edge pushes what it wrote after the copy was made."""
        hub, log = self.hub(number), self.world.log
        seq = max(hub.have(log.epoch).last + 1, log.head_seq - 1 + ahead)
        before = hub.disk.get((log.epoch, seq - 1))
        self.clones += 1
        previous = before.hash if before else b"the clone's"
        clone = Model(log.epoch, seq, previous, (-self.clones,), 300)
        hub.disk.setdefault((log.epoch, seq), clone)

    @invariant()
    def counters_are_sound(self) -> None:
        """A circuit counts exactly the pushes that are under way."""
        if hasattr(self, "world"):
            for view in self.world.known.views.values():
                under_way = sum(flight.view is view for flight in self.world.flights)
                assert view.circuit.pushes == under_way

    def teardown(self) -> None:
        """In the end the weather is good, and everything arrives."""
        if hasattr(self, "world"):
            self.world.come_to_rest()
            self.world.judge()


TestPushMachine = PushMachine.TestCase
TestPushMachine.settings = settings(
    max_examples=examples(200),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
