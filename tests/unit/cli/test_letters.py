"""`headwater dead-letters`: listed, looked into, pushed again or given up, through any hub."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hub.cli.letters import dead_letters
from shared.errors import SettingsError
from tests.unit.cli.conftest import Counterpart

LETTER: dict[str, Any] = {
    "seq": 7,
    "signal": "logs",
    "records": 1,
    "stored_bytes": 2048,
    "refused_ms": 1_700_000_000_000,
    "reason": "unknown_signal",
}


def run(*words: str) -> Result:
    return CliRunner().invoke(dead_letters, words, catch_exceptions=False)


@pytest.fixture
def hub(
    hubs: tuple[Counterpart, Counterpart], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Counterpart:
    """The first of two hubs in the data folder."""
    monkeypatch.setenv("DATA", str(tmp_path))
    return hubs[0]


def test_they_are_listed_with_the_words_of_the_hub(hub: Counterpart) -> None:
    hub.answers["edge.dead_letters.list"] = {"items": [LETTER], "total": 3}
    result = run("list", "edge-1", "--limit", "1")
    assert result.exit_code == 0
    assert "7       logs    1        2.0 KiB  2023-11-14T22:13:20Z  unknown_signal" in result.stdout
    assert "2 more are there" in result.stderr
    assert hub.asked == [("edge.dead_letters.list", {"node": "edge-1", "limit": 1})]


def test_a_node_without_any_is_exit_4(hub: Counterpart) -> None:
    hub.answers["edge.dead_letters.list"] = {"items": [], "total": 0}
    assert run("list", "edge-1").exit_code == 4


def test_one_is_shown_with_its_records(hub: Counterpart) -> None:
    hub.answers["edge.dead_letters.show"] = {**LETTER, "sample": [{"body": "poison"}]}
    result = run("show", "edge-1", "7", "-o", "json")
    assert json.loads(result.stdout)["sample"] == [{"body": "poison"}]


@pytest.mark.parametrize(
    ("verb", "words", "asked", "told"),
    [
        ("retry", ["7", "9"], {"seqs": [7, 9]}, {"retried": 2}),
        ("discard", ["--all"], {"all": True}, {"discarded": 5}),
    ],
)
def test_some_or_all_of_them_are_pushed_again_or_given_up(
    hub: Counterpart, verb: str, words: list[str], asked: dict[str, Any], told: dict[str, int]
) -> None:
    hub.answers[f"edge.dead_letters.{verb}"] = told
    result = run(verb, "edge-1", *words)
    assert result.exit_code == 0
    ((_, params),) = hub.asked
    assert {name: params[name] for name in asked} == asked
    assert params["request_id"].startswith("cli-")


def test_numbers_that_are_none_are_exit_4(hub: Counterpart) -> None:
    hub.answers["edge.dead_letters.retry"] = {"retried": 0}
    assert run("retry", "edge-1", "99").exit_code == 4


@pytest.mark.parametrize("words", [[], ["7", "--all"]])
def test_either_numbers_or_all_must_be_named(hub: Counterpart, words: list[str]) -> None:
    with pytest.raises(SettingsError, match="--all"):
        run("discard", "edge-1", *words)
    assert hub.asked == []
