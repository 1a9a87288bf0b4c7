"""Searches on the command line: flags as parameters, pages followed, and what the answer covers."""

import csv
import io
import json
from typing import Any

import pytest
from click.testing import CliRunner

from hub.cli import follow
from hub.cli.telemetry import labels
from tests.unit.cli.conftest import Counterpart, Run

Hubs = tuple[Counterpart, Counterpart]

COVERAGE = {
    "hub": "hub-1",
    "complete_until": "2026-11-21T05:29:46.821123456Z",
    "behind": [],
    "missing_nodes": [],
    "partial": False,
}
PARTIAL = {
    **COVERAGE,
    "behind": [{"node": "edge-2", "state": "dark", "chunks": 3, "records": 1200, "age_s": 90.0}],
    "missing_nodes": ["edge-9"],
    "partial": True,
    "index": {"behind_chunks": 1234, "error": None},
    "damaged_chunks": 2,
    "gaps": {"records": 7, "reasons": {"evicted": 7}, "nodes": ["edge-1"]},
    "skewed": [{"node": "edge-3", "clock_skew_ms": -65000}],
}

LOGS = {"signal": "logs", "limit": 100}

ASKED: list[tuple[str, str, dict[str, Any]]] = [
    ("logs", "log.query", LOGS),
    ("logs --word red --word hot", "log.query", {**LOGS, "words": ["red", "hot"]}),
    ("logs --severity WARN --severity-max ERROR", "log.query",
     {**LOGS, "severity": "WARN", "severity_max": "ERROR"}),
    ("logs --service a", "log.query", {**LOGS, "service": "a"}),
    ("logs --service a --service b", "log.query", {**LOGS, "services": ["a", "b"]}),
    ("logs --attribute k=v --attribute l!=w --attribute m=x*", "log.query",
     {**LOGS, "attributes": {"k": "v", "l": {"not": "w"}, "m": {"prefix": "x"}}}),
    ("logs --backfilled", "log.query", {**LOGS, "backfilled": True}),
    ("logs --fresh", "log.query", {**LOGS, "backfilled": False}),
    ("logs --oldest-first --limit 5", "log.query", {**LOGS, "order": "oldest", "limit": 5}),
    ("events --type vm.* --subject box", "event.list",
     {"type": "vm.*", "subject": "box", "limit": 100}),
    ("events --service a", "event.list", {"attributes": {"service.name": "a"}, "limit": 100}),
    ("events --trace-id t", "log.query", {"trace_id": "t", "signal": "events", "limit": 100}),
    ("metrics --node a", "metric.names", {"nodes": ["a"]}),
    ("metrics m --aggregation increase --group-by a --group-by b --group max", "metric.query",
     {"name": "m", "aggregation": "increase", "group_by": ["a", "b"], "group": "max"}),
    ("metrics m --quantile 0.99 --attribute k!=v --attribute l=x*", "metric.query",
     {"name": "m", "quantile": 0.99, "attributes": {"k": "!=v", "l": "x*"}}),
    ("metrics --series --attribute k=v", "series.list", {"attributes": {"k": "v"}}),
    ("metrics m --series --limit 9", "series.list", {"name": "m", "limit": 9}),
    ("traces --slowest --max-duration-ms 9.5", "trace.search",
     {"order": "slowest", "max_duration_ms": 9.5, "limit": 50}),
    ("traces --attribute k=v --errors-only", "trace.search",
     {"attributes": {"k": "v"}, "errors_only": True, "limit": 50}),
]  # fmt: skip


@pytest.mark.parametrize(("words", "method", "params"), ASKED, ids=[each[0] for each in ASKED])
def test_flags_are_the_parameters_of_a_method(
    hubs: Hubs, headwater: Run, words: str, method: str, params: dict[str, Any]
) -> None:
    hubs[0].answers[method] = {"items": [], "series": []}
    headwater(*words.split())
    assert hubs[0].asked == [(method, params)]


MISUSED = [
    "logs --all --limit 5",
    "logs --by node",
    "logs --histogram --limit 5",
    "logs --histogram --all",
    "logs --histogram --follow",
    "logs --histogram --bins 5 --step 10s",
    "logs --follow --all",
    "logs --follow --limit 5",
    "logs --follow --backfilled --fresh --order oldest",
    "logs --oldest-first --order newest",
    "logs --attribute k!=v*",
    "logs --limit 10000001",
    "events --follow --type x",
    "events --trace-id t --type x",
    "events --service a --attribute service.name=b",
    "metrics --step 10s",
    "metrics m --limit 5",
    "metrics m --series --quantile 0.5",
    "metrics m --quantile 2",
    "traces --slowest --all",
    "traces --slowest --limit 501",
    "traces --attribute k!=v",
]


@pytest.mark.parametrize("words", MISUSED)
def test_flags_that_say_nothing_together_are_refused(
    hubs: Hubs, headwater: Run, words: str
) -> None:
    """Nothing that a person wrote is left out without a word."""
    result = headwater(*words.split())
    assert result.exit_code == 2
    assert "Usage:" in result.stderr
    assert hubs[0].asked == []


