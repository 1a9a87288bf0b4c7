"""The commands of `headwater config` about the cluster, against a hub that answers as it is told."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from hub.cli.conf import COMMANDS, read_labels, read_value
from shared.errors import SettingsError
from tests.unit.cli.conftest import Counterpart

ITEM = {
    "scope": "edges:role=web",
    "for": "edges",
    "labels": {"role": "web"},
    "key": "log_level",
    "value": "debug",
    "unset": False,
    "before": "info",
    "author": "ann",
    "hub_id": "hub-1",
    "at": "2026-11-21T17:00:00Z",
    "version": "1.0@hub-1",
}
Run = Callable[..., Result]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Counterpart]:
    """A hub that has written its presence into tmp_path."""
    counterpart = Counterpart("hub-1")
    counterpart.announce(tmp_path)
    yield counterpart
    counterpart.close()


@pytest.fixture
def config(tmp_path: Path) -> Run:
    """Runs the words of a command line behind `headwater config`."""
    group = click.Group("config", commands=[*COMMANDS])

    def run(*words: str) -> Result:
        environ = {"DATA": str(tmp_path), "USER": "ann"}
        return CliRunner().invoke(group, words, env=environ, catch_exceptions=True)

    return run


def test_a_setting_is_set_for_edges_with_labels(hub: Counterpart, config: Run) -> None:
    hub.answers["config.set"] = {"hash": "h", "items": [ITEM]}
    result = config("set", "log_level", "debug", "--label", "role=web", "--label", "zone=a=b")
    assert result.exit_code == 0, result.output
    assert "edges:role=web" in result.stdout
    assert hub.asked == [
        (
            "config.set",
            {
                "settings": {"log_level": "debug"},
                "labels": {"role": "web", "zone": "a=b"},
                "author": "ann",
            },
        )
    ]


def test_an_empty_value_is_sent_as_it_is(hub: Counterpart, config: Run) -> None:
    """An empty list of files is something else than no list."""
    hub.answers["config.set"] = {"hash": "h", "items": [ITEM]}
    assert config("set", "tail", "", "--for", "edges").exit_code == 0
    assert hub.asked[0][1] == {"settings": {"tail": ""}, "for": "edges", "author": "ann"}


def test_settings_are_taken_back(hub: Counterpart, config: Run) -> None:
    hub.answers["config.unset"] = {"hash": "h", "items": [{**ITEM, "unset": True, "value": None}]}
    result = config("unset", "log_level", "tail", "--for", "edges", "--author", "eve")
    assert result.exit_code == 0, result.output
    assert hub.asked[0][1] == {"keys": ["log_level", "tail"], "for": "edges", "author": "eve"}


def test_what_is_set_and_what_can_be_set_are_listed(hub: Counterpart, config: Run) -> None:
    known = {"for": "edges", "key": "tail", "applies": "at once", "meaning": "log files"}
    unfit = {"scope": "edges", "key": "colour", "reason": "colour is not a setting"}
    hub.answers["config.get"] = {"items": [ITEM], "known": [known], "not_applied": [unfit]}
    result = config("cluster")
    assert "debug" in result.stdout
    assert "not applied by the hub that answers: colour is not a setting" in result.stderr
    assert "log files" in config("cluster", "--known").stdout
    assert json.loads(config("cluster", "-o", "json").stdout)["items"] == [ITEM]


def test_nothing_that_is_set_is_exit_4(hub: Counterpart, config: Run) -> None:
    hub.answers["config.get"] = {"items": [], "known": [], "not_applied": []}
    assert config("cluster").exit_code == 4


def test_the_history_is_shown(hub: Counterpart, config: Run) -> None:
    hub.answers["config.history"] = {"items": [ITEM]}
    result = config("history", "log_level", "--limit", "5")
    assert hub.asked == [("config.history", {"key": "log_level", "limit": 5})]
    assert "ann" in result.stdout
    assert "info" in result.stdout


def test_drift_shows_the_worst_and_how_many_more(hub: Counterpart, config: Run) -> None:
    item = {"node_id": "n1", "state": "refused", "since": None, "wanted": "a" * 64}
    hub.answers["config.drift"] = {
        "totals": {"nodes": 9, "refused": 3, "current": 6, "behind": 0},
        "items": [{**item, "applied": "b" * 64, "error": "no such level", "waiting": []}],
        "more": 2,
    }
    result = config("drift", "--limit", "1")
    assert "aaaaaaaaaaaa " in result.stdout
    assert "no such level" in result.stdout
    assert "9 nodes, 3 refused, 6 current" in result.stderr
    assert "there are 2 more" in result.stderr


def test_one_edge_is_shown_with_where_its_settings_come_from(hub: Counterpart, config: Run) -> None:
    hub.answers["config.effective"] = {"state": "refused", "error": "no", "items": [ITEM]}
    result = config("node", "n1")
    assert "edges:role=web" in result.stdout
    assert "n1 is refused: no" in result.stderr


@pytest.mark.parametrize(
    ("text", "value"),
    [("15s", "15s"), ("", ""), ('["/a", "/b"]', ["/a", "/b"]), ('{"logs": 0.1}', {"logs": 0.1})],
)
def test_lists_and_tables_are_written_as_json(text: str, value: Any) -> None:
    assert read_value(text) == value


def test_what_cannot_be_read_is_wrong_use() -> None:
    with pytest.raises(SettingsError, match="begins like JSON"):
        read_value("[1,")
    for wrong in ("role", "=web"):
        with pytest.raises(SettingsError, match="must be NAME=VALUE"):
            read_labels((wrong,))
