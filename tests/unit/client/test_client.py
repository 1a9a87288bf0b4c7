"""The client's own laws: bounded, never in the way, and honest about what is lost."""

import logging
import threading
from collections.abc import Callable

import pytest

from edge.client import Client, default_url
from edge.client_outbox import ClientLimits, Outbox
from edge.client_totals import series_key
from shared.records import Signal

FreePorts = Callable[[int], list[int]]
T0 = 1_700_000_000_000_000_000


@pytest.fixture
def nowhere(free_ports: FreePorts) -> str:
    """An address where nobody listens."""
    return f"127.0.0.1:{free_ports(1)[0]}"


def drain(outbox: Outbox) -> list[tuple[Signal, list[bytes]]]:
    """All batches that are due without waiting, as if each was stored."""
    found = []
    while outbox.records:
        batch = outbox.next_batch()
        assert batch is not None
        found.append((batch.signal, batch.frames))
        outbox.settle(batch, refused=False)
    return found


def test_what_does_not_fit_is_counted_and_said_once(
    nowhere: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A program whose edge is down runs on, at a known price."""
    client = Client("billing", nowhere, limits=ClientLimits(records_max=10))
    for n in range(25):
        client.log(f"line {n}")
    assert (client.pending, client.dropped) == (10, 15)
    assert sum("queue is full" in message for message in caplog.messages) == 1
    assert not client.close(0)
    assert (client.pending, client.dropped) == (10, 25)
    assert "25 records never got to the edge" in caplog.text


def test_bytes_are_bounded_as_well_as_records(nowhere: str) -> None:
    client = Client("billing", nowhere, limits=ClientLimits(bytes_max=10_000))
    for _ in range(10):
        client.log("x" * 3_000)
    assert (client.pending, client.dropped) == (3, 7)
    client.close(0)


def test_a_closed_client_counts_what_it_is_still_told(nowhere: str) -> None:
    client = Client("billing", nowhere)
    assert client.close()
    client.log("late")
    client.count("late")
    with client.span("late"):
        pass
    assert client.dropped == 3
    assert client.close()


def test_numbers_that_are_none_are_counted_and_raise_nothing(nowhere: str) -> None:
    client = Client("billing", nowhere)
    for bad in ("many", None, float("nan"), float("inf"), -1):
        client.count("orders", bad)  # type: ignore[arg-type]  # That is the mistake.
    client.gauge("depth", "deep")  # type: ignore[arg-type]
    assert (client.dropped, client.pending) == (6, 0)
    client.close(0)


def test_an_attribute_that_fails_to_be_read_is_counted_and_raises_nothing(nowhere: str) -> None:
    class Odd(dict[str, int]):
        def items(self) -> object:  # type: ignore[override]
            raise RuntimeError("dictionary changed size during iteration")

    client = Client("billing", nowhere)
    client.log("x", odd=Odd())
    assert (client.dropped, client.pending) == (1, 0)
    client.close(0)


def test_attributes_may_be_named_like_parameters(nowhere: str) -> None:
    client = Client("billing", nowhere)
    client.log("text", text=1, self=2)
    client.event("name", "text", name=1, text=2)
    client.gauge("name", 1, name=1, value=2)
    client.count("name", 1, name=1, increment=2)
    with client.span("name", name=1) as span:
        span.set(self=2)
    assert (client.pending, client.dropped) == (5, 0)
    client.close(0)


def test_a_full_queue_loses_no_count() -> None:
    """Totals are exempt from the bound, since one point for each series is all that ever waits."""
    outbox = Outbox(ClientLimits(records_max=1, batch_seconds=0), T0)
    assert outbox.put(Signal.LOGS, b"frame")
    assert not outbox.put(Signal.LOGS, b"frame")
    key = series_key("orders", "", {})
    assert all(outbox.count(key, 1, T0) for _ in range(1000))
    assert (outbox.records, outbox.dropped) == (2, 1)


def test_counts_of_many_threads_add_up() -> None:
    outbox = Outbox(ClientLimits(batch_seconds=0), T0)
    key = series_key("orders", "", {})

    def work() -> None:
        for _ in range(500):
            outbox.count(key, 1, T0)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ((_, (frame,)),) = drain(outbox)
    assert (2000).to_bytes(8, "little") in frame  # as_int is fixed64.


def test_batches_keep_the_order_and_the_bounds() -> None:
    limits = ClientLimits(batch_records_max=3, batch_bytes_max=1000, batch_seconds=0)
    outbox = Outbox(limits, T0)
    frames = [bytes([n]) * (900 if n == 4 else 200) for n in range(8)]
    for frame in frames:
        outbox.put(Signal.LOGS, frame)
    batches = [found for _, found in drain(outbox)]
    assert [len(found) for found in batches] == [3, 1, 1, 3]
    assert [frame for found in batches for frame in found] == frames


def test_a_signal_that_has_to_wait_holds_up_no_other() -> None:
    """An edge that has no room for metrics still takes logs."""
    outbox = Outbox(ClientLimits(batch_seconds=0), T0)
    outbox.put(Signal.METRICS, b"point")
    stuck = outbox.next_batch()
    assert stuck is not None
    assert stuck.signal is Signal.METRICS
    outbox.put_off(stuck, 3600, told=True)
    outbox.put(Signal.LOGS, b"line")
    other = outbox.next_batch()
    assert other is not None
    assert other.signal is Signal.LOGS


def test_a_loud_signal_starves_no_other() -> None:
    outbox = Outbox(ClientLimits(batch_records_max=1, batch_seconds=0), T0)
    for _ in range(20):
        outbox.put(Signal.EVENTS, b"loud")
    outbox.put(Signal.TRACES, b"rare")
    order = [signal for signal, _ in drain(outbox)]
    assert order.index(Signal.TRACES) < 3


def test_a_refusal_makes_a_flush_fail() -> None:
    outbox = Outbox(ClientLimits(batch_seconds=3600), T0)
    outbox.put(Signal.LOGS, b"line")

    def refuse() -> None:
        batch = outbox.next_batch()  # Comes with the flush, and not before.
        assert batch is not None
        outbox.settle(batch, refused=True)

    edge = threading.Thread(target=refuse)
    edge.start()
    assert not outbox.flush(20)
    edge.join()
    assert (outbox.refused, outbox.records) == (1, 0)


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, "http://127.0.0.1:4318"),
        ({"OTLP_PORT": "5000"}, "http://127.0.0.1:5000"),
        ({"OTLP_PORT": "5000", "HEADWATER_OTLP_PORT": "6000"}, "http://127.0.0.1:6000"),
    ],
)
def test_the_edge_is_looked_for_where_the_settings_put_it(
    environ: dict[str, str], url: str
) -> None:
    assert default_url(environ) == url


def test_addresses_that_are_none_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="OTLP_PORT is 'x'"):
        default_url({"OTLP_PORT": "x"})
    with pytest.raises(ValueError, match="without a path"):
        Client("billing", "http://127.0.0.1:4318/v1/logs")


def test_a_client_that_says_nothing_starts_no_thread(nowhere: str) -> None:
    """So that it can be made before a server forks its workers."""
    before = threading.active_count()
    client = Client("billing", nowhere)
    assert threading.active_count() == before
    assert client.flush(0)
    client.close()


def test_what_the_client_logs_of_itself_does_not_come_back_to_it(
    nowhere: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Else each dropped record would cause another one."""
    client = Client("billing", nowhere, limits=ClientLimits(records_max=1))
    handler = client.handler()
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        client.log("kept")
        client.log("dropped")
    finally:
        root.removeHandler(handler)
    assert "queue is full" in caplog.text
    assert (client.pending, client.dropped) == (1, 1)
    client.close(0)
