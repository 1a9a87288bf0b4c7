"""The client of programs against the real door: what it says is there, once the flush is over."""

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from edge.client import Client
from edge.client_outbox import ClientLimits
from shared.backoff import Backoff
from shared.receive.body import BodyLimits
from shared.records import Signal
from tests.unit.client.doors import Door, opened, serving

ROOT = Path(__file__).parents[2]
QUICK = ClientLimits(backoff=Backoff(0.01, 0.05))


@pytest.fixture
def door() -> Iterator[Door]:
    with opened() as door:
        yield door


@pytest.fixture
def client(door: Door) -> Iterator[Client]:
    with Client("billing", door.url, attributes={"region": "north"}, limits=QUICK) as client:
        yield client


def test_a_flushed_log_is_there_with_all_that_was_said(door: Door, client: Client) -> None:
    client.log("card refused", severity="warn", amount=12.5, **{"http.route": "/pay"})
    assert client.flush()
    (row,) = door.rows()
    assert (row.body, row.severity_text, row.event_name) == ("card refused", "WARN", "")
    assert row.attributes == {"amount": 12.5, "http.route": "/pay"}
    assert (row.resource["service.name"], row.resource["region"]) == ("billing", "north")
    assert row.scope == "headwater.client"


def test_events_travel_by_themselves_and_are_taken_in_as_events(door: Door, client: Client) -> None:
    client.event("order.shipped", "order 7 is on its way", order=7)
    client.log("beside it")
    assert client.flush()
    (event,) = door.rows(Signal.EVENTS)
    assert (event.event_name, event.body) == ("order.shipped", "order 7 is on its way")
    assert [row.body for row in door.rows()] == ["beside it"]


def test_every_measurement_of_a_gauge_is_kept(door: Door, client: Client) -> None:
    for value in (3, 2.5, 4):
        client.gauge("queue.depth", value, unit="{job}", queue="mail")
    assert client.flush()
    points = door.points()
    assert [point.value for point in points] == [3, 2.5, 4]
    assert {(point.name, point.unit, point.kind) for point in points} == {
        ("queue.depth", "{job}", "gauge")
    }


def test_counts_are_cumulative_since_the_start_of_the_program(door: Door, client: Client) -> None:
    """Points of one series share their start, grow, and are fewer than the increments."""
    for _ in range(3):
        for _ in range(100):
            client.count("orders", shop="north")
        client.count("orders", 5, shop="south")
        assert client.flush()
    north = [point for point in door.points() if point.attributes["shop"] == "north"]
    south = [point for point in door.points() if point.attributes["shop"] == "south"]
    assert north[-1].value == 300
    assert south[-1].value == 15
    values = [point.value or 0 for point in north]
    assert values == sorted(values)
    assert len({point.start_ns for point in north + south}) == 1
    assert all(point.monotonic and point.temporality == 2 for point in north)
    assert all(point.start_ns <= point.time_ns for point in north)


def test_spans_inside_of_spans_are_their_children(door: Door, client: Client) -> None:
    with client.span("order", items=3) as order:
        with client.span("pay"):
            client.log("paying")
        order.set(total=9.5)
    with client.span("later"):
        pass
    assert client.flush()
    spans = door.spans()
    assert spans["pay"].parent_span_id == spans["order"].span_id
    assert spans["pay"].trace_id == spans["order"].trace_id != spans["later"].trace_id
    assert spans["order"].attributes == {"items": 3, "total": 9.5}
    assert spans["order"].start_ns <= spans["pay"].start_ns <= spans["pay"].end_ns
    assert (spans["later"].parent_span_id, spans["later"].status_code) == ("", 0)
    assert order.traceparent == f"00-{spans['order'].trace_id}-{spans['order'].span_id}-01"
    (row,) = door.rows()
    assert (row.trace_id, row.span_id) == (spans["pay"].trace_id, spans["pay"].span_id)


def test_a_span_that_fails_says_why_and_hides_nothing(door: Door, client: Client) -> None:
    with pytest.raises(LookupError, match="no such card"), client.span("pay"):
        raise LookupError("no such card")
    with client.span("after"):
        pass
    assert client.flush()
    pay = door.spans()["pay"]
    assert (pay.status_code, pay.status_message) == (2, "no such card")
    assert pay.events[0]["attributes"]["exception.type"] == "LookupError"
    assert door.spans()["after"].parent_span_id == ""


async def test_tasks_do_not_mix_up_their_spans(door: Door, client: Client) -> None:
    """Two requests that are served at the same time are two stories."""

    async def serve(name: str) -> None:
        with client.span(name):
            await asyncio.sleep(0)
            with client.span(f"{name}.inner"):
                await asyncio.sleep(0)

    await asyncio.gather(serve("a"), serve("b"))
    assert await asyncio.to_thread(client.flush)
    spans = door.spans()
    for name in "ab":
        assert spans[f"{name}.inner"].parent_span_id == spans[name].span_id


