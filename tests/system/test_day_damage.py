"""A day file that is spoilt or gone: its peer brings it back, an event says so, and the rest goes on."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.hub_files import day_files, rows
from tests.soak.verdict import verify
from tests.system.identity import assert_identical
from tests.system.oracle import SERVICE, Sender, has_all
from tests.system.processes import Fleet, HubProcess, each_shows, eventually

OLD_RECORDS = 2000
MENDED_SECONDS = 60.0
TOLD = ("store.damaged", "store.refilled")
"""What a hub tells, first and last."""


Spoil = Callable[[Path], None]


def overwrite(path: Path) -> None:
    """Noise in the middle of a file, in place, under the eyes of whoever has it open."""
    _overwrite(path, 1)


def overwrite_the_end(path: Path) -> None:
    """Noise where new chunks would go."""
    _overwrite(path, 2)


def _overwrite(path: Path, third: int) -> None:
    size = path.stat().st_size
    assert size > 40_000  # The first pages, which make it a database, stay what they are.
    with path.open("r+b") as file:
        file.seek(size // 3 * third)
        file.write(b"\xa5" * (size // 3))


def change_a_body(path: Path) -> None:
    """Some other bytes within one chunk, in place: the database itself stays sound."""
    body: bytes
    ((body,),) = rows(path, "SELECT body FROM body ORDER BY arrival LIMIT 1 OFFSET 2")
    middle = body[len(body) // 2 :][:16]
    with path.open("r+b") as file:
        file.seek(path.read_bytes().index(middle))
        file.write(bytes(255 - each for each in middle))


def delete(path: Path) -> None:
    """The file is gone, with what SQLite keeps beside it."""
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()


def garbage(path: Path) -> None:
    """A file of the same name that is no database."""
    delete(path)
    path.write_bytes(b"no database at all " * 5000)


@dataclass
class Pair:
    """Two hubs and an edge. What the edge has sent so far lies in the day file of the first hub, and
    nothing of it in a write-ahead log: that hub was stopped since."""

    hub: HubProcess
    peer: HubProcess
    old: list[str]
    sender: Sender
    told: dict[str, int]
    """How many events of a kind there were before."""

    @property
    def day_file(self) -> Path:
        """The day file with the edge's logs."""
        files = (self.hub.database.parent / "days").glob("*.logs.db")
        return max(files, key=lambda path: path.stat().st_size)


def check_point(hub: HubProcess) -> None:
    """What a hub that runs does now and then: the day files themselves hold everything."""
    for path in day_files(hub.database.parent):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


Sending = tuple[HubProcess, HubProcess, Sender]


def started(fleet: Fleet) -> Sending:
    """Two hubs, and an edge that has sent to both."""
    first, second = fleet.two_hubs()
    edge = fleet.edge("edge-1", [first, second])
    fleet.settled([first, second], edge)
    with Sender(edge.otlp_url) as sender:
        sender.until_acked(OLD_RECORDS)
    return first, second, sender


@pytest.fixture(scope="module")
def lasting(lasting_fleet: Fleet) -> Sending:
    """For all tests that leave both hubs whole."""
    return started(lasting_fleet)


@pytest.fixture
def pair(lasting: Sending) -> Pair:
    """With what was told and mended before."""
    return stopped(*lasting)


@pytest.fixture
def new_pair(fleet: Fleet) -> Pair:
    """In whose files nothing was ever written twice."""
    return stopped(*started(fleet))


def stopped(hub: HubProcess, peer: HubProcess, sender: Sender) -> Pair:
    """Wait until both hubs are whole and tell the same; stop the first."""
    for each in (hub, peer):
        eventually(partial(has_all, each, sender), f"{each.name} has everything")
    each_shows([hub, peer], damaged_chunks, 0)
    each_shows([hub], lambda each: each.holds_in_buffer("edge-1"), 0)
    told = {}
    for kind in TOLD:
        here = events(hub, kind)
        each_shows([peer], partial(_events_of, kind), here)
        told[kind] = len(here)
    hub.stop()
    check_point(hub)
    return Pair(hub, peer, list(sender.acked), sender, told)


def _events_of(kind: str, asked: HubProcess) -> list[dict[str, Any]]:
    return events(asked, kind)


