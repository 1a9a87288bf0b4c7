"""Consoles through hubs: by tickets, over the link or a peer, bounded, and honest about the end."""

import asyncio

import orjson
import pytest

from hub.consoles.part import ConsolePart
from hub.consoles.tickets import TICKET_SECONDS, TICKETS_MAX
from shared.errors import Refused
from shared.streams import WINDOW_BYTES
from tests.api.console_world import (
    FLOOD_BYTES,
    Flooding,
    Hubs,
    Speaking,
    hubs,
    is_closed,
    shown,
    socket,
    words_until,
)
from tests.api.mesh_world import own_events, part_in
from tests.unit.core.test_streams import END

__all__ = ["hubs"]


@pytest.mark.parametrize("through", ["its own link", "a peer"])
async def test_what_is_typed_comes_to_the_machine_and_what_it_shows_comes_back(
    hubs: Hubs, through: str
) -> None:
    edge = await hubs.edge(hubs.one if through == "its own link" else hubs.two)
    viewer = await hubs.view(hubs.one, cols=100, rows=30, requested_by="ann")
    path = (await words_until(viewer, "open"))["open"]
    passed = ["hub-1"] if through == "its own link" else ["hub-1", "hub-2"]
    assert [hop["hub"] for hop in path["hops"]] == passed
    await viewer.send(b"hello")
    assert await shown(viewer, 5) == b"hello"
    (machine,) = edge.machines
    await machine.resized.wait()
    assert machine.sizes == [(100, 30)]
    assert machine.params["requested_by"] == "ann"
    machine.resized.clear()
    await viewer.send(orjson.dumps({"resize": [80, 24]}).decode())
    await machine.resized.wait()
    assert machine.sizes[-1] == (80, 24)
    await viewer.close()
    await machine.is_closed.wait()


async def test_opening_and_leaving_are_told_of_as_events(hubs: Hubs) -> None:
    await hubs.edge(hubs.one)
    viewer = await hubs.view(hubs.one, requested_by="ann")
    await words_until(viewer, "open")
    await viewer.close()
    for name in ("console.ticket", "console.opened", "console.closed"):
        (event,) = await own_events(hubs.one, name)
        assert (event["attributes"]["by"], event["attributes"]["vm"]) == ("ann", "web")


async def test_a_ticket_is_good_once_on_this_hub_alone(hubs: Hubs) -> None:
    await hubs.edge(hubs.one)
    ticket = await hubs.one.call("vm.console.open", vm="web", node="edge-1")
    assert ticket["expires_s"] == TICKET_SECONDS
    other = await socket(hubs.two, ticket["url"])
    assert (await words_until(other, "closed"))["kind"] == "unauthorized"
    viewer = await socket(hubs.one, ticket["url"])
    await words_until(viewer, "open")
    again = await socket(hubs.one, ticket["url"])
    assert (await words_until(again, "closed"))["kind"] == "unauthorized"
    assert await is_closed(again)
    await viewer.close()


async def test_a_ticket_is_void_after_its_time(hubs: Hubs) -> None:
    await hubs.edge(hubs.one)
    ticket = await hubs.one.call("vm.console.open", vm="web", node="edge-1")
    tickets = part_in(hubs.one, ConsolePart).door.tickets
    now = asyncio.get_running_loop().time()
    assert tickets.take(ticket["ticket"], now + TICKET_SECONDS) is None


async def test_there_are_only_so_many_tickets(hubs: Hubs) -> None:
    await hubs.edge(hubs.one)
    for _ in range(TICKETS_MAX):
        await hubs.one.call("vm.console.open", vm="web", node="edge-1")
    error = await hubs.one.refusal("vm.console.open", vm="web", node="edge-1")
    assert error["data"]["kind"] == "busy"


async def test_a_viewer_needs_the_token_and_no_page_of_another_site_gets_in(hubs: Hubs) -> None:
    await hubs.edge(hubs.one)
    ticket = await hubs.one.call("vm.console.open", vm="web", node="edge-1")
    with pytest.raises(Refused, match="4401"):
        await socket(hubs.one, ticket["url"], authorization="Bearer of nobody")
    with pytest.raises(Refused, match="4403"):
        await socket(hubs.one, ticket["url"], origin="http://evil.example")
    viewer = await socket(hubs.one, ticket["url"], origin="http://hub")
    await words_until(viewer, "open")
    await viewer.close()


