"""Who was offline outlives a restart: no death is told twice, and no return is kept quiet."""

from pathlib import Path

from hub.nodes.offline_book import OfflineBook
from hub.store import offline_table
from hub.store.files import open_files
from shared.liveness import NodeState


def test_only_a_node_that_is_online_is_offline_no_longer() -> None:
    book = OfflineBook()
    for state in (NodeState.OFFLINE, NodeState.UNKNOWN, NodeState.LATE, NodeState.OFFLINE):
        book.turned("edge-1", state, 7)
    assert "edge-1" in book
    assert book.take_unsaved() == {"edge-1": 7}
    book.turned("edge-1", NodeState.ONLINE, 9)
    assert "edge-1" not in book
    assert book.take_unsaved() == {"edge-1": None}
    assert book.take_unsaved() == {}


def test_a_node_that_was_never_offline_costs_no_writing() -> None:
    book = OfflineBook()
    for state in (NodeState.ONLINE, NodeState.LATE, NodeState.SUSPECT, NodeState.ONLINE):
        book.turned("edge-1", state, 7)
    assert book.take_unsaved() == {}


def test_what_could_not_be_written_waits_and_what_changed_since_wins() -> None:
    book = OfflineBook()
    book.turned("edge-1", NodeState.OFFLINE, 7)
    book.turned("edge-2", NodeState.OFFLINE, 8)
    unsaved = book.take_unsaved()
    book.turned("edge-2", NodeState.ONLINE, 9)
    book.put_back(unsaved)
    assert book.take_unsaved() == {"edge-1": 7, "edge-2": None}


def test_a_node_that_was_removed_while_the_hub_was_down_is_forgotten() -> None:
    book = OfflineBook()
    book.load({"edge-1": 7, "edge-2": 8}, {"edge-1"})
    assert book.since_ms == {"edge-1": 7}
    assert book.take_unsaved() == {"edge-2": None}


async def test_it_is_on_disk_when_the_store_is_opened_again(tmp_path: Path) -> None:
    files = open_files(tmp_path, "NORMAL", threads=True)
    changes = {"edge-1": 7, "edge-2": 8}
    await files.database.write(lambda db: offline_table.save(db, changes))
    await files.database.write(lambda db: offline_table.save(db, {"edge-1": None, "edge-3": 9}))
    files.close()
    files = open_files(tmp_path, "NORMAL", threads=True)
    assert await files.database.write(offline_table.load) == {"edge-2": 8, "edge-3": 9}
    files.close()
