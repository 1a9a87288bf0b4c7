"""What people see of disagreement: pages that are sound HTML, and commands that print it."""

import json
from collections.abc import Callable
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from starlette.requests import Request

from hub.cli import views as commands
from hub.cli.ask import Asker
from hub.peering.conflicts import Conflict, Side
from hub.peering.incident import Moment, Sight, Writes
from hub.peering.incident_report import incident, incidents
from hub.peering.view_section import HubBelief
from hub.peering.views import ViewBook
from hub.web.desk import Desk, environment
from hub.web.page import Page
from hub.web.view_pages import INCIDENT, INCIDENTS, VIEWS
from shared.errors import RpcError
from tests.api.web_html import Html
from tests.api.web_world import Web

ALIVE, DEAD = HubBelief("alive", "0123456789ab"), HubBelief("dead", "")
HOSTILE = "<script>alert(1)</script>"


def views_answer() -> dict[str, Any]:
    """Two hubs that disagree about a third one, and one that has fallen silent."""
    one, two = ViewBook("hub-1"), ViewBook("hub-2")
    one.believe({"hub-1": ALIVE, "hub-2": ALIVE, HOSTILE: DEAD}, {"online": 3, "late": 1})
    two.believe({"hub-1": ALIVE, "hub-2": ALIVE}, {"online": 4})
    one.take(two.of_mine("hub-1"), "hub-3", 0.0)
    for now in range(1, 9):
        one.take(two.of_mine("hub-1"), "hub-2", float(now))
        one.round(float(now))
    return one.to_wire(9.0)


def sights() -> list[Sight]:
    conflict = Conflict(
        "edge-1", "labels", "later stamp", Side(HOSTILE, "hub-2", 5_000), Side("{}", "hub-1", 4_000)
    )
    moment = Moment(1_000, (("hub-1",), ("hub-2",)))
    common = {"configured": ("hub-1", "hub-2"), "moments": (moment,), "conflicts": (conflict,)}
    return [
        Sight("hub-1", 1_000, writes=Writes(1, 2_000, 30), returned={"hub-2": "same"}, **common),  # type: ignore[arg-type]
        Sight("hub-2", 2_000, ended_ms=60_000, lasted_s=58.0, conflicts_more=4, **common),  # type: ignore[arg-type]
    ]


ANSWERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "hub.views": lambda params: {
        **views_answer(),
        **(
            {"nodes": [{"node_id": "edge-1", "bucket": 5, "mine": "ab", "theirs": None}]}
            if params
            else {}
        ),
    },
    "hub.incidents": lambda params: {"items": incidents(sights()), "total": 1},
    "hub.incident": lambda params: incident(params["incident"], sights()),
}


async def call(method: str, params: dict[str, Any]) -> dict[str, Any]:
    answer = ANSWERS[method](params)
    if answer is None:
        raise RpcError("not_found", f"no incident is called {params['incident']}")
    return dict(answer)


async def shown(page: Page, path: str, query: str = "", **parts: str) -> str:
    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "server": ("hub", 80),
        "path": path,
        "query_string": query.encode(),
        "headers": [(b"host", b"hub")],
        "path_params": parts,
    }
    answer = await Desk(call, Web().context, environment()).page(page, Request(scope))
    html = bytes(answer.body).decode()
    assert Html(html).problems() == []
    assert HOSTILE not in html
    return html


async def test_the_page_of_views_says_who_believes_what_and_where_they_disagree() -> None:
    html = await shown(VIEWS, "/hubs/views")
    assert "Hubs do not agree" in html
    assert "hub-1 says dead" in html
    assert "hub-2 says never heard of it" in html
    assert "not heard for 9.0 s" in html
    assert "Nodes that" not in html


async def test_the_page_of_views_lists_nodes_that_a_chosen_hub_holds_differently() -> None:
    html = await shown(VIEWS, "/hubs/views", "hub=hub-2")
    assert "Nodes that hub-2 holds differently" in html
    assert "does not have it" in html


async def test_the_page_of_incidents_leads_to_each() -> None:
    html = await shown(INCIDENTS, "/hubs/incidents")
    assert "/hubs/incidents/19700101T000001-hub-1" in html
    assert "hubs were apart" in html


async def test_the_page_of_an_incident_tells_all_of_it() -> None:
    name = "19700101T000002-hub-2"
    html = await shown(INCIDENT, f"/hubs/incidents/{name}", incident=name)
    for said in ("later stamp", "hub-1 | hub-2", "had gone on", "At least 4 more", "2,000"):
        assert said.lower() in html.lower(), said


async def test_an_unknown_incident_is_said_to_be_unknown() -> None:
    html = await shown(INCIDENT, "/hubs/incidents/x", incident="x")
    assert "no incident is called x" in html


async def test_a_hub_without_any_incident_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ANSWERS, "hub.incidents", lambda params: {"items": [], "total": 0})
    assert "were never apart" in await shown(INCIDENTS, "/hubs/incidents")


# ---- commands


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What the commands ask of a hub, which answers as above."""
    calls: list[tuple[str, dict[str, Any]]] = []

    def ask(self: Asker, method: str, params: dict[str, Any] | None = None) -> Any:
        given = {name: value for name, value in (params or {}).items() if value is not None}
        calls.append((method, given))
        return ANSWERS[method](given)

    monkeypatch.setattr(Asker, "ask", ask)
    return calls


def ran(command: click.Command, *words: str) -> Result:
    flags = ("--hub", "127.0.0.1:1", "--token", "t")
    return CliRunner().invoke(command, [*words, *flags], catch_exceptions=False)


def test_views_are_printed_with_where_hubs_disagree(asked: list[Any]) -> None:
    result = ran(commands.views)
    assert result.exit_code == 0
    assert "hub-2 alive" in result.stdout
    assert "hubs disagree for 8.0 s (8 rounds): hub-1 says dead" in result.stderr
    assert asked == [("hub.views", {})]


def test_the_nodes_of_one_bucket_are_compared_with_one_hub(asked: list[Any]) -> None:
    result = ran(commands.views, "hub-2", "--bucket", "5")
    assert result.stdout.split() == ["NODE", "BUCKET", "HERE", "THERE", "edge-1", "5", "ab", "-"]
    assert asked == [("hub.views", {"hub": "hub-2", "bucket": 5})]
    assert ran(commands.views, "--bucket", "5").exit_code == 2


def test_incidents_are_listed_and_one_is_shown_whole(asked: list[Any]) -> None:
    assert "19700101T000001-hub-1" in ran(commands.incidents).stdout
    shown_text = ran(commands.incidents, "19700101T000001-hub-1").stdout
    for said in ("Conflicts:", "later stamp", "hub-1 | hub-2", "at least 4 more"):
        assert said in shown_text
    told = json.loads(ran(commands.incidents, "19700101T000001-hub-1", "-o", "json").stdout)
    assert told["kind"] == "split"
    csv = ran(commands.incidents, "19700101T000001-hub-1", "-o", "csv").stdout
    assert csv.splitlines()[0] == "node,field,holds,by,lost,of,rule"
