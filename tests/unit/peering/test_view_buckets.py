"""A hub finds the nodes of one bucket among very many without a look at the others."""

import pytest

from hub.peering import view_digest
from hub.peering.view_calls import ViewCalls
from hub.peering.view_digest import bucket_of
from hub.peering.views import ViewBook
from shared.merge import REMOVED, Facts, Intent, NodeRecord
from shared.stamp import Stamp

NODES = 5000
NAMES = [f"edge-{number}" for number in range(NODES)]


async def nobody(*_: object) -> dict[str, object]:
    raise AssertionError("nobody is asked")


@pytest.fixture
def book() -> ViewBook:
    book = ViewBook("hub-1")
    for name in NAMES:
        book.digest.note(None, NodeRecord(name, Facts(1, 1, {})))
    return book


async def test_a_bucket_is_listed_without_a_look_at_other_names(
    book: ViewBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Peers ask for some buckets of 100,000 nodes, while beats are to be answered."""
    mine = sorted(name for name in NAMES if bucket_of(name) == 7)
    monkeypatch.setattr(view_digest, "bucket_of", lambda name: pytest.fail(f"{name} is looked at"))
    answer = await ViewCalls(book, nobody).hub_views_bucket({"bucket": 7})
    assert (list(answer["nodes"]), answer["nodes_total"]) == (mine, len(mine))


def test_a_node_stands_in_its_bucket_once_until_it_is_gone(book: ViewBook) -> None:
    """Whatever is said of it meanwhile."""
    digest, name = book.digest, NAMES[0]
    before = list(digest.in_bucket(bucket_of(name)))
    record = NodeRecord(name, Facts(1, 1, {}))
    for number in (2, 3):
        changed = NodeRecord(name, Facts(1, number, {"n": number}))
        digest.note(record, changed)
        digest.judge(name, "online" if number == 2 else "offline")
        record = changed
    assert list(digest.in_bucket(bucket_of(name))) == before
    gone = Intent({"by": "ada", "at_ms": 1}, Stamp(5, 0, "hub-1"))
    digest.note(record, NodeRecord(name, record.facts, intent={REMOVED: gone}))
    digest.drop(name)
    assert list(digest.in_bucket(bucket_of(name))) == [each for each in before if each != name]
    digest.note(None, record)
    assert list(digest.in_bucket(bucket_of(name))) == before