def row(number: int) -> dict[str, Any]:
    return {"time": "2026-11-21T05:00:00Z", "node": "edge-1", "body": f"line {number}"}


class Pages:
    """Answers log.query along cursors, with pages of any length."""

    def __init__(self, hub: Counterpart, *lengths: int, last: Any = None) -> None:
        self.hub, self.lengths, self.last = hub, lengths, last
        self.total = sum(lengths)

    def install(self) -> None:
        pages = self

        class Answers(dict[str, Any]):
            def __getitem__(self, method: str) -> Any:
                return pages.page(pages.hub.asked[-1][1])

        self.hub.answers = Answers()

    def page(self, params: dict[str, Any]) -> Any:
        at = int(params.get("cursor", 0))
        if at == len(self.lengths):
            return self.last
        first = sum(self.lengths[:at])
        items = [row(number) for number in range(first, first + self.lengths[at])]
        is_last = at + 1 == len(self.lengths) and self.last is None
        cursor = None if is_last else str(at + 1)
        return {"items": items, "cursor": cursor, "scanned": {"chunks": 1}, "coverage": COVERAGE}


@pytest.mark.parametrize("form", ["table", "json", "ndjson", "csv"])
def test_all_pages_come_in_every_form(hubs: Hubs, headwater: Run, form: str) -> None:
    """An empty page in the middle does not end it."""
    Pages(hubs[0], 3, 0, 2).install()
    result = headwater("logs", "--all", "-o", form)
    assert result.exit_code == 0
    assert bodies(form, result.stdout) == [f"line {number}" for number in range(5)]
    assert [params["limit"] for _, params in hubs[0].asked] == [1000, 1000, 1000]
    assert "complete until 2026-11-21T05:29:46.821Z (hub-1)" in result.stderr


def bodies(form: str, text: str) -> list[str]:
    if form == "json":
        answer = json.loads(text)
        assert (answer["cursor"], answer["scanned"]) == (None, {"chunks": 3})
        return [item["body"] for item in answer["items"]]
    if form == "ndjson":
        return [json.loads(line)["body"] for line in text.splitlines()]
    if form == "csv":
        return [line["body"] for line in csv.DictReader(io.StringIO(text))]
    return [" ".join(line.split()[-2:]) for line in text.splitlines()[1:]]


def test_json_of_no_row_is_json(hubs: Hubs, headwater: Run) -> None:
    Pages(hubs[0], 0).install()
    result = headwater("logs", "--all", "-o", "json")
    assert json.loads(result.stdout)["items"] == []
    assert result.exit_code == 4


def test_a_limit_beyond_a_page_is_taken_in_pages(hubs: Hubs, headwater: Run) -> None:
    Pages(hubs[0], 1000, 1000, 500).install()
    result = headwater("logs", "--limit", "2500", "-o", "ndjson")
    assert len(result.stdout.splitlines()) == 2500
    assert [params["limit"] for _, params in hubs[0].asked] == [1000, 1000, 500]


def test_the_next_hub_goes_on_where_the_first_was_lost(hubs: Hubs, headwater: Run) -> None:
    """A cursor is good at every hub."""
    Pages(hubs[0], 3, last=503).install()
    Pages(hubs[1], 3, 2).install()
    result = headwater("logs", "--all", "-o", "ndjson")
    assert bodies("ndjson", result.stdout) == [f"line {number}" for number in range(5)]
    assert "hub-1 does not answer" in result.stderr


def test_a_page_that_fails_tells_where_to_go_on(hubs: Hubs, headwater: Run) -> None:
    refusal = {"code": -32016, "message": "too much", "data": {"kind": "quota"}}
    Pages(hubs[0], 3, last=refusal).install()
    result = headwater("logs", "--all", "-o", "ndjson")
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 3
    assert "after 3 items it went wrong: --cursor 1" in result.stderr


@pytest.mark.parametrize("form", ["table", "json", "ndjson", "csv"])
@pytest.mark.parametrize(
    ("words", "method", "answer"),
    [
        ("logs", "log.query", {"items": [row(1)]}),
        ("events", "event.list", {"items": [row(1)]}),
        ("metrics", "metric.names", {"items": [{"name": "m"}]}),
        ("metrics m", "metric.query",
         {"series": [{"node": "n", "attributes": {}, "points": [[0, 1]]}]}),
        ("metrics --series", "series.list", {"items": [{"name": "m"}]}),
        ("traces", "trace.search", {"items": [{"trace_id": "t"}]}),
        ("trace t", "trace.get", {"spans": [{"name": "x", "depth": 0}]}),
        ("logs --histogram", "log.histogram",
         {"bins": [{"time": "t", "records": 1, "counts": {"INFO": 1}}], "totals": {"INFO": 1}}),
    ],
)  # fmt: skip
def test_a_partial_answer_is_told_and_ends_with_3(
    hubs: Hubs, headwater: Run, form: str, words: str, method: str, answer: dict[str, Any]
) -> None:
    """In every form: the rows are on standard output, and what they lack is on standard error."""
    hubs[0].answers[method] = {**answer, "coverage": PARTIAL, "scanned": {"unreadable_chunks": 1}}
    result = headwater(*words.split(), "-o", form)
    assert result.exit_code == 3
    assert result.stdout
    assert result.stderr.splitlines() == [
        "complete until 2026-11-21T05:29:46.821Z (hub-1)",
        "edge-2 (dark) is behind by 1 m 30 s: 3 chunks, 1,200 records to come",
        "the index is behind by 1,234 chunks, which were read instead",
        "2 damaged chunks are not yet fetched from another hub",
        "the clock of edge-3 is 1 m 5 s behind",
        "1 damaged chunks were left out",
        "declared lost by edge-1: 7 records (7 evicted)",
        "partial: nothing from edge-9",
    ]


