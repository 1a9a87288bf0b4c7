"""The forms: one order each, however often they are sent, and errors that say what to do."""

import httpx
import pytest

from shared.errors import RpcError
from tests.api.web_answers import empty_answers, node, operation, vm
from tests.api.web_html import Html
from tests.api.web_world import Script, Web


async def fields_of(client: httpx.AsyncClient, page: str, action: str) -> dict[str, str]:
    """What a browser would send of the form with this action."""
    html = Html((await client.get(page)).text)
    places = [n for n, each in enumerate(html.elements) if each.get("action") == action]
    assert len(places) == 1, f"{page} has {len(places)} forms for {action}"
    fields: dict[str, str] = {}
    for each in html.elements[places[0] + 1 :]:
        if each.tag == "form":
            break
        if each.tag == "input" and (each.get("type") != "checkbox" or "checked" in each.attributes):
            fields[each.get("name")] = each.get("value")
        if each.tag == "option" and "deadline_s" not in fields and each.get("value").isdigit():
            fields["deadline_s"] = each.get("value")
    return fields


async def test_a_vm_is_created_and_the_page_tells_how_it_went() -> None:
    web = Web()
    async with web.client() as client:
        fields = await fields_of(client, "/vms", "/vms")
        assert fields["image"] == "builtin:shell"
        answer = await client.post("/vms", data={**fields, "name": "box-9", "node": "edge-2"})
        assert answer.status_code == 303
        assert answer.headers["location"] == "/vms?op=op-1&op_node=edge-1"
        assert web.script.params_of("vm.create") == {
            "spec": {"name": "box-9", "image": "builtin:shell"},
            "start": True,
            "node": "edge-2",
            "request_id": fields["request_id"],
            "wait_s": 3.0,
        }
        shown = (await client.get(answer.headers["location"])).text
    assert web.script.params_of("op.get") == {"op_id": "op-1", "node": "edge-1"}
    assert "<strong>vm.start</strong> box-1" in shown
    assert "<strong>hub-1</strong> 2.4 ms" in shown


async def test_a_form_that_is_sent_twice_makes_the_same_request() -> None:
    web = Web()
    async with web.client() as client:
        fields = await fields_of(client, "/vms", "/vms")
        for _ in range(2):
            await client.post("/vms", data={**fields, "name": "box-9", "node": "edge-1"})
    sent = [params["request_id"] for method, params in web.script.asked if method == "vm.create"]
    assert sent == [fields["request_id"]] * 2


async def test_every_form_on_a_page_makes_a_request_of_its_own() -> None:
    web = Web()
    async with web.client() as client:
        first, second = [Html((await client.get("/vms")).text) for _ in range(2)]
    ids = [
        each.get("value")
        for html in (first, second)
        for each in html.all("input", name="request_id")
    ]
    assert len(ids) == len(set(ids)) > 4


@pytest.mark.parametrize(
    ("state", "action", "method", "extra"),
    [
        ("stopped", "start", "vm.start", {}),
        ("failed", "start", "vm.start", {}),
        ("running", "stop", "vm.stop", {"mode": "graceful"}),
        ("running", "kill", "vm.stop", {"mode": "force"}),
        ("running", "reboot", "vm.reboot", {}),
        ("running", "pause", "vm.pause", {}),
        ("paused", "resume", "vm.resume", {}),
    ],
)
async def test_a_button_gives_its_order(
    state: str, action: str, method: str, extra: dict[str, str]
) -> None:
    web = Web()
    web.script.answers["vm.get"] = vm(state=state)
    async with web.client() as client:
        path = f"/vms/box-1/{action}"
        fields = await fields_of(client, "/vms/box-1?node=edge-1", path)
        answer = await client.post(path, data=fields)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/vms/box-1?node=edge-1&op=op-1&op_node=edge-1"
    common = {"vm": "box-1", "node": "edge-1", "request_id": fields["request_id"], "wait_s": 3.0}
    assert web.script.params_of(method) == common | extra


async def test_the_list_starts_and_stops_and_stays_the_list() -> None:
    web = Web()
    async with web.client() as client:
        fields = await fields_of(client, "/vms", "/vms/box-2/start")
        answer = await client.post("/vms/box-2/start", data=fields)
    assert answer.headers["location"] == "/vms?op=op-1&op_node=edge-1"


