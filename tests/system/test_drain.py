"""`headwater drain`: everything out now, a true verdict, and an exit code that scripts can use."""

import json

from tests.system.oracle import Sender, chunks_on_disk, counted
from tests.system.processes import Fleet, eventually
from tests.system.starting import once


def test_a_drained_edge_is_exit_0_and_both_hubs_have_everything(fleet: Fleet) -> None:
    first, second = fleet.two_hubs()
    edge = fleet.edge("edge-1", [first, second])
    fleet.settled([first, second], edge)
    with Sender(edge.otlp_url, records_each=200) as sender:
        sender.until_acked(4000)
    done = once(fleet.venv, "drain", "edge-1", "-o", "json", DATA=str(first.folder))
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["verdict"], answer["safe_to_power_off"]) == ("drained", True)
    assert "safe to power off" in done.stderr
    edge.kill()  # As a power cut would, right after the verdict.
    for hub in (first, second):
        assert counted(chunks_on_disk(hub.database, "edge-1")).keys() >= set(sender.acked)


def test_what_cannot_leave_is_exit_3_with_the_reason(fleet: Fleet) -> None:
    first, second = fleet.two_hubs()
    edge = fleet.edge("edge-1", [first, second])
    fleet.settled([first, second], edge)
    second.kill()
    with Sender(edge.otlp_url) as sender:
        sender.until_acked(100)
    done = once(fleet.venv, "drain", "edge-1", "--deadline", "1s", DATA=str(first.folder))
    assert done.returncode == 3
    assert "edge-1 still holds" in done.stderr


def test_an_edge_that_no_hub_can_hear_is_drained_from_its_own_machine(fleet: Fleet) -> None:
    first, second = fleet.two_hubs()
    edge = fleet.edge("edge-1", [first, second])
    first.kill()
    second.kill()
    with Sender(edge.otlp_url) as sender:
        sender.until_acked(100)
    words = ("drain", "edge-1", "--deadline", "1s")
    left = once(fleet.venv, *words, DATA=str(edge.folder))
    assert left.returncode == 3, left.stderr
    first.start()
    second.start()
    done = once(fleet.venv, "drain", "edge-1", "--deadline", "10s", DATA=str(edge.folder))
    assert done.returncode == 0, done.stderr


def test_a_drain_skips_the_wait_for_a_hub_that_was_away(fleet: Fleet) -> None:
    """After many failures the next attempt may be minutes away; a drain does not wait for it."""
    first, second = fleet.two_hubs()
    edge = fleet.edge("edge-1", [first, second])
    first.stop()
    second.stop()
    with Sender(edge.otlp_url) as sender:
        sender.until_acked(100)
    first.start()
    second.start()
    eventually(lambda: first.has_link_to(1), "the first hub has a link")
    answer = first.call("edge.drain", node="edge-1", deadline_s=10)
    assert answer["safe_to_power_off"] is True
    assert answer["seconds"] < 8
