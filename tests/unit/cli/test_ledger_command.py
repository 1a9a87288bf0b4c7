"""`headwater ledger`: one line for each life of a log, and an exit code that a script can trust."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hub.cli.ledger import ledger
from tests.unit.cli.conftest import Counterpart

Hubs = tuple[Counterpart, Counterpart]
SUMMARY = "edge-1 epoch e1: 1..9 complete"


class InTurn(dict[str, Any]):
    """Answers of a method that come one after the other; the last one stays."""

    def __getitem__(self, method: str) -> Any:
        answers = super().__getitem__(method)
        return answers.pop(0) if len(answers) > 1 else answers[0]


def page(verdict: str = "verified", cursor: str | None = None, broken: int = 0) -> dict[str, Any]:
    faults = [{"first": 4, "last": 4, "fault": "the body has another hash"}] * broken
    epoch = {"epoch": "e1", "chunks": 5, "bytes": 2048, "broken": broken, "faults": faults}
    return {"hub": "hub-1", "verdict": verdict, "cursor": cursor, "epochs": [epoch]}


def epoch(**changes: Any) -> dict[str, Any]:
    return {
        "epoch": "e1",
        "summary": SUMMARY,
        "by_signal": {"logs": {"chunks": 9, "records": 27, "bytes": 4096}},
        "gaps": [],
        "gaps_left_out": 0,
        "conflict_chunks": 0,
        "predecessor": None,
        **changes,
    }


def shown(**changes: Any) -> dict[str, Any]:
    told = {"epochs": [epoch()], "edge": None, "conflicts": [], "complete": True}
    return {"hub": "hub-1", "node": "edge-1", **told, **changes}


def headwater_ledger(*words: str) -> Result:
    return CliRunner().invoke(ledger, words, catch_exceptions=False)


@pytest.fixture
def hub(hubs: Hubs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counterpart:
    """The first of two hubs in the data folder."""
    monkeypatch.setenv("DATA", str(tmp_path))
    return hubs[0]


def test_verify_reads_page_after_page_from_the_same_hub(hub: Counterpart) -> None:
    pages = [page("unfinished", "6:e1"), page()]
    hub.answers = InTurn({"ledger.verify": pages, "ledger.show": [shown()]})
    result = headwater_ledger("verify", "edge-1", "--from", "2")
    assert result.exit_code == 0
    assert SUMMARY in result.stdout
    assert "10 chunks read, 4.0 KiB" in result.stdout
    assert hub.asked[:2] == [
        ("ledger.verify", {"node": "edge-1", "from": 2}),
        ("ledger.verify", {"node": "edge-1", "from": 2, "hub": "hub-1", "cursor": "6:e1"}),
    ]


@pytest.mark.parametrize(
    ("pages", "code"),
    [
        ([page("verified")], 0),
        ([page("holes")], 3),
        ([page("broken", broken=1)], 1),
        ([page("broken", "6:e1", broken=1), page("verified")], 1),
        ([page("broken", "6:e1", broken=1), page("holes")], 1),
    ],
)
def test_the_exit_code_tells_broken_from_missing(
    hub: Counterpart, pages: list[Any], code: int
) -> None:
    hub.answers = InTurn({"ledger.verify": pages, "ledger.show": [shown()]})
    result = headwater_ledger("verify", "edge-1")
    assert result.exit_code == code
    assert ("4: the body has another hash" in result.stderr) == (code == 1)


def test_all_hubs_are_asked_and_one_that_is_silent_is_no_success(hub: Counterpart) -> None:
    silent = {"code": -32011, "message": "hub-2 does not answer", "data": {"kind": "no_path"}}
    listed = {"items": [{"hub_id": "hub-1"}, {"hub_id": "hub-2"}]}
    pages = [page(), silent]
    hub.answers = InTurn({"hub.list": [listed], "ledger.verify": pages, "ledger.show": [shown()]})
    result = headwater_ledger("verify", "edge-1", "--all-hubs", "-o", "json")
    assert result.exit_code == 1
    items = json.loads(result.stdout)["items"]
    assert [item["verdict"] for item in items] == ["verified", "failed"]
    assert [params["hub"] for method, params in hub.asked if method == "ledger.verify"] == [
        "hub-1",
        "hub-2",
    ]


def test_show_tells_what_is_held_lost_and_contradicted(hub: Counterpart) -> None:
    gap = {"reason": "shed", "signal": "logs", "chunks": 2, "records": 1200, "ranges": [[4, 5]]}
    former = {"epoch": "e0", "last_seq": 12, "held": 9, "carried_over": 3, "beyond": []}
    sums = {"produced": 10, "safe": 9, "buffered": 1, "balance": 0}
    edge = {**sums, "by_signal": {"logs": sums}, "note": "told 2 s ago: the sums balance"}
    conflict = {
        "time": "2026-11-21T05:29:46Z",
        "epoch": "e1",
        "seq": 4,
        "sender": "edge-1 at 10.0.0.9\x1b[2J",
        "reason": "cloned_origin: other bytes under the same key",
    }
    told = shown(epochs=[epoch(gaps=[gap], predecessor=former)], edge=edge, conflicts=[conflict])
    hub.answers = {"ledger.show": told}
    result = headwater_ledger("show", "edge-1")
    assert result.exit_code == 0
    for text in (SUMMARY, "1,200", "4-5", "3 carried over", "sums balance", "from edge-1 at 10"):
        assert text in result.stdout
    assert "\x1b" not in result.stdout


def test_show_says_by_its_exit_code_that_numbers_are_missing(hub: Counterpart) -> None:
    hub.answers = {"ledger.show": shown(complete=False)}
    assert headwater_ledger("show", "edge-1", "-o", "json").exit_code == 3