async def test_only_what_the_state_allows_is_offered() -> None:
    web = Web()
    for state, offered in {
        "stopped": {"start", "delete"},
        "running": {"stop", "kill", "reboot", "pause"},
        "paused": {"resume", "stop", "kill"},
    }.items():
        web.script.answers["vm.get"] = vm(state=state)
        async with web.client() as client:
            html = Html((await client.get("/vms/box-1?node=edge-1")).text)
        actions = {form.get("action").rpartition("/")[2] for form in html.all("form")} - {"logout"}
        assert actions == offered, state


async def test_a_vm_is_deleted_only_by_its_name() -> None:
    web = Web()
    web.script.answers["vm.get"] = vm(state="stopped")
    async with web.client() as client:
        fields = await fields_of(client, "/vms/box-1?node=edge-1", "/vms/box-1/delete")
        refused = await client.post("/vms/box-1/delete", data=fields)
        assert refused.status_code == 400
        assert "To delete box-1, type its name: nothing was deleted." in refused.text
        assert "vm.delete" not in dict(web.script.asked)
        done = await client.post("/vms/box-1/delete", data={**fields, "confirm": "box-1"})
    assert done.headers["location"] == "/vms?op=op-1&op_node=edge-1"
    assert web.script.params_of("vm.delete")["vm"] == "box-1"


async def test_an_order_that_fails_keeps_what_was_typed() -> None:
    web = Web()
    web.script.answers["vm.create"] = RpcError(
        "conflict", "this node already has a machine named box-1"
    )
    async with web.client() as client:
        fields = await fields_of(client, "/vms", "/vms")
        answer = await client.post("/vms", data={**fields, "name": "box-1", "node": "edge-2"})
    assert answer.status_code == 409
    html = Html(answer.text)
    assert html.problems() == []
    assert "this node already has a machine named box-1" in answer.text
    assert "<code>conflict</code>" in answer.text
    assert html.all("input", name="name", value="box-1")
    (chosen,) = [each for each in html.all("option") if "selected" in each.attributes]
    assert chosen.get("value") == "edge-2"
    fresh = {each.get("value") for each in html.all("input", name="request_id")}
    assert fields["request_id"] not in fresh, "another try with other words is another order"


@pytest.mark.parametrize("kind", ["outcome_unknown", "no_path"])
async def test_an_order_of_unknown_outcome_can_be_repeated_as_the_same_order(kind: str) -> None:
    web = Web()
    hops = [{"hub": "hub-1", "ms": 3.0, "error": "time-out"}, {"hub": "hub-2", "ms": 12.0}]
    web.script.answers["vm.start"] = RpcError(kind, "the answer was lost", {"hops": hops})
    async with web.client() as client:
        fields = await fields_of(client, "/vms", "/vms/box-2/start")
        answer = await client.post("/vms/box-2/start", data=fields)
        assert answer.status_code in (502, 504)
        assert "hub-1</strong> (time-out)" in answer.text
        assert "data-live" not in answer.text, "a live page would wipe the question away"
        again = answer.text[answer.text.index("Tried") :].partition("</form>")[0]
        assert f'name="request_id" value="{fields["request_id"]}"' in again
        assert 'action="/vms/box-2/start"' in again
        web.script.answers["vm.start"] = operation()
        assert (await client.post("/vms/box-2/start", data=fields)).status_code == 303


async def test_an_order_that_is_refused_for_good_is_not_offered_again() -> None:
    web = Web()
    web.script.answers["vm.start"] = RpcError("invalid_state", "it is running")
    async with web.client() as client:
        fields = await fields_of(client, "/vms", "/vms/box-2/start")
        answer = await client.post("/vms/box-2/start", data=fields)
    assert answer.status_code == 409
    assert "Try again" not in answer.text


async def test_an_action_that_does_not_exist_is_not_found() -> None:
    web = Web()
    async with web.client() as client:
        fields = await fields_of(client, "/vms", "/vms/box-2/start")
        answer = await client.post("/vms/box-2/explode", data=fields)
    assert answer.status_code == 404
    assert "there is no action &#39;explode&#39;" in answer.text


async def test_a_drain_shows_its_verdict() -> None:
    web = Web()
    async with web.client() as client:
        fields = await fields_of(client, "/nodes/edge-1", "/nodes/edge-1/drain")
        answer = await client.post("/nodes/edge-1/drain", data=fields)
    assert answer.status_code == 200
    assert web.script.params_of("edge.drain") == {
        "node": "edge-1",
        "deadline_s": 5.0,
        "request_id": fields["request_id"],
    }
    assert "Safe to power off" in answer.text
    assert "Pushed 900 records in 3 chunks, 47.1 KiB" in answer.text
    assert Html(answer.text).problems() == []


