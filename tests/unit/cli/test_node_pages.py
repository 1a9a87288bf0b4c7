"""`headwater nodes` and `headwater vms` show all there are, page after page, and what flags narrow."""

import json
from typing import Any

import pytest

from shared.errors import RpcError
from tests.unit.cli.conftest import Counterpart, Run

Hubs = tuple[Counterpart, Counterpart]
ALL = [{"node_id": f"edge-{number:04}", "state": "online", "name": "box"} for number in range(2500)]


def page_of(asked: dict[str, Any]) -> dict[str, Any]:
    """What a hub answers."""
    later = [each for each in ALL if each["node_id"] > asked.get("cursor", "")]
    page = later[: asked["limit"]]
    cursor = page[-1]["node_id"] if len(later) > len(page) else None
    return {"items": page, "total": 2500, "states": {"online": 2500}, "cursor": cursor}


@pytest.fixture
def fleet(hubs: Hubs) -> Counterpart:
    for method in ("node.list", "vm.list"):
        hubs[0].answers[method] = page_of
    return hubs[0]


@pytest.mark.parametrize("command", ["nodes", "vms"])
def test_a_long_list_is_shown_whole_page_after_page(
    fleet: Counterpart, headwater: Run, command: str
) -> None:
    result = headwater(command, "-o", "ndjson")
    assert result.exit_code == 0
    assert [json.loads(line) for line in result.stdout.splitlines()] == ALL
    assert [asked.get("cursor") for _, asked in fleet.asked] == [None, "edge-0999", "edge-1999"]


@pytest.mark.parametrize("form", ["table", "csv"])
def test_its_titles_stand_once(fleet: Counterpart, headwater: Run, form: str) -> None:
    lines = headwater("nodes", "-o", form).stdout.splitlines()
    assert len(lines) == 2501
    assert lines[0].lower().startswith("node")
    assert lines[2500].startswith("edge-2499")


def test_as_json_it_is_one_object_with_the_counts(fleet: Counterpart, headwater: Run) -> None:
    told = json.loads(headwater("nodes", "-o", "json").stdout)
    assert told["items"] == ALL
    assert (told["total"], told["states"], told["cursor"]) == (2500, {"online": 2500}, None)


def test_a_limit_cuts_it_and_says_how_to_go_on(fleet: Counterpart, headwater: Run) -> None:
    result = headwater("nodes", "--limit", "1200", "-o", "ndjson")
    assert len(result.stdout.splitlines()) == 1200
    assert [asked["limit"] for _, asked in fleet.asked] == [1000, 200]
    assert "1,200 of 2,500 machines are shown" in result.stderr
    assert "--cursor edge-1199" in result.stderr
    rest = headwater("nodes", "--after", "edge-1199", "-o", "ndjson")
    assert len(rest.stdout.splitlines()) == 1300


def test_flags_are_conditions(fleet: Counterpart, headwater: Run) -> None:
    words = "--state late --state offline --label site=a --label rack --heard-by hub-2 --text x"
    assert headwater("nodes", *words.split(), "--attention", "--not-draining").exit_code == 0
    assert fleet.asked[0][1] == {
        "states": ["late", "offline"],
        "labels": ["site=a", "rack"],
        "heard_by": "hub-2",
        "text": "x",
        "attention": True,
        "draining": False,
        "limit": 1000,
    }
    fleet.asked.clear()
    headwater("nodes")
    assert fleet.asked[0] == ("node.list", {"limit": 1000})


def test_a_page_that_fails_tells_where_to_go_on(fleet: Counterpart, headwater: Run) -> None:
    pages = fleet.answers["node.list"]

    def failing(asked: dict[str, Any]) -> Any:
        return {"code": -32603, "message": "no"} if "cursor" in asked else pages(asked)

    fleet.answers["node.list"] = failing
    result = headwater("nodes", "-o", "ndjson")
    assert isinstance(result.exception, RpcError)
    assert len(result.stdout.splitlines()) == 1000
    assert "after 1,000 machines it went wrong: --after edge-0999" in result.stderr


def test_a_limit_within_a_page_is_shown_as_one_table(fleet: Counterpart, headwater: Run) -> None:
    result = headwater("nodes", "--limit", "2")
    assert result.stdout.splitlines()[0].startswith("NODE       STATE")
    assert "2 of 2,500 machines are shown" in result.stderr
    told = json.loads(headwater("nodes", "--limit", "2", "-o", "json").stdout)
    assert (len(told["items"]), told["cursor"], told["total"]) == (2, "edge-0001", 2500)
