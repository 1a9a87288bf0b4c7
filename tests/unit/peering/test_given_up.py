"""A hub that people gave up and let back in while it ran on: what it orders still reaches the others."""

from hub.peering.exchange_values import Taken
from shared.merge import Intent, NodeRecord
from shared.stamp import Stamp
from tests.law.exchange_world import Hub


def order(field: str, value: int) -> NodeRecord:
    return NodeRecord("edge-1", intent={field: Intent(value, Stamp(value, 0, "a"))})


def push(one: Hub, other: Hub) -> None:
    for letter in one.exchange.flush():
        other.exchange.take_push(letter, 0)


def test_orders_of_a_hub_whose_stream_was_retired_come_with_the_next_push() -> None:
    """Its stream is no more for the others, so that they never note how far it was: a part that builds
    on what came before must be taken all the same, and be told on as a change of theirs."""
    back, other = Hub("a"), Hub("b")
    back.exchange.replica.originate(order("first", 1))
    push(back, other)
    while other.exchange.retire(50, {"a"}):
        pass
    assert ("a", back.exchange.replica.own[1]) in other.exchange.replica.retired
    for value in (2, 3):
        back.exchange.replica.originate(order("first", value))
        push(back, other)
        assert other.exchange.replica.records["edge-1"].intent_value("first") == value
    assert not other.exchange.replica.taken[Taken.EARLY]
    assert other.exchange.replica.rescued == 2
    assert [item.node for letter in other.exchange.flush() for item in letter.items] == ["edge-1"]
