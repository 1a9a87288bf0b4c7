"""The commands about uptime, history and checks, against a server that answers as it is told."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from hub.cli.uptime import COMMANDS, bars, exact
from tests.unit.cli.conftest import Counterpart

Run = Callable[..., Result]
BY_NAME = {command.name: command for command in COMMANDS}
TOTAL = {"ratio": 0.99999, "coverage": 0.5, "health": "offline"}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Counterpart]:
    made = Counterpart("hub-1")
    made.announce(tmp_path)
    yield made
    made.close()


@pytest.fixture
def run(tmp_path: Path, hub: Counterpart) -> Run:
    def command(name: str, *words: str, **more: Any) -> Result:
        chosen: click.Command = BY_NAME[name]
        result = CliRunner().invoke(chosen, words, env={"DATA": str(tmp_path)}, **more)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return command


@pytest.mark.parametrize(
    ("share", "shown"),
    [(1, "100.00%"), (0.99999, "99.99%"), (0.000001, "0.01%"), (0, "0.00%"), (None, "-")],
)
def test_what_is_not_whole_is_not_shown_as_whole(share: float | None, shown: str) -> None:
    """99.999 % is no 100 %."""
    assert exact(share) == shown


def test_each_bar_is_the_worst_that_happened_in_it() -> None:
    """A second of downtime is seen; a time to come is empty."""
    drawn = bars([[300, 0, 0, 0], [299, 1, 0, 0], [298, 1, 1, 0], [0, 0, 0, 300], [0, 0, 0, 0]])
    assert drawn == "|-x. "
    assert bars(None) == "-"


def test_uptime_of_the_fleet_is_a_table_of_bars(run: Run, hub: Counterpart) -> None:
    """With where to go on, and what the signs mean."""
    item = {"node": "edge-1", "state": "online", "bars": [[300, 0, 0, 0]] * 3, "total": TOTAL}
    hub.answers["fleet.uptime"] = {"items": [item], "cursor": "edge-1"}
    result = run("uptime", "--text", "edge", "--scale", "24h")
    assert "edge-1  online  99.99%  50.00%  |||" in result.stdout
    assert "--after edge-1" in result.stderr
    assert "x no hub heard it" in result.stderr
    asked = {"scale": "24h", "text": "edge", "limit": 25}
    assert hub.asked == [("fleet.uptime", asked)]


def bucket(**seconds: float) -> dict[str, Any]:
    """One of node.uptime."""
    none = {f"{kind}_s": 0 for kind in ("healthy", "degraded", "offline", "unknown")}
    return {"start": "2026-11-21T00:00:00Z", **none, **seconds}


def test_uptime_of_one_node_is_one_line_or_rows_for_programs(run: Run, hub: Counterpart) -> None:
    """CSV has a row for each bar."""
    buckets = [bucket(healthy_s=300), bucket(offline_s=300)]
    hub.answers["node.uptime"] = {"node": "edge-1", "state": "late", "buckets": buckets}
    assert run("uptime", "edge-1").stdout.splitlines()[1].endswith("|x")
    rows = run("uptime", "edge-1", "--output", "csv").stdout.splitlines()
    assert rows[2] == "2026-11-21T00:00:00Z,0,0,300,0"


def test_history_says_how_to_go_on(run: Run, hub: Counterpart) -> None:
    """The end of the next page is where this one began."""
    row = {"since": "2026-11-21T10:00:00Z", "seconds": 90, "check": None, "state": "offline"}
    answer = {"items": [{**row, "hub": "hub-1", "reason": "no beat"}], "more": True}
    hub.answers["node.history"] = answer
    result = run("history", "edge-1", "--check", "ssh", "--limit", "1")
    assert "2026-11-21T10:00:00Z  1 m 30 s  -      offline  hub-1  no beat" in result.stdout
    assert "--end 2026-11-21T10:00:00Z" in result.stderr
    assert hub.asked[0][1]["check"] == "ssh"
    hub.answers["node.history"] = {"items": [], "more": False}
    assert run("history", "edge-1").exit_code == 4


@pytest.mark.parametrize(("ok", "code"), [(True, 0), (False, 1)])
def test_a_check_that_fails_is_told_by_the_exit_code(
    run: Run, hub: Counterpart, ok: bool, code: int
) -> None:
    """So that a script can act on it."""
    item = {"check": "ssh", "state": "ok", "target": "10.0.0.1:22", "took_ms": 1.5, "message": "m"}
    hub.answers["node.check"] = {"ok": ok, "items": [item]}
    result = run("check", "edge-1", "--name", "ssh")
    assert result.exit_code == code
    assert "ssh    ok     10.0.0.1:22  1.500" in result.stdout
    assert hub.asked == [("node.check", {"node": "edge-1", "check": "ssh"})]


def test_checks_are_set_from_a_file(run: Run, hub: Counterpart) -> None:
    """What is no list of JSON is refused before anything is asked."""
    checks = [{"name": "ssh", "kind": "tcp", "target": ":22"}]
    hub.answers["node.setChecks"] = {"node": "edge-1", "checks": checks}
    done = run("set-checks", "edge-1", "-", input=json.dumps(checks))
    assert (done.exit_code, done.stdout) == (0, "edge-1 has the checks ssh.\n")
    assert hub.asked == [("node.setChecks", {"node": "edge-1", "checks": checks})]
    for wrong in ("{", "{}"):
        with pytest.raises(Exception, match="the checks"):
            run("set-checks", "edge-1", "-", input=wrong)
    assert len(hub.asked) == 1


def test_the_summary_names_what_needs_a_person(run: Run, hub: Counterpart) -> None:
    """States, labels, failing checks and the worst nodes."""
    hub.answers["fleet.summary"] = {
        "nodes": 3,
        "states": {"online": 2, "offline": 1},
        "labels": {"role": [{"value": "db", "values": 1, "nodes": 3, "states": {"online": 2}}]},
        "checks": {"all": 6, "failing": 1},
        "draining": {"count": 0, "nodes": []},
        "failing": {"count": 1, "nodes": [{"node": "edge-2", "checks": ["ssh"]}]},
        "disputed": {"count": 21, "nodes": ["edge-3"]},
        "uptime": {"worst": [{"node": "edge-2", **TOTAL, "offline_s": 60, "degraded_s": 0}]},
    }
    shown = run("summary", "--label", "role").stdout
    for line in (
        "1 of 6 fail",
        "1: edge-2 (ssh)",
        "21: edge-3 ...",
        "role",
        "99.99%  50.00%  1 m 0 s",
        "db     3      2 online",
    ):
        assert line in shown
    assert hub.asked[0][1] == {"labels": ["role"], "scale": "5m"}