def bodies(hub: HubProcess) -> set[str]:
    """What a hub answers when it is asked for everything, as far as it can read it."""
    return {each["body"] for each in hub.records(service=SERVICE)}


def damaged_chunks(hub: HubProcess) -> int:
    """How many chunks an answer says are lacking; an answer that lacks any calls itself partial."""
    coverage: dict[str, Any] = hub.call("log.query", limit=1)["coverage"]
    assert coverage["partial"] or not coverage["damaged_chunks"]
    return int(coverage["damaged_chunks"])


def events(hub: HubProcess, kind: str) -> list[dict[str, Any]]:
    """The events of this kind that the first hub has told of itself, asked of any hub."""
    items: list[dict[str, Any]] = hub.call("event.list", nodes=["hub-1"], type=kind)["items"]
    return items


def tells_again(pair: Pair, kind: str, asked: HubProcess) -> list[dict[str, Any]]:
    """The events of this kind that there were not before."""
    found = events(asked, kind)
    return found[: len(found) - pair.told[kind]]


def reads_all(hub: HubProcess) -> bool:
    """Whether the hub has noticed damage, after everything that it holds was read once more."""
    bodies(hub)
    verify(hub, "edge-1")
    return damaged_chunks(hub) > 0


def is_whole(hub: HubProcess) -> bool:
    """Whether nothing is lacking any more, as answers and the bytes themselves tell it."""
    return damaged_chunks(hub) == 0 and verify(hub, "edge-1") == ("verified", [])


def assert_mended(pair: Pair) -> None:
    """Everything is there again, both hubs are alike, and both tell what happened."""
    eventually(partial(is_whole, pair.hub), "the day is whole again", MENDED_SECONDS)
    for hub in (pair.hub, pair.peer):
        eventually(partial(has_all, hub, pair.sender), f"{hub.name} has everything")
    assert_identical([pair.hub, pair.peer])
    for hub in (pair.hub, pair.peer):
        assert bodies(hub) == set(pair.sender.acked)
        for kind in TOLD:
            look = partial(tells_again, pair, kind, hub)
            found = eventually(look, f"{hub.name} knows of {kind}")
            day, signal, _ = pair.day_file.name.split(".")
            about = {(each["attributes"]["day"], each["attributes"]["signal"]) for each in found}
            assert about == {(day, signal)}


@pytest.mark.parametrize("spoil", [overwrite, overwrite_the_end, delete])
def test_a_day_file_that_is_spoilt_under_a_running_hub_is_refilled(
    pair: Pair, spoil: Spoil
) -> None:
    assert_refilled_under_a_running_hub(pair, spoil)


def test_a_chunk_that_is_changed_under_a_running_hub_is_refilled(new_pair: Pair) -> None:
    assert_refilled_under_a_running_hub(new_pair, change_a_body)


def assert_refilled_under_a_running_hub(pair: Pair, spoil: Spoil) -> None:
    """While the peer is away nobody can bring it back: answers say so, and new data goes on."""
    pair.hub.start()
    assert bodies(pair.hub) == set(pair.old)
    spoil(pair.day_file)
    pair.peer.kill()
    eventually(partial(reads_all, pair.hub), "the hub notices", MENDED_SECONDS)
    with pair.sender as sender:
        sender.until_acked(500)
        new = set(sender.acked) - set(pair.old)
        eventually(lambda: bodies(pair.hub) >= new, "new records are found")
        assert damaged_chunks(pair.hub) > 0
        pair.peer.start()
        assert bodies(pair.peer) >= set(pair.old)
    assert_mended(pair)


@pytest.mark.parametrize("spoil", [overwrite, overwrite_the_end, delete, garbage])
def test_a_day_file_that_was_spoilt_while_the_hub_was_stopped_is_refilled(
    pair: Pair, spoil: Spoil
) -> None:
    """The hub starts all the same, tells that it has lost something, and has it again soon."""
    spoil(pair.day_file)
    pair.hub.start()
    with pair.sender as sender:
        sender.until_acked(500)
        look = partial(tells_again, pair, "store.damaged", pair.peer)
        eventually(look, "the peer hears of it")
    assert_mended(pair)
