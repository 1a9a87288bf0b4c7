"""What hubs say to each other is read with care: anything else than a good message is refused."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.peering import exchange_wire
from hub.peering.digests import TABLE_BYTES
from hub.peering.exchange_wire import (
    DOTS_MAX,
    MESSAGE_BYTES_MAX,
    RECORDS_MAX,
    VERSION,
    Answer,
    Ask,
    Item,
    Listing,
    Message,
    Pulse,
    Push,
    Swap,
    Table,
    dots_of,
)
from shared.errors import BadInput, Refused, TooLarge

HEAD: dict[str, Any] = {"version": VERSION, "cluster": "c1", "sender": "hub-1", "life": "s.1"}
STREAM = ("hub-1", "s.1")
ITEM = Item("n1", [(0, 7)], b"{}")
GOOD: list[Message] = [
    Push(**HEAD, streams=[STREAM], items=[ITEM], claims=(1, 7)),
    Pulse(**HEAD, position=3, digest="d", knows="", vector=[("hub-1", "s.1", [(1, 7)])]),
    Ask(**HEAD, asked_life="s.2", after=0, have=[]),
    Answer(**HEAD, through=9, streams=[STREAM], items=[ITEM], vector=[]),
    Table(**HEAD, table=bytes(TABLE_BYTES)),
    Listing(**HEAD, buckets=[1], after="", nodes=[("n1", 2**64 - 1)], is_last=True),
    Swap(**HEAD, streams=[STREAM], items=[ITEM], wanted=["n1"]),
]


@pytest.mark.parametrize("message", GOOD)
def test_a_message_is_read_as_it_was_written(message: Message) -> None:
    assert exchange_wire.read(exchange_wire.write(message), type(message), "c1") == message


@given(st.binary(max_size=200), st.sampled_from(GOOD))
def test_no_bytes_do_more_harm_than_being_refused(body: bytes, like: Message) -> None:
    with pytest.raises(BadInput):
        exchange_wire.read(body, type(like), "c1")


@given(st.data(), st.sampled_from(GOOD))
def test_a_message_with_damage_is_refused_or_read(data: st.DataObject, message: Message) -> None:
    body = bytearray(exchange_wire.write(message))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = exchange_wire.read(bytes(body), type(message), "c1")
    except (BadInput, Refused):
        return
    assert isinstance(read, type(message))


def changed(message: Message, **changes: object) -> bytes:
    """A message with other fields."""
    return msgspec.msgpack.encode(
        {**msgspec.to_builtins(message, builtin_types=(bytes,)), **changes}
    )


def test_another_version_and_another_cluster_are_refused_with_a_reason() -> None:
    ask = GOOD[2]
    with pytest.raises(BadInput, match="hub-1 speaks version 3 of the talk between hubs"):
        exchange_wire.read(changed(ask, version=3, after="of another type"), Ask, "c1")
    with pytest.raises(Refused, match="belongs to the cluster 'c2'"):
        exchange_wire.read(changed(ask, cluster="c2"), Ask, "c1")
    with pytest.raises(BadInput, match="this is a message of the kind ask and not pulse"):
        exchange_wire.read(exchange_wire.write(ask), Pulse, "c1")


def test_fields_of_newer_releases_are_passed_over() -> None:
    assert exchange_wire.read(changed(GOOD[2], newer={"of": [1]}), Ask, "c1") == GOOD[2]


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (0, {"sender": "../hub"}),
        (0, {"life": "a b"}),
        (0, {"items": [ITEM] * (RECORDS_MAX + 1)}),
        (0, {"items": [("n 1", [(0, 7)], b"{}")]}),
        (0, {"items": [("n1", [(0, 0)], b"{}")]}),
        (0, {"items": [("n1", [(0, 7)] * (DOTS_MAX + 1), b"{}")]}),
        (0, {"items": [("n1", [(0, 7)], "{}")]}),
        (0, {"items": [("n1", [(0, 7)], bytes(exchange_wire.RECORD_BYTES_MAX + 1))]}),
        (0, {"streams": [("hub-1", "s.1", "?")]}),
        (0, {"claims": (0, 1)}),
        (1, {"position": -1}),
        (1, {"vector": [("hub-1", "s.1", [(1, 2**63)])]}),
        (1, {"vector": [("hub-1", "s.1", [(1,)])]}),
        (1, {"vector": [("hub-1", "s.1", [(n, n) for n in range(1, 5000)])]}),
        (4, {"table": b"short"}),
        (5, {"buckets": [1024]}),
        (5, {"nodes": [("n1", -1)]}),
    ],
)
def test_whatever_passes_a_bound_is_refused(kind: int, changes: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        exchange_wire.read(changed(GOOD[kind], **changes), type(GOOD[kind]), "c1")


def test_a_message_that_is_too_large_is_not_even_looked_at() -> None:
    with pytest.raises(TooLarge):
        exchange_wire.read(bytes(MESSAGE_BYTES_MAX + 1), Push, "c1")


@pytest.mark.parametrize(
    "item",
    [
        Item("n1", [(1, 7)], b"{}"),
        Item("n1", [], b"{}"),
        Item("n1", [(0, 7), (0, 8)], b"{}"),
        Item("n1", [(0, 7)], b"{}", 7),
    ],
)
def test_dots_that_make_no_sense_are_refused(item: Item) -> None:
    with pytest.raises(BadInput):
        dots_of(item, [STREAM])


def test_a_part_of_a_record_bears_one_change() -> None:
    with pytest.raises(BadInput, match="one change"):
        dots_of(Item("n1", [(0, 7), (1, 7)], b"{}", 3), [STREAM, ("hub-2", "s.1")])
    assert dots_of(Item("n1", [(0, 7)], b"{}", 3), [STREAM]) == {STREAM: 7}
