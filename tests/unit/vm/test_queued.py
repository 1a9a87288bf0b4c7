"""Orders that waited on hubs: done once by an edge, and told until every hub has heard."""

import asyncio
from typing import Any

import pytest

from edge.vm.queued import TOLD_SECONDS, WAITING_MAX, QueuedOrders
from shared.errors import RpcError
from shared.orders import DONE, QueuedOrder

from .fake_node import FakeNode


def order(name: str, method: str = "vm.stop", **params: Any) -> QueuedOrder:
    return QueuedOrder(name, method, "box", params, "ada", "hub-1")


async def test_an_order_is_done_with_who_gave_it(fake: FakeNode) -> None:
    await fake.create()
    beats = list[int]()
    queued = QueuedOrders(fake.service.call, lambda: beats.append(1))
    queued.heard("hub-1", [order("r-1", mode="force")])
    queued.heard("hub-2", [order("r-1", mode="force")])
    await queued.step()
    assert (queued.report(), len(beats), queued._waiting) == ({"r-1": DONE}, 1, {})
    newest = (await fake.operations())[0]
    assert (newest["request_id"], newest["method"]) == ("r-1", "vm.stop")
    assert (newest["requested_by"], newest["via_hub"]) == ("ada", "hub-1")


@pytest.mark.parametrize("method", ["vm.create", "vm.exec", "edge.drain", "vm.console.send"])
async def test_only_some_orders_may_wait(fake: FakeNode, method: str) -> None:
    """Whatever a hub hands over."""
    queued = QueuedOrders(fake.service.call, lambda: None)
    queued.heard("hub-1", [order("r-1", method)])
    await queued.step()
    assert queued.report()["r-1"].startswith("invalid_params")


async def test_what_is_refused_says_why(fake: FakeNode) -> None:
    queued = QueuedOrders(fake.service.call, lambda: None)
    queued.heard("hub-1", [order("r-1"), order("r-2", "vm.stop", surprise=1)])
    await queued.step()
    await queued.step()
    assert queued.report()["r-1"].startswith("not_found")
    assert queued.report()["r-2"].startswith("invalid_params")


async def test_a_machine_that_is_busy_is_asked_again() -> None:
    refusals = ["busy", "internal"]

    async def call(method: str, params: dict[str, Any]) -> None:
        if refusals:
            raise RpcError(refusals.pop(), "later")

    queued = QueuedOrders(call, lambda: None)
    for wanted in ({}, {}, {"r-1": DONE}):
        queued.heard("hub-1", [order("r-1")])
        await queued.step()
        assert queued.report() == wanted


async def test_what_became_of_an_order_is_told_while_hubs_ask_and_some_time_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def call(method: str, params: dict[str, Any]) -> None:
        """It is done."""

    queued = QueuedOrders(call, lambda: None)
    queued.heard("hub-1", [order("r-1")])
    await queued.step()
    loop = asyncio.get_running_loop()
    later = loop.time() + TOLD_SECONDS + 1
    monkeypatch.setattr(loop, "time", lambda: later)
    assert queued.report() == {}
    queued.heard("hub-2", [order("r-1")])
    assert (queued.report(), len(queued._waiting)) == ({"r-1": DONE}, 0)


async def test_no_more_than_some_orders_are_taken_in() -> None:
    async def call(method: str, params: dict[str, Any]) -> None:
        raise AssertionError("nothing is done here")

    queued = QueuedOrders(call, lambda: None)
    for hub in range(9):
        queued.heard(f"hub-{hub}", [order(f"r-{hub}-{number}") for number in range(1000)])
    assert len(queued._waiting) == WAITING_MAX
