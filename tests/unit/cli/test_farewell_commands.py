"""Sending a hub away and letting it in again, as commands print it."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from hub.cli import farewell, fleet
from hub.cli.ask import Asker


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What a hub was asked; it did what it was told."""
    calls: list[tuple[str, dict[str, Any]]] = []

    def ask(self: Asker, method: str, params: dict[str, Any]) -> dict[str, Any]:
        calls.append((method, params))
        return {"removed" if method == "peers.remove" else "admitted": params["hub"]}

    monkeypatch.setattr(Asker, "ask", ask)
    return calls


HUB = ["--hub", "127.0.0.1:1", "--token", "t"]


def test_people_are_told_how_to_take_it_back(asked: list[tuple[str, dict[str, Any]]]) -> None:
    result = CliRunner().invoke(farewell.remove, ["hub-3", "--why", "sold", "--lose", *HUB])
    assert result.exit_code == 0
    assert "`headwater peers admit hub-3` lets it in again" in result.output
    assert asked == [("peers.remove", {"hub": "hub-3", "why": "sold", "lose": True})]
    result = CliRunner().invoke(farewell.admit, ["hub-3", *HUB])
    assert "hub-3 may take part again." in result.output


@pytest.mark.usefixtures("asked")
def test_programs_get_the_answer_of_the_hub() -> None:
    result = CliRunner().invoke(farewell.remove, ["hub-3", "-o", "json", *HUB])
    assert json.loads(result.output) == {"removed": "hub-3"}
    result = CliRunner().invoke(farewell.admit, ["hub-3", "-o", "json", *HUB])
    assert json.loads(result.output) == {"admitted": "hub-3"}


def test_the_list_of_hubs_names_those_that_were_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when an address in the settings leads to one under another name."""
    gone = {"hub": "hub-3", "through": "hub-2", "at": None, "why": "sold", "urls": ["http://a:1"]}
    other: dict[str, Any] = {"hub": "hub-4", "through": "hub-2", "at": None, "why": "", "urls": []}
    answer = {"items": [{"hub_id": "hub-1", "state": "self"}], "removed": [gone, other]}
    monkeypatch.setattr(Asker, "ask", lambda self, method: answer)
    lines = CliRunner().invoke(fleet.hubs, HUB).output.splitlines()
    assert [line.split()[:2] for line in lines[-2:]] == [["hub-3", "removed"], ["hub-4", "removed"]]
    assert "http://a:1" in lines[-2]
    assert lines[-2].endswith(
        "removed through hub-2 (sold); the settings of this hub name it still"
    )
    assert lines[-1].endswith("removed through hub-2")


def test_the_list_of_hubs_tells_one_that_was_stopped_in_order_from_one_that_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leave = {
        "since": None,
        "ends": "2026-11-21T20:00:00.123456Z",
        "reason": "it was stopped in order",
    }
    hubs = [
        {"hub_id": "hub-1", "state": "avoid", "away": leave, "error": "no answer"},
        {"hub_id": "hub-2", "state": "avoid", "away": None, "error": "no answer"},
    ]
    monkeypatch.setattr(Asker, "ask", lambda self, method: {"items": hubs})
    _, stopped, silent = CliRunner().invoke(fleet.hubs, HUB).output.splitlines()
    assert stopped.split()[:2] == ["hub-1", "away"]
    assert "stopped in order; it is dead if it is not back at 2026-11-21T20:00:00.123Z" in stopped
    assert silent.split()[:2] == ["hub-2", "avoid"]
    told = CliRunner().invoke(fleet.hubs, [*HUB, "-o", "ndjson"]).output.splitlines()
    assert [json.loads(line) for line in told] == hubs