def test_an_answer_of_unknown_age_says_so(hubs: Hubs, headwater: Run) -> None:
    dark = {"node": "edge-2", "state": "dark", "chunks": 0, "records": 0, "age_s": None}
    coverage = {**COVERAGE, "complete_until": None, "behind": [dark] * 12, "partial": True}
    hubs[0].answers["log.query"] = {"items": [row(1)], "coverage": coverage}
    lines = headwater("logs").stderr.splitlines()
    assert lines[0] == "it is not known until when this is complete (hub-1)"
    assert lines[1] == "edge-2 (dark) was never heard of: 0 chunks, 0 records to come"
    assert lines[11] == "2 more nodes are behind"


def test_series_are_listed_with_their_labels(hubs: Hubs, headwater: Run) -> None:
    series = {"name": "m", "node": "n", "attributes": {"k": "v"}, "kind": "sum", "unit": "s",
              "first": "2026-11-21T05:00:00Z", "last": "2026-11-21T06:00:00Z"}  # fmt: skip
    hubs[0].answers["series.list"] = {"items": [series], "scanned": {"complete": False}}
    result = headwater("metrics", "--series")
    assert '{"k":"v"}' in result.stdout
    assert "not all was looked at" in result.stderr


@pytest.mark.parametrize(("signal", "counted"), [("logs", "records"), ("metrics", "series")])
def test_values_of_a_label_come_with_their_counts(
    hubs: Hubs, tmp_path: Any, signal: str, counted: str
) -> None:
    hubs[0].answers["label.values"] = {"items": [{"value": "shop", counted: 41}], "more": 7}
    words = ["service.name", "--signal", signal, "--attribute", "k!=v"]
    result = CliRunner().invoke(labels, words, env={"DATA": str(tmp_path)})
    assert result.exit_code == 0
    assert result.stdout.split() == ["VALUE", counted.upper(), "shop", "41"]
    assert "7 more did not fit" in result.stderr
    wish: Any = "!=v" if signal == "metrics" else {"not": "v"}
    assert hubs[0].asked == [
        ("label.values", {"label": "service.name", "signal": signal, "attributes": {"k": wish}})
    ]


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("logs", "start end node text severity severity-max attribute backfilled fresh word service "
         "trace-id order oldest-first limit all cursor histogram by bins step follow position output"),
        ("events", "type subject start end node text severity attribute backfilled order limit all "
         "cursor follow output"),
        ("metrics", "start end node attribute step aggregation quantile group-by group series limit"),
        ("traces", "start end node attribute service name min-duration-ms max-duration-ms "
         "errors-only slowest limit all cursor output"),
    ],
)  # fmt: skip
def test_the_help_lists_every_option(headwater: Run, command: str, options: str) -> None:
    told = headwater(command, "--help").stdout
    for option in options.split():
        assert f"--{option}" in told, option


@pytest.mark.parametrize(
    ("words", "filters"),
    [
        ("logs --follow --text x --start -5m", {"signal": "logs", "text": "x", "since": "-5m"}),
        (
            "events -f --service a --attribute k!=v",
            {"signal": "events", "service": "a", "attributes": {"k": {"not": "v"}}},
        ),
    ],
)
def test_following_asks_for_a_tail_with_the_same_filters(
    headwater: Run, monkeypatch: pytest.MonkeyPatch, words: str, filters: dict[str, Any]
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(follow, "follow", lambda asker, given, *_: asked.append(given))
    assert headwater(*words.split()).exit_code == 0
    assert list(map(follow.tail_params, asked)) == [filters]


@pytest.mark.parametrize("flag", ["--type", "--subject"])
def test_a_flag_that_takes_one_value_refuses_a_second_one(
    flag: str, hubs: Hubs, headwater: Run
) -> None:
    """Silently, the last one would be taken."""
    result = headwater("events", flag, "peer.dead", flag, "peer.alive")
    assert result.exit_code == 2
    assert f"{flag} is taken once, not 2 times" in result.output
    assert hubs[0].asked == []
