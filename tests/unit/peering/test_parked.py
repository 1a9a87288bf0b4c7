"""Records that could not be applied are kept, bounded, and never claimed."""

from hub.peering.parked import (
    ENTRIES_MAX,
    ENTRY_BYTES_MAX,
    WITHHELD_SPANS_MAX,
    Parked,
    ParkedRecord,
    parked_record,
)
from hub.peering.vector import Stream

A: Stream = ("hub-1", "s.1")


def entry(node: str, first: int, last: int, body: bytes = b"?") -> ParkedRecord:
    """A record that stands for some changes of hub-1."""
    return parked_record(node, "hub-2", 5, "DecodeError: no", body, {A: (first, last)})


def test_what_is_parked_is_withheld_until_the_node_comes_with_all_of_it() -> None:
    parked = Parked()
    assert parked.park(entry("n1", 3, 5))
    assert not parked.park(entry("n1", 4, 7)), "the same bytes are no news"
    assert parked.withheld()[A].spans == ((3, 7),)
    assert not parked.settle("n2", {A: 9})
    assert not parked.settle("n1", {A: 6})
    assert parked.settle("n1", {A: 7})
    assert parked.withheld() == {}
    assert parked.total == 1


def test_it_is_shown_with_its_bytes_its_sender_and_its_reason() -> None:
    parked = Parked()
    parked.park(entry("n1", 1, 1))
    parked.park(entry("n2", 2, 2, b"\xff" * (ENTRY_BYTES_MAX + 1)))
    newest, oldest = parked.newest(10)
    assert (newest["node"], newest["size_bytes"]) == ("n2", ENTRY_BYTES_MAX + 1)
    assert oldest == {
        "node": "n1",
        "sender": "hub-2",
        "at_ms": 5,
        "reason": "DecodeError: no",
        "size_bytes": 1,
        "body": "?",
        "changes": [["hub-1", "s.1", 1, 1]],
    }
    assert len(parked.newest(1)) == 1


def test_bytes_of_the_oldest_go_but_what_they_stood_for_stays_withheld() -> None:
    parked = Parked()
    count = ENTRIES_MAX + 2 * WITHHELD_SPANS_MAX
    for number in range(1, count + 1):
        parked.park(entry(f"n{number}", 2 * number, 2 * number))
    assert len(parked.entries) == ENTRIES_MAX
    withheld = parked.withheld()[A]
    assert all(2 * number in withheld for number in range(1, count + 1))
    assert len(withheld.spans) <= ENTRIES_MAX + WITHHELD_SPANS_MAX
