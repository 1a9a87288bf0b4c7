"""How a log that was cloned begins a new life."""

from edge.push import NewEpoch, Taken, Wait
from shared.ranges import NOTHING, of_seqs
from shared.receipt import ChunkOutcome, Outcome
from tests.law.push_cases import answer_all, taken_off, world
from tests.law.push_log import Model


def test_a_clone_ends_this_life_once_all_answers_are_there() -> None:
    made = world(hubs=2, chunks=3)
    (flight,) = made.flights
    hub = flight.hub
    other = next(each for each in made.hubs if each is not hub)
    made.log.produce(1, 200, alert=True)
    made.work()
    assert len(made.flights) >= 1
    other.disk["e1", 9] = Model("e1", 9, b"the clone's", (-1,), 300)
    made.ask(other)
    made.hear(*made.beats.pop())
    made.observe()
    assert made.talk.next_step(made.now) == Wait(None)
    for each in [*made.flights]:
        made.answer(each)
    step = made.talk.next_step(made.now)
    assert isinstance(step, NewEpoch)
    assert not step.keep & of_seqs([1, 2, 3])
    assert made.log.head_seq + 1 in step.keep, "what is appended meanwhile is kept too"
    assert made.talk.next_step(made.now) == step
    made.come_to_rest()
    made.judge()


def test_an_answer_to_a_beat_of_a_former_life_is_not_taken_for_the_new_one() -> None:
    made = world(hubs=1, chunks=3)
    hub = made.hubs[0]
    answer_all(made)
    made.ask(hub)
    hub.disk["e1", 7] = Model("e1", 7, b"the clone's", (-1,), 300)
    made.ask(hub)
    made.hear(*made.beats.pop())
    made.work()
    assert made.log.epoch == "e2"
    made.log.produce(1, 500)
    made.hear(*made.beats.pop())
    assert made.known.safe() == NOTHING
    made.release()
    made.come_to_rest()
    made.judge()


def test_a_push_that_is_refused_as_a_clone_begins_a_new_life_and_arrives_in_it() -> None:
    made = world(hubs=1)
    flight = taken_off(made)
    outcome = ChunkOutcome(1, Outcome.REJECTED, "cloned_origin: another log")
    made.talk.on_reply(Taken(flight.step.batch, (outcome,), 0.1), made.now)
    made.work()
    assert (made.log.epoch, made.log.dead) == ("e2", [])
    made.come_to_rest()
    made.judge()
    assert ("e2", 1) in made.hubs[0].disk
