"""`headwater hub days`: the files that are here, the limits, and on demand what went."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hub.cli.days import days
from tests.unit.cli.conftest import Counterpart

Hubs = tuple[Counterpart, Counterpart]


def shown(**changes: Any) -> dict[str, Any]:
    """An answer of hub.retention."""
    sums = {"chunks": 1200, "records": 3456, "bytes": 4096}
    file = {"day": "2026-11-20", "signal": "logs", **sums, "newest": None, "safe": True}
    gone = {"day": "2026-11-01", "signal": "logs", "reason": "age", **sums, "safe": True}
    return {
        "hub": "hub-1",
        "today": "2026-11-21",
        "policy": {
            "events": {"days": 0, "bytes": 0},
            "logs": {"days": 14, "bytes": 0},
            "traces": {"days": 7, "bytes": 2**30},
        },
        "signals": {"traces": {"over_bytes": 2048}},
        "files": [file],
        "files_total": 1,
        "dropped": [{**gone, "at": "2026-11-16T00:00:01Z", "state": "gone"}],
        **changes,
    }


def hub_days(*words: str) -> Result:
    return CliRunner().invoke(days, words, catch_exceptions=False)


@pytest.fixture
def hub(hubs: Hubs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counterpart:
    """The first of two hubs in the data folder."""
    monkeypatch.setenv("DATA", str(tmp_path))
    hubs[0].answers = {"hub.retention": shown()}
    return hubs[0]


def test_the_files_and_the_limits_are_shown(hub: Counterpart) -> None:
    result = hub_days()
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["DAY", "SIGNAL", "CHUNKS", "RECORDS", "SIZE", "SAFE"]
    assert lines[1].split() == ["2026-11-20", "logs", "1,200", "3,456", "4.0", "KiB", "yes"]
    assert lines[-3:] == [
        "events: kept for ever",
        "logs: kept for 14 days",
        "traces: kept for 7 days and 1.0 GiB, now 2.0 KiB over: today's, or waiting for copies",
    ]
    assert hub.asked == [("hub.retention", {"limit": 100})]


def test_what_went_is_shown_with_its_reason(hub: Counterpart) -> None:
    result = hub_days("--dropped", "--limit", "5")
    assert result.stdout.splitlines()[1].split()[:3] == ["2026-11-01", "logs", "age"]
    assert hub.asked == [("hub.retention", {"limit": 5})]


def test_files_that_are_left_out_are_told_of(hub: Counterpart) -> None:
    hub.answers["hub.retention"] = shown(files_total=7)
    result = hub_days("--limit", "1")
    assert "6 more are there: --limit 7" in result.stderr


def test_a_hub_without_data_says_that_nothing_matched(hub: Counterpart) -> None:
    hub.answers["hub.retention"] = shown(files=[], files_total=0)
    assert hub_days().exit_code == 4


def test_programs_get_the_whole_answer(hub: Counterpart) -> None:
    assert json.loads(hub_days("-o", "json").stdout) == shown()
    assert json.loads(hub_days("-o", "ndjson").stdout)["day"] == "2026-11-20"
