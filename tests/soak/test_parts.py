"""The parts of the soak: the same seed gives the same blows, and each answer is noted for what it is."""

import random
import threading
from itertools import islice
from pathlib import Path

import httpx
import pytest

from tests.soak.journal import JournalWriter, Promises, read_promises
from tests.soak.oracle import DIALECTS, Connection
from tests.soak.rotation import DOWN_SECONDS, Act, Blow, acts

HUBS = ("hub-1", "hub-2", "hub-3")
EDGES = ("edge-1", "edge-2")


def first_acts(seed: int, count: int) -> list[Act]:
    return list(islice(acts(random.Random(seed), HUBS, EDGES), count))


def test_every_round_kills_each_hub_and_has_every_kind_of_blow() -> None:
    size = len(Blow) - 1 + len(HUBS)
    found = first_acts(1, 5 * size)
    for begin in range(0, len(found), size):
        round_ = found[begin : begin + size]
        assert {act.blow for act in round_} == set(Blow)
        killed = [act.targets for act in round_ if act.blow == Blow.KILL_HUB]
        assert sorted(killed) == [(hub,) for hub in HUBS]


def test_a_seed_tells_the_whole_story() -> None:
    assert first_acts(1, 50) == first_acts(1, 50) != first_acts(2, 50)


def test_every_act_meets_somebody_for_a_bounded_time() -> None:
    for act in first_acts(3, 100):
        shortest, longest = DOWN_SECONDS[act.blow]
        assert shortest <= act.down_seconds <= longest
        assert act.targets
        assert set(act.targets) <= {*HUBS, *EDGES}


def after(tmp_path: Path, answer: int | type[httpx.TransportError]) -> Promises:
    """What the journal says after one request that was answered so."""

    def respond(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, int):
            return httpx.Response(answer)
        raise answer("as arranged", request=request)

    journal = JournalWriter(tmp_path, "c")
    connection = Connection(
        "c", "http://edge", DIALECTS[0], journal, random.Random(1), threading.Event()
    )
    with httpx.Client(transport=httpx.MockTransport(respond)) as client:
        connection.send(client)
    journal.close()
    return read_promises(tmp_path)[0]


@pytest.mark.parametrize(
    ("answer", "verb"),
    [
        (200, "acked"),
        (503, "refused"),
        (400, "refused"),
        (httpx.ConnectError, "unheard"),
        (httpx.ReadTimeout, "unanswered"),
        (httpx.RemoteProtocolError, "unanswered"),
    ],
)
def test_an_answer_is_noted_for_what_it_is(
    tmp_path: Path, answer: int | type[httpx.TransportError], verb: str
) -> None:
    """Only a 200 is a promise; what may or may not have arrived is nothing but sent."""
    told = after(tmp_path, answer)
    counts = {
        "acked": told.records_acked,
        "refused": told.records_refused,
        "unheard": told.records_unheard,
        "unanswered": told.records_unanswered,
    }
    sent = sum(told.sent.values())
    assert counts == {name: sent if name == verb else 0 for name in counts}
    assert sent > 0
