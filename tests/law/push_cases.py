"""How the cases of the push conversation begin, and how one push in them is answered."""

from random import Random

from edge.push import Turned, Verdict
from tests.law.push_flight import Flight
from tests.law.push_hub import ModelHub
from tests.law.push_world import World

LINGER_SECONDS = 0.05


def world(hubs: int = 2, chunks: int = 1, *, records: int = 1, size: int = 500) -> World:
    """An edge that has heard of its hubs, with chunks that have gathered long enough."""
    made = World([ModelHub(f"http://hub-{i}") for i in range(hubs)], Random(5))
    made.beat_all()
    for _ in range(chunks):
        made.log.produce(records, size)
    gather(made)
    return made


def gather(made: World) -> None:
    """Let what is there be worth a push, and go."""
    made.work()
    made.now += LINGER_SECONDS
    made.work()


def wait_for_a_push(made: World) -> None:
    """Let the time pass until something is under way."""
    while not made.flights:
        until = made.work().until
        assert until is not None, "it waits for news, and there will be none"
        made.now = until
        made.work()


def first_of(made: World) -> ModelHub:
    """The hub that the edge prefers."""
    url = made.known.order(made.now)[0].url
    return next(hub for hub in made.hubs if hub.url == url)


def other_than(made: World, hub: ModelHub) -> ModelHub:
    """The second of two hubs."""
    (other,) = [each for each in made.hubs if each is not hub]
    return other


def taken_off(made: World) -> Flight:
    """The one push that is under way, out of the model's hands: the test answers it."""
    (flight,) = made.flights
    made.flights.remove(flight)
    return flight


def turn(made: World, verdict: Verdict, seconds: float = 0.01) -> None:
    """Answer the push that is under way with anything but a receipt."""
    flight = taken_off(made)
    made.talk.on_reply(Turned(flight.step.batch, verdict, seconds), made.now)


def answer_all(made: World) -> None:
    """Let the answers to all pushes that are under way arrive."""
    for flight in [*made.flights]:
        made.answer(flight)


def asked(made: World) -> list[str]:
    """The hubs to which pushes are under way."""
    return [flight.hub.url for flight in made.flights]
