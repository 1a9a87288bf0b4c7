"""Sending a hub away and letting it in again, as commands print it."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from hub.cli import farewell
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
