"""A new machine whose node a hub chooses, and a node that people work on, by forms."""

import pytest

from shared.errors import RpcError
from tests.api.test_vm_forms import fields_at, sent
from tests.api.web_answers import node
from tests.api.web_html import Html
from tests.api.web_world import Web

CHOSEN = {
    "node_id": "edge-2",
    "driver": "qemu",
    "kind": "vm",
    "problems": [],
    "warnings": [],
    "placement": {
        "why": "most free memory of 2",
        "considered": [{"node_id": "edge-1", "why": "it drains <b>"}],
    },
}
NEW = {"name": "web", "image": "builtin:tiny", "place_labels": "site=north role!=db"}
AUTO = "/vm-new?place=auto"


def placing(answer: object = CHOSEN) -> Web:
    web = Web()
    web.script.answers["vm.validate"] = answer
    return web


async def test_the_page_offers_that_the_hub_chooses_the_node() -> None:
    async with placing().client() as client:
        page = Html((await client.get("/vm-new")).text)
        form = Html((await client.get(AUTO)).text)
    assert page.all("a", href=AUTO)
    assert form.problems() == []
    assert form.all("input", name="image")
    assert not form.all("input", name="node")


async def test_a_node_is_chosen_and_told_with_why_before_anything_is_made() -> None:
    """The next press makes it there: the order names its node, and so can be repeated."""
    web = placing()
    shown = await sent(web, AUTO, "/vm-new", **NEW)
    assert shown.status_code == 200
    assert "vm.create" not in dict(web.script.asked)
    asked = web.script.params_of("vm.validate")
    assert asked["placement"] == {"labels": ["site=north", "role!=db"]}
    assert "node" not in asked
    html = Html(shown.text)
    assert html.problems() == []
    assert "most free memory of 2" in shown.text
    assert "it drains &lt;b&gt;" in shown.text
    (held,) = html.all("input", type="hidden", name="node")
    assert held.get("value") == "edge-2"
    assert html.all("input", name="name", value="web")
    assert web.script.params_of("node.drivers") == {"node": "edge-2"}


async def test_what_was_chosen_is_then_ordered_of_that_node() -> None:
    web = placing()
    async with web.client() as client:
        fields = await fields_at(client, AUTO, "/vm-new")
        await client.post("/vm-new", data={**fields, **NEW})
        answer = await client.post("/vm-new", data={**fields, **NEW, "node": "edge-2"})
    assert answer.status_code == 303
    assert web.script.params_of("vm.create")["node"] == "edge-2"
    assert "placement" not in web.script.params_of("vm.validate")


async def test_no_node_that_can_take_it_is_told_with_what_was_typed() -> None:
    message = "no node can take it: edge-1: it is silent"
    answer = await sent(placing(RpcError("insufficient", message)), AUTO, "/vm-new", **NEW)
    assert answer.status_code == 409
    html = Html(answer.text)
    assert html.problems() == []
    assert message in answer.text
    assert html.all("input", name="place_labels", value=NEW["place_labels"])


@pytest.mark.parametrize("place", ["", "auto"])
async def test_a_form_that_misses_its_name_is_shown_again(place: str) -> None:
    web = placing()
    answer = await sent(web, AUTO, "/vm-new", image="builtin:tiny", place=place)
    assert answer.status_code == 400
    assert "vm.validate" not in dict(web.script.asked)
    assert bool(Html(answer.text).all("span", id="wrong-node")) is not bool(place)


HELD = {"by": "ada", "since": "2026-11-22T01:00:00Z", "why": "disk <b>", "vms": ["a", "b"]}


async def test_a_maintenance_begins_and_ends_by_a_button() -> None:
    web = Web()
    web.script.answers["node.maintenance"] = node("edge-1")
    answer = await sent(web, "/nodes/edge-1", "/nodes/edge-1/maintenance", why="disk")
    order = web.script.params_of("node.maintenance")
    assert (answer.status_code, answer.headers["location"]) == (303, "/nodes/edge-1")
    assert order.pop("request_id").startswith("request-")
    assert order == {"node": "edge-1", "on": True, "why": "disk"}
    web.script.answers["node.get"] = node("edge-1", draining=True, maintenance=HELD)
    await sent(web, "/nodes/edge-1", "/nodes/edge-1/maintenance")
    assert web.script.params_of("node.maintenance")["on"] is False


async def test_a_maintenance_is_shown_with_who_why_and_which_ran() -> None:
    web = Web()
    web.script.answers["node.get"] = node("edge-1", draining=True, maintenance=HELD)
    async with web.client() as client:
        page = (await client.get("/nodes/edge-1")).text
    assert Html(page).problems() == []
    assert '<span class="tag">maintenance</span>' in page
    assert "disk &lt;b&gt;" in page
    assert "2 VMs" in page


async def test_a_refused_maintenance_is_told_on_the_page() -> None:
    web = Web()
    web.script.answers["node.maintenance"] = RpcError("conflict", "that id was used")
    answer = await sent(web, "/nodes/edge-1", "/nodes/edge-1/maintenance")
    assert answer.status_code == 409
    assert "that id was used" in answer.text
