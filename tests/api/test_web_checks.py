"""The checks and the history of a node on pages: what was seen, and a button that runs a check."""

import pytest

from shared.errors import RpcError
from tests.api.web_html import Html
from tests.api.web_uptime_answers import LINE
from tests.api.web_world import Web


async def test_the_page_of_a_node_has_a_button_for_each_check_that_runs_it() -> None:
    web = Web()
    async with web.client() as client:
        html = Html((await client.get("/nodes/edge-1")).text)
        csrf = html.all("input", name="csrf")[0].get("value")
        assert html.all("button", **{"aria-label": "Run ssh now"})
        form = {"csrf": csrf, "check": "ssh"}
        answer = await client.post("/nodes/edge-1/check", data=form)
        await client.post("/nodes/edge-1/check", data={"csrf": csrf})
    assert answer.status_code == 200
    assert "hub-1 ran 1 check just now" in answer.text
    assert "refused &lt;again&gt;" in answer.text
    asked = [params for method, params in web.script.asked if method == "node.check"]
    assert asked == [{"node": "edge-1", "check": "ssh"}, {"node": "edge-1", "check": None}]


async def test_a_check_that_is_not_there_is_said_so() -> None:
    web = Web()
    web.script.answers["node.check"] = RpcError("not_found", "edge-1 has no check ftp")
    async with web.client() as client:
        html = Html((await client.get("/nodes/edge-1")).text)
        form = {"csrf": html.all("input", name="csrf")[0].get("value"), "check": "ftp"}
        answer = await client.post("/nodes/edge-1/check", data=form)
    assert answer.status_code == 404
    assert "edge-1 has no check ftp" in answer.text


async def test_the_page_of_a_node_shows_the_newest_lines_and_leads_to_all() -> None:
    web = Web()
    async with web.client() as client:
        shown = (await client.get("/nodes/edge-1")).text
        whole = (await client.get("/nodes/edge-1/history?check=ssh")).text
        twin = (await client.get("/nodes/edge-1/history.json")).json()
    assert 'href="/nodes/edge-1/history"' in shown
    for page in (shown, whole):
        assert "no route &lt;there&gt;" in page
        assert "check ssh" in page
        assert "the machine" in page
    assert "Older lines" in whole
    assert twin["items"][0] == LINE


@pytest.mark.parametrize("path", ["/nodes/edge-1", "/nodes/edge-1/history"])
async def test_without_history_the_pages_say_what_will_be_there(path: str) -> None:
    web = Web()
    web.script.answers["node.history"] = {"node": "edge-1", "items": [], "more": False}
    web.script.answers["node.checks"] = {"node": "edge-1", "items": [], "unreadable": None}
    async with web.client() as client:
        shown = (await client.get(path)).text
    assert "Nothing was observed in" in shown
    assert "falls silent or comes back" in shown
