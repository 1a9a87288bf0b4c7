"""Three hubs that are killed in turns hold the same bytes at the end, and one that lost its disk has
them again."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count

from tests.hub_files import remove_store
from tests.system.identity import assert_identical, picture
from tests.system.oracle import (
    SERVICE,
    Sender,
    assert_nothing_lost_or_double,
    assert_whole_chain,
    chunks_on_disk,
    counted,
)
from tests.system.processes import EdgeProcess, Fleet, HubProcess, each_shows, eventually

EDGES = ("edge-1", "edge-2", "edge-3", "edge-4")
ROTATION_SECONDS = 20.0
DOWN_SECONDS = 0.5
SETTLE_SECONDS = 60.0


@contextmanager
def sending(sent: dict[str, Sender]) -> Iterator[None]:
    """All of them send while the context lasts, each on a thread of its own."""
    with ExitStack() as running:
        for sender in sent.values():
            running.enter_context(sender)
        yield


def senders(edges: Sequence[EdgeProcess]) -> dict[str, Sender]:
    """A sender for each edge, by the name of the edge."""
    return {edge.name: Sender(edge.otlp_url, name=edge.name) for edge in edges}


def held_of(hub: HubProcess, edge: str, sender: Sender) -> bool:
    """Whether the disk of a hub has all that an edge has promised to keep."""
    return counted(chunks_on_disk(hub.database, edge)).keys() >= set(sender.acked)


def assert_all_once(hubs: Sequence[HubProcess], sent: dict[str, Sender]) -> None:
    """Wait until every hub has everything; then nothing is missing or double, and each log is whole."""
    for hub in hubs:
        for edge, sender in sent.items():
            eventually(
                partial(held_of, hub, edge, sender), f"{hub.name} has all of {edge}", SETTLE_SECONDS
            )
            chunks = chunks_on_disk(hub.database, edge)
            assert_whole_chain(chunks)
            assert_nothing_lost_or_double(counted(chunks), sender)


def kill_in_turns(hubs: Sequence[HubProcess], edges: Sequence[EdgeProcess]) -> None:
    """SIGKILL a hub and an edge again and again, each in its turn, and everybody at least once."""
    deadline = time.monotonic() + ROTATION_SECONDS
    for turn in count():
        if turn >= len(edges) and time.monotonic() > deadline:
            return
        dying = (hubs[turn % len(hubs)], edges[turn % len(edges)])
        for role in dying:
            role.kill()
        time.sleep(DOWN_SECONDS)
        for role in dying:
            role.start(wait=False)
        for role in dying:
            eventually(role.is_ready, f"{role.name} is ready again")


def test_three_hubs_that_are_killed_in_turns_end_up_with_the_same_bytes(fleet: Fleet) -> None:
    """Four edges send all the time, and die as well: nothing acknowledged is lost or double, and
    every chunk, also of the hubs' own logs, is the same on all hubs, in the same day file."""
    hubs = fleet.hubs(3)
    edges = [fleet.edge(name, hubs) for name in EDGES]
    fleet.settled(hubs, *edges)
    sent = senders(edges)
    with sending(sent):
        kill_in_turns(hubs, edges)
        for sender in sent.values():
            sender.until_acked(50)
    assert_all_once(hubs, sent)
    assert_identical(hubs)
    origins = {key[0] for key in picture(hubs[0].database.parent)}
    assert origins == {*EDGES, *(hub.name for hub in hubs)}


def test_a_hub_with_an_empty_disk_gets_every_chunk_back_into_its_day_file(fleet: Fleet) -> None:
    """Edges send on meanwhile; day files go by the time when the first hub took the data in."""
    hubs = fleet.hubs(3)
    edges = [fleet.edge(name, hubs) for name in EDGES[:2]]
    fleet.settled(hubs, *edges)
    sent = senders(edges)
    with sending(sent):
        for sender in sent.values():
            sender.until_acked(300)
    for edge in sent:  # What is on two hubs comes from these and not from the edge again.
        each_shows(hubs[:1], partial(HubProcess.holds_in_buffer, node=edge), 0)
    before = [received(hub) for hub in hubs[:2]]
    hubs[2].kill()
    remove_store(hubs[2].database.parent)
    with sending(sent):
        hubs[2].start()
        for sender in sent.values():
            sender.until_acked(100)
    assert_all_once(hubs, sent)
    assert_identical(hubs)
    after = received(hubs[2])
    for body, time_ in before[0].items():  # Two hubs may have taken in the same at nearly once.
        assert after[body] in (time_, before[1][body])


def received(hub: HubProcess) -> dict[str, str]:
    """When the cluster took in each record of the oracle, as answers of this hub tell it."""
    return {each["body"]: each["received"] for each in hub.records(service=SERVICE)}
