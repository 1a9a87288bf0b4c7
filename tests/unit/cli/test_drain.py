"""`headwater drain`: progress for people and for log files, a verdict, and an exit code."""

import json

import pytest

from hub.cli.drain_progress import Lines
from tests.unit.cli.conftest import Counterpart, Run
from tests.unit.cli.drains import DRAINED, LEFT, RUNNING, Script, asked_for, until_seen

Hubs = tuple[Counterpart, Counterpart]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line every few milliseconds."""
    monkeypatch.setattr(Lines, "every_seconds", 0.01)


def test_a_drain_ends_with_a_verdict(hubs: Hubs, headwater: Run) -> None:
    """Safe is exit 0, and what was asked for is what was typed."""
    until_seen(hubs[0], DRAINED)
    result = headwater("drain", "edge-1", "--deadline", "90s")
    assert result.exit_code == 0
    assert "edge-1 is drained: safe to power off" in result.stderr
    (order,) = asked_for(hubs[0], "edge.drain")
    assert (order["node"], order["deadline_s"]) == ("edge-1", 90.0)
    (question, *_) = asked_for(hubs[0], "edge.drain.status")
    assert question == {"node": "edge-1", "request_id": order["request_id"]}


def test_without_a_terminal_progress_is_lines(hubs: Hubs, headwater: Run) -> None:
    """One at once, one at the end, and nothing that steers a terminal."""
    until_seen(hubs[0], DRAINED)
    lines = headwater("drain", "edge-1").stderr.splitlines()
    assert set(lines[:-2]) == {
        "edge-1: 5,000 of 8,000 records, 5.0 KiB of 8.0 KiB; 1.0 KiB/s, 1,000 records/s, ETA 3.0 s"
    }
    assert lines[-2:] == [
        "edge-1: 8,000 of 8,000 records, 8.0 KiB of 8.0 KiB; ended after 8.0 s",
        "edge-1 is drained: safe to power off",
    ]


def test_a_drain_that_stands_still_says_why(hubs: Hubs, headwater: Run) -> None:
    """Instead of a rate of nothing; and what strangers wrote cannot steer the terminal."""
    script = until_seen(hubs[0], DRAINED)
    stalled = {**RUNNING, "bytes_per_s": 0.0, "reason": "no \x1b[31mhub"}
    script["edge.drain.status"] = {"running": [stalled]}
    said = headwater("drain", "edge-1").stderr
    assert "; waiting: no \ufffd[31mhub" in said
    assert "ETA" not in said


def test_what_is_left_is_exit_3_with_every_cause(hubs: Hubs, headwater: Run) -> None:
    """Programs get the verdict as it is."""
    until_seen(hubs[0], LEFT)
    result = headwater("drain", "edge-1", "-o", "json")
    assert result.exit_code == 3
    answer = json.loads(result.stdout)
    assert {**answer, "path": None} == {**LEFT, "path": None}
    assert result.stderr.splitlines()[-4:] == [
        "edge-1 still holds 7 chunks (700 records, 2.0 KiB)",
        "  not on any hub: 5 chunks (500 records, 1.0 KiB): no hub",
        "  on one hub only: 2 chunks (200 records, 1.0 KiB): one is down",
        "  dead letters: 1 chunks (9 records, 90 B): they stay",
    ]


def test_dead_letters_alone_are_said_and_are_exit_0(hubs: Hubs, headwater: Run) -> None:
    """They are on the disk before and after."""
    until_seen(hubs[0], {**DRAINED, "causes": LEFT["causes"][2:]})
    result = headwater("drain", "edge-1")
    assert result.exit_code == 0
    assert "  dead letters: 1 chunks (9 records, 90 B): they stay" in result.stderr


def test_the_verdict_of_an_older_edge_is_enough(hubs: Hubs, headwater: Run) -> None:
    """It knows no status and no causes."""
    unknown = {"code": -32601, "message": "this edge has no method edge.drain.status"}
    left = {key: LEFT[key] for key in ("verdict", "safe_to_power_off", "left", "reason")}
    hubs[0].answers = Script({"edge.drain": left}, ends_with="edge.drain.status")
    hubs[0].answers["edge.drain.status"] = unknown
    result = headwater("drain", "edge-1")
    assert result.exit_code == 3
    assert result.stderr == (
        "edge-1 still holds 7 chunks (700 records, 2.0 KiB): all of it in one sentence\n"
    )


def test_a_drain_of_a_silent_node_is_one_sentence(hubs: Hubs, headwater: Run) -> None:
    """The hub's error comes through the running display."""
    silent = {"code": -32010, "message": "edge-1 is silent"}
    hubs[0].answers = {"edge.drain": silent, "edge.drain.status": silent}
    result = headwater("drain", "edge-1")
    assert (str(result.exception), result.exit_code) == ("edge-1 is silent", 1)


def test_a_drain_can_be_joined_by_its_id(hubs: Hubs, headwater: Run) -> None:
    """As the message about an unknown outcome advises."""
    until_seen(hubs[0], DRAINED)
    assert headwater("drain", "edge-1", "--request-id", "mine").exit_code == 0
    assert asked_for(hubs[0], "edge.drain")[0]["request_id"] == "mine"


def test_a_drain_that_somebody_cancelled_is_exit_3(hubs: Hubs, headwater: Run) -> None:
    """Nobody may take it for safe."""
    until_seen(hubs[0], {**LEFT, "verdict": "cancelled"})
    result = headwater("drain", "edge-1")
    assert result.exit_code == 3
    assert "the drain was cancelled: edge-1 still holds 7 chunks" in result.stderr
