"""`headwater peers leader|step-down|drill|members`: what is asked, shown and returned."""

from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from hub.cli.lead import drill, leader, members, step_down
from tests.unit.cli.conftest import Counterpart

DRILL: dict[str, Any] = {
    "passed": True,
    "seconds_without_leader": 0.0712,
    "seconds_max": 3.0,
    "before": "hub-1",
    "after": "hub-2",
    "term_before": 4,
    "term_after": 5,
    "reason": "",
}


def run(command: click.Command, *words: str) -> Result:
    return CliRunner().invoke(command, words, catch_exceptions=False)


def test_the_leader_is_shown_with_what_it_is_worth(hub: Counterpart) -> None:
    note = "not exclusive: one per island"
    hub.answers = {"peers.leader": {"mode": "static", "leader": "hub-1", "note": note}}
    result = run(leader)
    assert ["leader", "hub-1"] in [line.split() for line in result.stdout.splitlines()]
    assert note in result.stderr
    assert run(leader, "-o", "json").stderr == ""


def test_stepping_down_names_who_should_follow(hub: Counterpart) -> None:
    hub.answers = {"peers.stepDown": {"stepped_down": "hub-1", "term": 4}}
    assert run(step_down, "--to", "hub-2").stdout == "hub-1 has stopped leading term 4\n"
    assert run(step_down, "-o", "ndjson").stdout == '{"stepped_down":"hub-1","term":4}\n'
    assert hub.asked == [("peers.stepDown", {"target": "hub-2"}), ("peers.stepDown", {})]


@pytest.mark.parametrize(
    ("changes", "status", "text"),
    [
        (
            {},
            0,
            "passed: hub-2 leads term 5 after hub-1, 0.071 s without a leader (at most 3 s)\n",
        ),
        ({"passed": False, "reason": "nobody led within 15 s"}, 1, "failed: nobody led"),
    ],
)
def test_a_drill_says_pass_or_fail(
    hub: Counterpart, changes: dict[str, Any], status: int, text: str
) -> None:
    hub.answers = {"peers.drill": {**DRILL, **changes}}
    result = run(drill)
    assert result.exit_code == status
    assert result.stdout.startswith(text)
    assert run(drill, "-o", "json").exit_code == status


def test_members_are_named_whole(hub: Counterpart) -> None:
    hub.answers = {"peers.members": {"members": ["hub-1", "hub-2", "hub-3"]}}
    assert "hub-1, hub-2, hub-3" in run(members, "hub-1", "hub-2", "hub-3").stdout
    assert hub.asked == [("peers.members", {"hubs": ["hub-1", "hub-2", "hub-3"]})]
    assert run(members).exit_code == 2