async def test_who_looks_on_types_nothing(hubs: Hubs) -> None:
    edge = await hubs.edge(hubs.one)
    viewer = await hubs.view(hubs.one, mode="ro")
    await words_until(viewer, "open")
    (machine,) = edge.machines
    assert machine.params["mode"] == "ro"
    await viewer.send(b"rm -rf /")
    machine.shown.put_nowait(b"shown")
    assert await shown(viewer, 5) == b"shown"
    assert machine.typed == b""
    await viewer.close()


async def test_the_end_of_the_machine_is_told_and_is_not_worth_trying_again(hubs: Hubs) -> None:
    edge = await hubs.edge(hubs.two, Speaking)
    viewer = await hubs.view(hubs.one)
    await words_until(viewer, "open")
    edge.machines[0].shown.put_nowait(b"last words")
    edge.machines[0].shown.put_nowait(END)
    assert await shown(viewer, 10) == b"last words"
    assert await viewer.next() == {
        "closed": "the sandbox does not run",
        "kind": "ended",
        "retryable": False,
    }
    assert await is_closed(viewer)


async def test_a_machine_that_does_not_run_is_told_as_such(hubs: Hubs) -> None:
    await hubs.edge(hubs.two)
    viewer = await hubs.view(hubs.one, vm="stopped")
    closed = await words_until(viewer, "closed")
    assert (closed["kind"], closed["closed"]) == ("invalid_state", "the sandbox does not run")


async def test_nobody_reaches_a_node_without_a_link(hubs: Hubs) -> None:
    assert (await hubs.one.beat("edge-1")).status_code == 200
    viewer = await hubs.view(hubs.one)
    closed = await words_until(viewer, "closed")
    assert (closed["kind"], closed["retryable"]) == ("no_path", True)


async def test_a_path_that_breaks_is_worth_trying_again(hubs: Hubs) -> None:
    edge = await hubs.edge(hubs.two)
    viewer = await hubs.view(hubs.one)
    await words_until(viewer, "open")
    await hubs.dialling.open[0].close()
    closed = await words_until(viewer, "closed")
    assert (closed["kind"], closed["retryable"]) == ("lost", True)
    await edge.machines[0].is_closed.wait()


async def test_a_hub_that_stops_says_so(hubs: Hubs) -> None:
    await hubs.edge(hubs.one)
    viewer = await hubs.view(hubs.one)
    await words_until(viewer, "open")
    hubs.one.hub.stop()
    assert (await words_until(viewer, "closed"))["closed"] == "hub-1 stops"


@pytest.mark.parametrize(
    "word", ["[]", "{", '{"taken": 7}', '{"resize": [0, 1]}', '{"resize": "big"}', "x" * 5000]
)
async def test_senseless_words_end_one_viewer_alone(hubs: Hubs, word: str) -> None:
    await hubs.edge(hubs.one)
    viewer, other = await hubs.view(hubs.one), await hubs.view(hubs.one)
    for each in (viewer, other):
        await words_until(each, "open")
    await viewer.send(word)
    assert (await words_until(viewer, "closed"))["kind"] == "invalid_params"
    await other.send(b"still")
    assert await shown(other, 5) == b"still"
    await other.close()


async def test_a_flood_of_100_mb_reaches_a_viewer_who_takes_it_and_waits_for_one_who_does_not(
    hubs: Hubs,
) -> None:
    """Through two hubs: what is under way is never more than the windows hold."""
    edge = await hubs.edge(hubs.two, Flooding)
    viewer = await hubs.view(hubs.one)
    await words_until(viewer, "open")
    await viewer.send('{"taken": 0}')
    machine = edge.machines[0]
    assert isinstance(machine, Flooding)
    taken = most = 0
    while taken < FLOOD_BYTES:
        came = await viewer.next()
        assert isinstance(came, bytes)
        taken += len(came)
        most = max(most, viewer.waiting_bytes, machine.printed_bytes - taken)
        await viewer.send(orjson.dumps({"taken": taken}).decode())
    assert taken == FLOOD_BYTES
    assert most <= 4 * WINDOW_BYTES

    slow = await hubs.view(hubs.one)
    await words_until(slow, "open")
    await slow.send('{"taken": 0}')
    printed = -1
    while printed != edge.machines[1].printed_bytes:  # type: ignore[attr-defined]
        printed = edge.machines[1].printed_bytes  # type: ignore[attr-defined]
        await asyncio.sleep(0.2)
    assert 0 < printed <= 4 * WINDOW_BYTES
    assert slow.waiting_bytes <= WINDOW_BYTES + 65536
    await slow.close()
