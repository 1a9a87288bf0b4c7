"""The rules behind machines on a hub: what is selected, what waits, and what an error says."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.machines import queue_rules
from hub.machines.bulk_rules import op_id_of, request_id_of
from hub.machines.faults import check_speaker, told
from hub.machines.params import ListMachines
from hub.machines.queue_rules import Book, Waiting, added, books_of, closed, open_orders, tidied
from hub.machines.sieve import count_of, may_have, only, sieve_of
from hub.machines.told import newest_of, operation_of
from shared.errors import RpcError
from shared.merge import Intent, NodeRecord, Observation, merge
from shared.orders import QueuedOrder
from shared.stamp import Stamp
from tests.examples import examples

VM = {
    "id": "v-1",
    "name": "web-1",
    "node_id": "edge-1",
    "kind": "vm",
    "state": "running",
    "status": "running",
    "image": "alpine",
    "seq": 7,
    "labels": {"tier": "web"},
    "freshness": "live",
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("asked", "is_wanted"),
    [
        ({}, True),
        ({"name": "web-*"}, True),
        ({"name": "web"}, False),
        ({"name": "WEB-?"}, False),
        ({"state": "running"}, True),
        ({"state": ["stopped", "failed"]}, False),
        ({"kind": "sandbox"}, False),
        ({"label": "tier=web"}, True),
        ({"label": ["tier", "tier!=web"]}, False),
        ({"text": "ALP"}, True),
        ({"text": "beta"}, False),
        ({"since_seq": 6}, True),
        ({"since_seq": 7}, False),
    ],
)
def test_the_conditions_of_a_list(asked: dict[str, Any], is_wanted: bool) -> None:
    sieve = sieve_of(ListMachines(**asked))
    assert sieve.lets_through(VM) is is_wanted
    assert sieve.lets_all_through is (not asked)


def test_a_machine_of_a_silent_node_is_in_no_known_state() -> None:
    lost = {**VM, "freshness": "unreachable"}
    assert not sieve_of(ListMachines(state="running")).lets_through(lost)
    assert sieve_of(ListMachines(state="unknown")).lets_through(lost)


def test_only_the_fields_that_are_asked_for() -> None:
    assert only(VM, ["state", "nothing"]).keys() == {"id", "name", "node_id", "state"}
    assert only(VM, None) is VM


@given(JSON)
@settings(max_examples=examples(200))
def test_whatever_a_node_tells_is_counted_and_searched(vms: Any) -> None:
    seen = Observation(1, 1, 1, "hub-1", {"vms": vms})
    assert count_of(seen) == (len(vms) if isinstance(vms, list) else 0)
    assert may_have(seen, "v-1") in (True, False)


# ---- what waits


def order(name: str, expires_ms: int = 1000, at_ms: int = 0) -> Waiting:
    return Waiting(QueuedOrder(name, "vm.stop", "v-1", {}, "admin", "hub-1"), at_ms, expires_ms)


def test_an_order_is_open_until_somebody_says_that_it_is_over_or_its_time_comes() -> None:
    books = {"queued:a": Book([order("r-1"), order("r-2", 500)])}
    assert [each.id for each in open_orders(books, 0)] == ["r-1", "r-2"]
    assert [each.id for each in open_orders(books, 500)] == ["r-1"]
    books["queued:b"] = Book([], {"r-1": 1000})
    assert [each.id for each in open_orders(books, 0)] == ["r-2"]


def test_an_order_that_is_over_cannot_be_given_again() -> None:
    books = {"queued:a": Book([order("r-1")]), "queued:b": Book([], {"r-1": 1000})}
    assert added(books, "queued:b", order("r-1"), 0) is None


def test_what_is_over_is_said_until_the_order_would_have_been_too_late() -> None:
    books = {"queued:a": Book([order("r-1")])}
    book = closed(books, "queued:b", ["r-1", "r-9"], 0)
    assert book == Book([], {"r-1": 1000})
    assert tidied({**books, "queued:b": book}, "queued:a", 0) == Book()
    assert tidied({"queued:b": book}, "queued:b", 1000) == Book()
    assert closed(books, "queued:b", ["r-9"], 0) is None


def test_what_waits_stays_small_in_bytes_as_well() -> None:
    params = {"patch": {"description": "x" * 15_000}}
    big = [
        Waiting(QueuedOrder(f"r-{number}", "vm.update", "v-1", params), 0, 1000)
        for number in range(5)
    ]
    books = dict[str, Book]()
    for each in big[:4]:
        queue_rules.check_order(each.order)
        book = added(books, "queued:a", each, 0)
        assert book is not None
        books["queued:a"] = book
    with pytest.raises(RpcError, match="bytes in all"):
        added(books, "queued:a", big[4], 0)
    too_big = QueuedOrder("r", "vm.update", "v-1", {"patch": "x" * 20_000})
    with pytest.raises(RpcError, match="holds"):
        queue_rules.check_order(too_big)
    other = QueuedOrder("r", "vm.exec", "v-1", {})
    with pytest.raises(RpcError, match="cannot wait"):
        queue_rules.check_order(other)


STEPS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["put", "end", "tidy"]), st.integers(0, 5)),
    max_size=30,
)


@given(STEPS, st.randoms())
@settings(max_examples=examples(200))
def test_an_order_that_is_over_anywhere_never_opens_again(steps: Any, rng: Any) -> None:
    """Whatever hubs do, in whatever order their records meet: with all of them merged."""
    hubs = {name: NodeRecord("edge-1") for name in "abc"}
    ended, given_ = set[str](), set[str]()
    for number, (hub, what, which) in enumerate(steps, 1):
        mine, name = f"queued:{hub}", f"r-{which}"
        books = books_of(hubs[hub])
        book: Book | None = tidied(books, mine, 0)
        if what == "put":
            book = added(books, mine, order(name), 0)
            given_ |= {name} if book is not None else set()
        elif what == "end":
            book = closed(books, mine, [name], 0)
            ended |= {name} if book is not None else set()
        if book is not None:
            value = queue_rules.to_value(book)
            change = NodeRecord("edge-1", intent={mine: Intent(value, Stamp(number, 0, hub))})
            hubs[hub] = merge(hubs[hub], change)
        other = rng.choice("abc")
        hubs[other] = merge(hubs[other], hubs[hub])
    whole = merge(merge(hubs["a"], hubs["b"]), hubs["c"])
    assert {each.id for each in open_orders(books_of(whole), 0)} == given_ - ended


@given(JSON)
@settings(max_examples=examples(200))
def test_a_book_of_a_peer_may_be_anything(value: Any) -> None:
    record = NodeRecord("edge-1", intent={"queued:x": Intent(value, Stamp(1, 0, "x"))})
    for each in open_orders(books_of(record), 0):
        assert each.id


# ---- what nodes told, and errors


@given(st.dictionaries(st.sampled_from(["attributes", "time", "node", "body"]), JSON))
@settings(max_examples=examples(100))
def test_whatever_an_event_says_is_an_operation_or_none(event: Any) -> None:
    assert operation_of(event) is None or operation_of(event)


def event(op_id: str, state: str) -> dict[str, Any]:
    return {"attributes": {"op.id": op_id, "op.state": state}, "node": "edge-1"}


def test_the_end_of_an_operation_counts_in_whatever_order_it_is_told() -> None:
    events = [event("1", "running"), event("2", "failed"), event("1", "done"), {"body": "x"}]
    found = {each["op_id"]: each["state"] for each in newest_of(events)}
    assert found == {"1": "done", "2": "failed"}


def test_an_error_says_where_the_path_ended_and_whether_to_ask_again() -> None:
    hops = [{"hub": "hub-1", "ms": 1.0, "error": "x"}, {"hub": "hub-2", "ms": 2.0}]
    error = RpcError("busy", "x", {"hops": hops, "op_id": "1"})
    data = told(error, "edge-1", "hub-1", "vm.start", "r-1").data
    assert (data["hop"], data["retryable"], data["request_id"]) == ("hub-2", True, "r-1")
    assert data["path"] == {"served_by": "hub-1", "hops": hops}
    final = told(RpcError("conflict", "x", {"retryable": True}), "edge-1", "hub-1", "vm.start")
    assert (final.data["hop"], final.data["retryable"]) == ("hub-1", False)


def test_an_answer_of_another_node_is_no_answer() -> None:
    check_speaker("edge-1", "hub-2", {"node_id": "edge-1"})
    check_speaker("edge-1", "hub-2", {"items": []})
    wrong_ones: list[Any] = [{"node_id": "edge-2"}, [], None]
    for wrong in wrong_ones:
        with pytest.raises(RpcError) as raised:
            check_speaker("edge-1", "hub-2", wrong)
        assert (raised.value.kind, raised.value.data["hop"]) == ("outcome_unknown", "hub-2")


def test_request_ids_of_a_bulk_order_are_the_same_on_every_hub_and_differ_by_machine() -> None:
    one = request_id_of("b-1", "stop", "edge-1", "v-1")
    assert one == request_id_of("b-1", "stop", "edge-1", "v-1")
    others = [
        request_id_of("b-2", "stop", "edge-1", "v-1"),
        request_id_of("b-1", "start", "edge-1", "v-1"),
        request_id_of("b-1", "stop", "edge-2", "v-1"),
        request_id_of("b-1", "stop", "edge-1", "v-2"),
    ]
    assert len({one, *others}) == 5
    assert op_id_of("b-1") == op_id_of("b-1") != op_id_of("b-2")