def test_the_logging_module_writes_here(door: Door, client: Client) -> None:
    logger, handler = logging.getLogger("shop.cart"), client.handler(logging.INFO)
    logger.addHandler(handler)
    try:
        logger.debug("too fine")
        logger.warning("%d items left", 3, extra={"cart": 7})
        raise OSError("gone")
    except OSError:
        logger.exception("failed")
    finally:
        logger.removeHandler(handler)
    assert client.flush()
    left, failed = door.rows()
    assert (left.body, left.severity_text, left.attributes["cart"]) == ("3 items left", "WARN", 7)
    assert left.attributes["logger.name"] == "shop.cart"
    assert failed.attributes["exception.message"] == "gone"


def test_requests_that_are_logged_cause_no_requests(door: Door, client: Client) -> None:
    """The handler on the root logger sees what the client's own thread makes httpx say."""
    root, handler = logging.getLogger(), client.handler()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        client.log("only this")
        assert client.flush()
        assert client.flush()
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
    assert "only this" in door.lines()
    assert not [row for row in door.rows() if "http" in str(row.attributes.get("logger.name"))]


def test_a_door_that_is_down_gets_all_of_it_once_it_is_up(
    free_ports: Callable[[int], list[int]], caplog: pytest.LogCaptureFixture
) -> None:
    """A program may start before its edge; it is told once that nobody answers."""
    (port,) = free_ports(1)
    with Client("billing", f"127.0.0.1:{port}", limits=QUICK) as client:
        for n in range(2500):
            client.log(f"line {n}")
        assert not client.flush(0.5)
        assert client.pending == 2500
        with opened(port=port) as door:
            assert client.flush(20)
            assert door.lines() == [f"line {n}" for n in range(2500)]
    assert (client.pending, client.dropped) == (0, 0)
    assert sum("does not answer" in message for message in caplog.messages) == 1


def test_a_full_edge_is_asked_again_when_it_said(caplog: pytest.LogCaptureFixture) -> None:
    door = Door(refusals=1, retry_after_seconds=0.1)  # On the wire this is a whole second.
    with opened(door), Client("billing", door.url, limits=QUICK) as client:
        client.log("kept")
        assert client.flush(20)
        assert door.lines() == ["kept"]
    assert "takes no logs now: 503 the buffer is full" in caplog.text


def test_a_refused_request_is_counted_and_told_in_the_words_of_the_door(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is not sent again, and what follows is not held up."""
    narrow = BodyLimits(body_bytes_max=2_000)
    with opened(limits=narrow) as door, Client("billing", door.url, limits=QUICK) as client:
        client.log("x" * 5_000)
        assert not client.flush(20)
        assert (client.refused, client.pending, client.dropped) == (1, 0, 0)
        client.log("short")
        assert client.flush(20)
        assert door.lines() == ["short"]
    assert "refuses 1 logs: 413 the body is larger than the limit of 2000 bytes" in caplog.text


def test_another_program_at_the_port_is_no_edge(caplog: pytest.LogCaptureFixture) -> None:
    """Its answers are bounded, and quoted where they are no status of OTLP."""

    async def stranger(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b"<html>" * 100_000})

    with serving(stranger) as port, Client("billing", f"127.0.0.1:{port}", limits=QUICK) as client:
        client.log("lost")
        assert not client.flush(20)
        assert client.refused == 1
    assert "404 '<html><html>" in caplog.text


def test_many_threads_write_at_once(door: Door, client: Client) -> None:
    def work(name: int) -> None:
        for n in range(200):
            client.log(f"{name}-{n}")
            client.count("lines")

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.flush(20)
    assert sorted(door.lines()) == sorted(f"{name}-{n}" for name in range(4) for n in range(200))
    assert door.points()[-1].value == 800


def run_program(door: Door, text: str) -> str:
    """Run a program that has a client; what it said on standard error."""
    start = f"import os, sys\nfrom edge.client import Client\nclient = Client('p', {door.url!r})\n"
    command = [sys.executable, "-W", "error", "-c", start + text]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return done.stderr


def test_a_program_that_just_ends_has_its_last_words_kept(door: Door) -> None:
    assert run_program(door, "client.log('last words')") == ""
    assert door.lines() == ["last words"]


def test_a_forked_child_speaks_for_itself_and_repeats_nothing(door: Door) -> None:
    """Records of the parent are sent once, and the child's counts are another series."""
    program = """
client.log('of the parent'); client.count('n', 5)
child = os.fork()
if child == 0:
    client.log('of the child'); client.count('n', 1)
    os._exit(0 if client.flush() else 1)
status = os.waitpid(child, 0)[1]
client.count('n', 5)
sys.exit(os.waitstatus_to_exitcode(status))
"""
    assert run_program(door, program) == ""
    assert sorted(door.lines()) == ["of the child", "of the parent"]
    assert len({row.resource["service.instance.id"] for row in door.rows()}) == 2
    assert {point.value for point in door.points()} - {5} == {1, 10}
