"""`headwater drain`: everything out now, a true verdict, and an exit code that scripts can use."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

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
    assert "  on one hub only: " in done.stderr


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


def test_on_its_own_machine_an_edge_need_not_be_named(fleet: Fleet) -> None:
    """Its socket is asked at once; what is left is told by its cause, and programs get all of it."""
    first, second = fleet.two_hubs()
    edge = fleet.edge("edge-1", [first, second])
    first.kill()
    second.kill()
    with Sender(edge.otlp_url) as sender:
        sender.until_acked(100)
    words = ("drain", "--deadline", "1s", "-o", "json")
    left = once(fleet.venv, *words, DATA=str(edge.folder))
    assert left.returncode == 3, left.stderr
    verdict = json.loads(left.stdout)
    causes = {cause["cause"]: cause for cause in verdict["causes"]}
    assert causes["not_on_any_hub"]["records"] >= 100
    assert "edge-1 still holds" in left.stderr
    assert "  not on any hub: " in left.stderr


def test_a_drain_can_be_looked_at_and_cancelled_while_it_runs(fleet: Fleet) -> None:
    """By the id that it was begun with; whoever waits for it gets the same verdict."""
    first, second = fleet.two_hubs()
    edge = fleet.edge("edge-1", [first, second])
    fleet.settled([first, second], edge)
    second.kill()
    with Sender(edge.otlp_url) as sender:
        sender.until_acked(100)

    def running() -> list[dict[str, Any]]:
        found = first.call("edge.drain.status", node="edge-1", request_id="r")["running"]
        return [each for each in found if each["one_hub"]["records"]]

    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(
            once, fleet.venv, "drain", "edge-1", "--request-id", "r", DATA=str(first.folder)
        )
        eventually(running, "the drain waits for the second hub")
        (told,) = running()
        verdict = first.call("edge.drain.cancel", node="edge-1", request_id="r")
        done = waiting.result()
    assert told["deadline_s"] == 600
    assert told["reason"] == "chunks are on one hub only: not yet on as many hubs as wanted"
    assert (verdict["verdict"], verdict["safe_to_power_off"]) == ("cancelled", False)
    assert done.returncode == 3
    assert "the drain was cancelled: edge-1 still holds" in done.stderr
    again = first.call("edge.drain", node="edge-1", request_id="r")
    assert {**again, "path": None} == {**verdict, "path": None}


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
