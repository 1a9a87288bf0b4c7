"""The page of removed nodes, and the forms about who belongs to the fleet."""

import pytest

from shared.errors import RpcError
from tests.api.web_answers import node
from tests.api.web_html import Html
from tests.api.web_world import Web

REMOVED = {
    "node": "edge-9",
    "removed": "2026-08-01T10:00:00Z",
    "by": "ada on desk",
    "why": "sold <b>",
    "asks_since": "2026-08-02T10:00:00Z",
    "asked_last": "2026-08-02T11:00:00Z",
    "refused_beats": 7,
}


@pytest.fixture
def web() -> Web:
    made = Web()
    made.script.answers["node.removed"] = {"items": [REMOVED], "total": 1}
    made.script.answers["node.register"] = node("edge-9")
    made.script.answers["node.remove"] = {"node_id": "edge-1"}
    made.script.answers["node.setRole"] = node("edge-1", role="db")
    for method in ("node.uptime", "node.checks", "node.history"):  # Nothing of this is about them.
        made.script.answers.setdefault(method, RpcError("not_found", "nothing is known"))
    return made


async def test_the_page_names_who_was_removed_and_who_asks_to_come_back(web: Web) -> None:
    async with web.client() as client:
        shown = (await client.get("/nodes/removed")).text
        twin = (await client.get("/nodes/removed.json")).json()
    assert "sold &lt;b&gt;" in shown
    assert 'aria-label="Let edge-9 back"' in shown
    assert "headwater nodes removed" in shown
    assert twin["items"] == [REMOVED]


async def test_a_removed_node_is_let_back_by_a_button(web: Web) -> None:
    async with web.client() as client:
        html = Html((await client.get("/nodes/removed")).text)
        fields = {
            each.get("name"): each.get("value") for each in html.all("input", name="csrf")[:1]
        }
        answer = await client.post("/nodes/register", data={**fields, "node": "edge-9"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/nodes/edge-9")
    assert web.script.params_of("node.register") == {
        "node": "edge-9",
        "role": "",
        "who": "an operator on a page",
        "labels": {},
    }


async def test_labels_are_written_as_people_write_them(web: Web) -> None:
    async with web.client() as client:
        token = Html((await client.get("/nodes/removed")).text).all("input", name="csrf")[0]
        form = {"csrf": token.get("value"), "node": "edge-7", "role": "db"}
        await client.post("/nodes/register", data={**form, "labels": "rack=7, site=north"})
        refused = await client.post("/nodes/register", data={**form, "labels": "rack"})
    assert web.script.params_of("node.register")["labels"] == {"rack": "7", "site": "north"}
    assert refused.status_code == 400
    assert "Write labels as key=value, not &#39;rack&#39;." in refused.text
    assert 'value="edge-7"' in refused.text


async def test_a_node_is_removed_only_when_its_name_is_typed(web: Web) -> None:
    async with web.client() as client:
        token = Html((await client.get("/nodes/edge-1")).text).all("input", name="csrf")[0]
        form = {"csrf": token.get("value"), "why": "sold"}
        refused = await client.post("/nodes/edge-1/remove", data={**form, "confirm": "edge-2"})
        asked = [method for method, _ in web.script.asked]
        gone = await client.post("/nodes/edge-1/remove", data={**form, "confirm": "edge-1"})
    assert refused.status_code == 400
    assert "To remove edge-1, type its name: nothing was removed." in refused.text
    assert "node.remove" not in asked
    assert (gone.status_code, gone.headers["location"]) == (303, "/nodes/removed")
    assert web.script.params_of("node.remove") == {
        "node": "edge-1",
        "why": "sold",
        "who": "an operator on a page",
        "force": False,
    }


async def test_a_node_that_still_beats_is_refused_with_the_words_of_the_hub(web: Web) -> None:
    words = "edge-1 still beats (online, heard 0.4 s ago): stop its edge first"
    web.script.answers["node.remove"] = RpcError("invalid_state", words)
    async with web.client() as client:
        page = Html((await client.get("/nodes/edge-1")).text)
        token = page.all("input", name="csrf")[0]
        assert page.all("select", name="force")
        form = {"csrf": token.get("value"), "confirm": "edge-1", "force": "1"}
        refused = await client.post("/nodes/edge-1/remove", data=form)
    assert web.script.params_of("node.remove")["force"] is True
    assert refused.status_code == 409
    assert words in refused.text


async def test_a_role_is_set_by_a_form_and_shown(web: Web) -> None:
    web.script.answers["node.get"] = node("edge-1", role="db.primary")
    async with web.client() as client:
        page = await client.get("/nodes/edge-1")
        token = Html(page.text).all("input", name="csrf")[0]
        form = {"csrf": token.get("value"), "role": "db.replica"}
        answer = await client.post("/nodes/edge-1/role", data=form)
        web.script.answers["node.setRole"] = RpcError("invalid_params", "parameters: role")
        refused = await client.post("/nodes/edge-1/role", data=form)
    assert '<span class="tag">db.primary</span>' in page.text
    assert answer.headers["location"] == "/nodes/edge-1"
    assert web.script.params_of("node.setRole") == {"node": "edge-1", "role": "db.replica"}
    assert refused.status_code == 400


async def test_labels_are_given_and_taken_away_one_by_one(web: Web) -> None:
    """The others stay as they are, whatever stands in them."""
    held = {"rack": "7", "site": "north <b>, south"}
    web.script.answers["node.get"] = web.script.answers["node.label"] = node("edge-1", labels=held)
    async with web.client() as client:
        page = await client.get("/nodes/edge-1")
        token = {"csrf": Html(page.text).all("input", name="csrf")[0].get("value")}
        answer = await client.post("/nodes/edge-1/labels", data={**token, "gone": "rack"})
        assert web.script.params_of("node.label")["labels"] == {"site": held["site"]}
        await client.post("/nodes/edge-1/labels", data={**token, "key": "role", "value": "a b"})
        refused = await client.post("/nodes/edge-1/labels", data={**token, "value": "x"})
    assert web.script.params_of("node.label") == {
        "node": "edge-1",
        "labels": {**held, "role": "a b"},
    }
    assert (answer.status_code, answer.headers["location"]) == (303, "/nodes/edge-1")
    assert 'aria-label="Take rack away"' in page.text
    assert refused.status_code == 400
    assert "Write the name of the label." in refused.text


@pytest.mark.parametrize(
    ("draining", "button", "method"),
    [(False, "Give it no new work", "node.drain"), (True, "Give it work again", "node.undrain")],
)
async def test_a_node_is_given_no_new_work_and_new_work_again(
    web: Web, draining: bool, button: str, method: str
) -> None:
    web.script.answers["node.get"] = web.script.answers[method] = node("edge-1", draining=draining)
    async with web.client() as client:
        page = (await client.get("/nodes/edge-1")).text
        assert button in page
        html = Html(page)
        form = {
            "csrf": html.all("input", name="csrf")[0].get("value"),
            "wanted": html.all("input", name="wanted")[0].get("value"),
        }
        answer = await client.post("/nodes/edge-1/work", data=form)
    assert answer.headers["location"] == "/nodes/edge-1"
    assert web.script.params_of(method) == {"node": "edge-1"}


async def test_forms_of_other_sites_do_nothing(web: Web) -> None:
    async with web.client() as client:
        orders = ("remove", "role", "labels", "work")
        for path in ("/nodes/register", *(f"/nodes/edge-1/{order}" for order in orders)):
            answer = await client.post(path, data={"csrf": "guess", "confirm": "edge-1"})
            assert answer.status_code == 403
    assert web.script.asked == []
