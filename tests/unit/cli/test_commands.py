"""What each command asks for, and how the answer looks."""

import csv
import io
import json
from typing import Any

import pytest

from shared.main import COMMANDS
from tests.unit.cli.conftest import Counterpart, Run

Hubs = tuple[Counterpart, Counterpart]

LOG = {
    "time": "2026-11-21T05:29:46.821123456Z",
    "node": "edge-1",
    "severity": "WARN",
    "service": "shop",
    "body": "=cmd() \x1b[31mred\nnext",
    "attributes": {},
}


def test_a_log_search_sends_only_what_was_asked(hubs: Hubs, headwater: Run) -> None:
    """A default that is left out is the hub's own."""
    hubs[0].answers["log.query"] = {"items": [LOG], "cursor": "c-2"}
    words = [
        "--text",
        "red",
        "--node",
        "a",
        "--node",
        "b",
        "--attribute",
        "k=v=w",
        "--start",
        "-15m",
    ]
    result = headwater("logs", *words)
    assert result.exit_code == 0
    assert hubs[0].asked == [
        (
            "log.query",
            {
                "text": "red",
                "nodes": ["a", "b"],
                "attributes": {"k": "v=w"},
                "start": "-15m",
                "limit": 100,
                "signal": "logs",
            },
        )
    ]
    assert "there is more: --cursor c-2" in result.stderr


def test_a_table_cannot_steer_the_terminal(hubs: Hubs, headwater: Run) -> None:
    """Log bodies are written by strangers."""
    hubs[0].answers["log.query"] = {"items": [LOG]}
    lines = headwater("logs").stdout.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("2026-11-21T05:29:46.821Z  edge-1  WARN")
    assert "\x1b" not in lines[1]
    assert "red\\nnext" in lines[1]


def test_json_and_ndjson_keep_every_byte(hubs: Hubs, headwater: Run) -> None:
    """What a program reads is what the hub said."""
    answer = {"items": [LOG, LOG], "cursor": None}
    hubs[0].answers["log.query"] = answer
    assert json.loads(headwater("logs", "-o", "json").stdout) == answer
    lines = headwater("logs", "-o", "ndjson").stdout.splitlines()
    assert [json.loads(line) for line in lines] == [LOG, LOG]


def test_csv_does_not_start_a_formula(hubs: Hubs, headwater: Run) -> None:
    """Spreadsheets run what begins with an equals sign."""
    hubs[0].answers["log.query"] = {"items": [LOG]}
    rows = list(csv.reader(io.StringIO(headwater("logs", "-o", "csv").stdout)))
    assert rows[0] == ["time", "node", "severity", "service", "body"]
    assert rows[1][4] == "'" + str(LOG["body"])


def test_metrics_without_a_name_lists_the_names(hubs: Hubs, headwater: Run) -> None:
    """And with one shows its points and the gaps between them, but not the time around them."""
    hubs[0].answers["metric.names"] = {
        "items": [{"name": "system.cpu.time", "unit": "s", "kind": "sum", "nodes": ["edge-1"]}]
    }
    assert "system.cpu.time  s     sum   edge-1" in headwater("metrics").stdout
    hubs[0].answers["metric.query"] = {
        "series": [
            {
                "node": "edge-1",
                "attributes": {},
                "points": [[-30, None], [0, 1.5], [30, None], [60, 2], [90, None]],
            }
        ]
    }
    lines = headwater("metrics", "system.cpu.time", "--step", "30s").stdout.splitlines()
    assert lines[1].split() == ["1970-01-01T00:00:00Z", "edge-1", "1.5", "{}"]
    assert lines[2].split() == ["1970-01-01T00:00:30Z", "edge-1", "-", "{}"]
    assert len(lines) == 4


def test_a_trace_is_a_waterfall(hubs: Hubs, headwater: Run) -> None:
    """Children stand below their parents, further in."""
    span = {"offset_ms": 0, "duration_ms": 5, "status": "ok", "node": "n", "service": "s"}
    spans = [{**span, "name": "root", "depth": 0}, {**span, "name": "child", "depth": 1}]
    hubs[0].answers["trace.get"] = {"trace_id": "t", "spans": spans}
    lines = headwater("trace", "t").stdout.splitlines()
    assert lines[2].index("child") == lines[1].index("root") + 2


def test_a_vm_is_created_with_its_spec(hubs: Hubs, headwater: Run) -> None:
    """The sandbox that ships with Headwater is the default."""
    hubs[0].answers["vm.create"] = {"state": "done"}
    assert headwater("vm", "create", "box", "--node", "edge-1", "--no-start").exit_code == 0
    (method, params) = hubs[0].asked[0]
    assert method == "vm.create"
    assert params["spec"] == {"name": "box", "image": "builtin:shell"}
    assert (params["node"], params["start"], params["wait_s"]) == ("edge-1", False, 30.0)


def test_rpc_sends_json_values_as_such(hubs: Hubs, headwater: Run) -> None:
    """Text needs no quotes."""
    hubs[0].answers["log.query"] = {"items": []}
    headwater("rpc", "log.query", "limit=5", 'nodes=["a"]', "text=two words")
    assert hubs[0].asked[0][1] == {"limit": 5, "nodes": ["a"], "text": "two words"}


@pytest.mark.parametrize("words", [["rpc", "m", "x"], ["logs", "--attribute", "x"]])
def test_a_pair_without_an_equals_sign_is_wrong_use(hubs: Hubs, headwater: Run, words: Any) -> None:
    """Exit 2, and no hub is asked."""
    assert headwater(*words).exit_code == 2
    assert hubs[0].asked == []


def test_config_show_tells_where_each_value_comes_from(headwater: Run) -> None:
    """Secrets are not shown."""
    result = headwater(
        *("config", "show", "hub", "--sources", "-o", "json"), PORT="9000", CLUSTER_KEY="hush"
    )
    rows = {row["setting"]: row for row in json.loads(result.stdout)["items"]}
    assert (rows["port"]["value"], rows["port"]["source"]) == (9000, "environment PORT")
    assert (rows["cluster_key"]["value"], rows["host"]["source"]) == ("(secret)", "default")
    assert "hush" not in result.output


def test_every_command_of_the_table_can_be_loaded(headwater: Run) -> None:
    """And its own help names what it does."""
    for name in COMMANDS:
        result = headwater(name, "--help")
        assert result.exit_code == 0, name
        assert "Usage:" in result.stdout


def test_an_unknown_command_is_wrong_use(headwater: Run) -> None:
    """As everywhere."""
    assert headwater("nodez").exit_code == 2


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["hub", "run", "PORT=1"], "Did you mean --port 1? PORT=... goes before the command."),
        (["hub", "run", "PEER_MASTERS=a:1,b:2"], "Did you mean --peers a:1,b:2?"),
        (["hub", "run", "--port", "1", "INSECURE=1"], "Did you mean --insecure?"),
        (["edge", "run", "MASTERS=a:1"], "Did you mean --masters a:1?"),
        (["hub", "run", "FOO=1"], "unexpected extra argument (FOO=1)"),
    ],
)
def test_a_setting_spelled_as_a_variable_after_the_command_is_told_its_flag(
    words: list[str], hint: str, headwater: Run
) -> None:
    """./start.sh takes it so."""
    result = headwater(*words)
    assert result.exit_code == 2
    assert hint in " ".join(result.output.split())
