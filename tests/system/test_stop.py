"""Everything ends when it is told to, in five seconds at most, whoever is still listening."""

import signal
import time

import httpx
import pytest

from tests.system.oracle import Sender
from tests.system.processes import Fleet, HubProcess
from tests.system.starting import STOP_SECONDS_MAX, once


def opened_stream(hub: HubProcess) -> httpx.Response:
    """The stream that a page in a browser keeps open, after a login with the link of the greeting."""
    token = (hub.folder / "hub" / "admin.token").read_text().strip()
    login = hub.client.get(f"{hub.url}/login", params={"token": token})
    assert login.status_code == 303
    request = hub.client.build_request("GET", f"{hub.url}/stream")
    stream = hub.client.send(request, stream=True)
    assert stream.status_code == 200
    assert stream.headers["content-type"].startswith("text/event-stream")
    return stream


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_hub_stops_in_time_with_an_open_stream(fleet: Fleet, number: signal.Signals) -> None:
    hub = fleet.hub("hub-1")
    stream = opened_stream(hub)
    assert hub.process is not None
    began = time.monotonic()
    hub.process.send_signal(number)
    assert hub.process.wait(STOP_SECONDS_MAX) == 0
    assert time.monotonic() - began < STOP_SECONDS_MAX
    stream.close()
    assert "Traceback" not in hub.said()


def test_the_stop_command_ends_hubs_and_edges_with_everything_going_on(fleet: Fleet) -> None:
    first, second = fleet.two_hubs()
    edge = fleet.edge("edge-1", [first, second])
    fleet.settled([first, second], edge)
    stream = opened_stream(first)
    with Sender(edge.otlp_url) as sender:
        sender.until_acked(100)
        for role in (edge, first, second):
            began = time.monotonic()
            stopped = once(fleet.venv, "stop", f"DATA={role.folder}")
            assert time.monotonic() - began < STOP_SECONDS_MAX
            assert "stopped process" in stopped.stdout
            assert role.process is not None
            assert role.process.wait(STOP_SECONDS_MAX) == 0
            assert "Traceback" not in role.said()
    stream.close()