async def test_a_drain_that_does_not_end_says_what_is_left() -> None:
    web = Web()
    left = {"chunks": 7, "records": 12_000, "bytes": 5_000_000}
    web.script.answers["edge.drain"] |= {
        "verdict": "incomplete",
        "safe_to_power_off": False,
        "left": left,
        "reason": "7 chunks have not reached any hub: connection refused",
    }
    async with web.client() as client:
        fields = await fields_of(client, "/nodes/edge-1", "/nodes/edge-1/drain")
        text = (await client.post("/nodes/edge-1/drain", data=fields)).text
    assert "Not safe to power off yet" in text
    assert "7 chunks have not reached any hub: connection refused" in text
    assert "Left 12,000 records in 7 chunks" in text


async def test_a_node_that_cannot_be_reached_is_a_clear_sentence() -> None:
    web = Web()
    web.script.answers["edge.drain"] = RpcError("no_path", "no hub in reach has a link to edge-1")
    async with web.client() as client:
        fields = await fields_of(client, "/nodes/edge-1", "/nodes/edge-1/drain")
        answer = await client.post("/nodes/edge-1/drain", data=fields)
    assert answer.status_code == 502
    assert "no hub in reach has a link to edge-1" in answer.text
    assert "look whether its edge is running" in answer.text


# ---- Forms that are not ours


FORMS = ("/vms", "/vms/box-1/stop", "/nodes/edge-1/drain", "/logout")


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("token", ["", "wrong", "0" * 64])
async def test_a_form_without_the_token_of_the_session_does_nothing(path: str, token: str) -> None:
    web = Web()
    async with web.client() as client:
        answer = await client.post(path, data={"csrf": token, "name": "x", "node": "edge-1"})
    assert answer.status_code == 403
    assert "does not belong to your session" in answer.json()["detail"]
    assert web.script.asked == []


async def test_our_own_form_passes_as_browsers_send_it() -> None:
    """With a policy of no-referrer they would say "Origin: null", as they do for strangers."""
    web = Web()
    async with web.client() as client:
        assert (await client.get("/vms")).headers["referrer-policy"] == "same-origin"
        fields = await fields_of(client, "/vms", "/vms/box-2/start")
        headers = {"origin": "http://hub"}
        answer = await client.post("/vms/box-2/start", data=fields, headers=headers)
    assert answer.status_code == 303


@pytest.mark.parametrize("path", FORMS)
async def test_a_form_of_another_site_does_nothing(path: str) -> None:
    web = Web()
    async with web.client() as client:
        fields = await fields_of(client, "/vms", "/vms")
        web.script.asked.clear()
        headers = {"origin": "https://evil.example"}
        answer = await client.post(path, data=fields, headers=headers)
    assert answer.status_code == 401
    assert web.script.asked == []


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{}", "application/json", 415),
        (b"--x", "multipart/form-data; boundary=x", 415),
        (b"a=" + b"x" * 70_000, "application/x-www-form-urlencoded", 413),
        (b"&".join(b"a=1" for _ in range(60)), "application/x-www-form-urlencoded", 400),
        (b"csrf=\xff\xfe", "application/x-www-form-urlencoded", 400),
        (b"", "application/x-www-form-urlencoded; charset=utf-8", 403),
    ],
)
async def test_a_form_that_cannot_be_read_is_refused(
    body: bytes, content_type: str, status: int
) -> None:
    web = Web()
    async with web.client() as client:
        answer = await client.post("/vms", content=body, headers={"content-type": content_type})
    assert answer.status_code == status
    assert web.script.asked == []


async def test_without_nodes_there_is_no_form_to_create_a_vm() -> None:
    async with Web(Script(empty_answers())).client() as client:
        html = Html((await client.get("/vms")).text)
    assert html.all("form", action="/vms") == []


async def test_a_node_that_is_not_online_is_marked_in_the_form() -> None:
    web = Web()
    web.script.answers["node.list"] = {"items": [node("edge-1"), node("edge-2", "offline")]}
    async with web.client() as client:
        html = Html((await client.get("/vms")).text)
    place = html.elements.index(html.all("select", id="vm-node")[0])
    texts = [each.text for each in html.elements[place + 1 : place + 3]]
    assert texts == ["edge-1", "edge-2 (offline)"]
