"""The forms about machines: the calls they mean, problems beside the fields, and conflicts."""

from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from shared.errors import RpcError
from tests.api.test_vm_pages import tiny
from tests.api.vm_web_answers import bulk
from tests.api.web_answers import operation
from tests.api.web_html import Html
from tests.api.web_world import Web, web_with


async def fields_at(client: httpx.AsyncClient, address: str, action: str) -> dict[str, str]:
    """What a browser would send of the only form with this action, before anybody types."""
    html = Html((await client.get(address)).text)
    (place,) = [n for n, each in enumerate(html.elements) if each.get("action") == action]
    fields: dict[str, str] = {}
    choice = ""
    for each in html.elements[place + 1 :]:
        if each.tag == "form":
            break
        is_off = each.get("type") == "checkbox" and "checked" not in each.attributes
        if each.tag in ("input", "textarea") and not is_off:
            fields[each.get("name")] = each.get("value") or each.text
        if each.tag == "select":
            choice = each.get("name")
        if each.tag == "option" and (choice not in fields or "selected" in each.attributes):
            fields[choice] = each.get("value") or each.text
    return fields


async def sent(web: Web, address: str, action: str, **typed: str) -> httpx.Response:
    """Fill in a form and send it."""
    async with web.client() as client:
        fields = await fields_at(client, address, action)
        return await client.post(action, data={**fields, **typed})


NEW = {
    "name": "web",
    "image": "builtin:tiny",
    "memory_mib": "1G",
    "disks": "root:20G, data:1T:ro",
    "ports": "8080:80 0.0.0.0:53:53/udp",
    "labels": "site=north",
    "user_data": "#cloud-config\nusers: []\n",
}


async def test_a_new_machine_is_validated_and_then_made_of_all_its_fields() -> None:
    """The spec of the check is that of the order."""
    web = Web()
    answer = await sent(web, "/vm-new?node=edge-1", "/vm-new", **NEW)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/vms/web?node=edge-1&op=op-1&op_node=edge-1"
    order = web.script.params_of("vm.create")
    assert order["start"] is True
    assert order["spec"] == web.script.params_of("vm.validate")["spec"]
    assert order["spec"] == {
        "name": "web",
        "image": "builtin:tiny",
        "restart": "never",
        "autostart": "last",
        "cpus": 1,
        "memory_mib": 1024,
        "disks": [
            {"name": "root", "size_mib": 20 * 1024},
            {"name": "data", "readonly": True, "size_mib": 1024 * 1024},
        ],
        "nics": [
            {
                "mode": "user",
                "ports": [
                    {"guest": 80, "proto": "tcp", "host": 8080},
                    {"guest": 53, "proto": "udp", "host": 53, "bind": "0.0.0.0"},
                ],
            }
        ],
        "labels": {"site": "north"},
        "cloud_init": {"user_data": "#cloud-config\nusers: []\n"},
    }


async def test_checking_makes_nothing_and_shows_the_warnings() -> None:
    """What was typed stays."""
    web = Web()
    answer = await sent(web, "/vm-new?node=edge-1", "/vm-new", **NEW, check="1")
    assert answer.status_code == 200
    assert "it is emulated, and slow" in answer.text
    assert "vm.create" not in dict(web.script.asked)
    assert Html(answer.text).all("input", name="memory_mib", value="1G")


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"memory_mib": "much"}, "memory_mib"),
        ({"memory_mib": "9" * 400}, "memory_mib"),
        ({"cpus": "-1"}, "cpus"),
        ({"ports": "http"}, "ports"),
        ({"ports": "1:2:3:4:x"}, "ports"),
        ({"disks": "data:x"}, "disks"),
        ({"labels": "north"}, "labels"),
        ({"cmdline": "quiet"}, "kernel"),
        ({"name": ""}, "name"),
    ],
)
async def test_a_field_that_cannot_be_read_is_told_beside_it(
    typed: dict[str, str], field: str
) -> None:
    """Before any node is asked."""
    web = Web()
    answer = await sent(web, "/vm-new?node=edge-1", "/vm-new", **{**NEW, **typed})
    assert answer.status_code == 400
    html = Html(answer.text)
    assert html.problems() == []
    assert html.all("span", id=f"wrong-{field}"), answer.text
    assert "vm.create" not in dict(web.script.asked)


@pytest.mark.parametrize(
    ("error", "field"),
    [
        (RpcError("invalid_params", "Expected `int` >= 16 - at `$.spec.memory_mib`"), "memory_mib"),
        (RpcError("driver_unavailable", "qemu is not installed"), "image"),
        (RpcError("insufficient", "port 8080 is taken"), "ports"),
        (RpcError("insufficient", "there is not so much memory"), "memory_mib"),
        (RpcError("no_path", "no hub reaches edge-1"), "node"),
    ],
)
async def test_what_the_node_says_of_a_spec_stands_beside_the_field(
    error: RpcError, field: str
) -> None:
    """And what belongs to no field stands above."""
    web = web_with(vm_validate=error)
    answer = await sent(web, "/vm-new?node=edge-1", "/vm-new", **NEW)
    assert answer.status_code == 409
    (beside,) = Html(answer.text).all("span", id=f"wrong-{field}")
    assert beside.text == str(error)


async def test_a_problem_of_no_field_is_told_above_all() -> None:
    """Nothing that a node says is lost."""
    problem = {"kind": "driver_error", "message": "the disk is odd", "data": {}}
    web = web_with(vm_validate={"problems": [problem], "driver": None, "warnings": []})
    answer = await sent(web, "/vm-new?node=edge-1", "/vm-new", **NEW)
    assert "the disk is odd" in answer.text


async def test_only_what_was_changed_is_sent_with_the_generation_that_was_seen() -> None:
    """So that nobody writes over what somebody else changed."""
    web = web_with(vm_get=tiny(), vm_update=operation("vm.update"))
    typed = {"memory_mib": "1G", "labels": "site=north", "protected": "refused"}
    answer = await sent(web, "/vms/web?node=edge-1&tab=spec", "/vms/web/update", **typed)
    assert "tab=spec" in answer.headers["location"]
    order = web.script.params_of("vm.update")
    assert order["patch"] == {
        "memory_mib": 1024,
        "labels": {"site": "north"},
        "protected": True,
    }
    assert order["if_generation"] == 3


async def test_a_conflict_is_shown_with_what_was_typed() -> None:
    """The page then has the newest generation, so that saving again is a decision."""
    web = web_with(vm_get=tiny(generation=4))
    web.script.answers["vm.update"] = RpcError(
        "conflict", "web is at generation 4, not 3: look again"
    )
    answer = await sent(
        web, "/vms/web?node=edge-1&tab=spec", "/vms/web/update", generation="3", cpus="8"
    )
    assert answer.status_code == 409
    html = Html(answer.text)
    assert html.problems() == []
    assert "generation 4, not 3" in answer.text
    assert html.all("input", name="cpus", value="8")
    assert html.all("input", name="generation", value="4")


@pytest.mark.parametrize("typed", [{}, {"json": "[1]"}, {"json": "{"}, {"cpus": "many"}])
async def test_a_change_that_cannot_be_read_is_refused(typed: dict[str, str]) -> None:
    """Nothing is sent."""
    web = web_with(vm_get=tiny())
    answer = await sent(web, "/vms/web?node=edge-1&tab=spec", "/vms/web/update", **typed)
    assert answer.status_code == 400
    assert "vm.update" not in dict(web.script.asked)


async def test_snapshots_are_taken_restored_and_removed() -> None:
    """Each by its own call, and back on their part of the page."""
    methods = ("vm_snapshot_create", "vm_snapshot_restore", "vm_snapshot_delete")
    web = web_with(vm_get=tiny(), **{each: operation() for each in methods})
    address = "/vms/web?node=edge-1&tab=snapshots"
    await sent(web, address, "/vms/web/snapshot", name="clean", memory="1")
    assert web.script.params_of("vm.snapshot.create")["memory"] is True
    for action, method in (("restore", "vm.snapshot.restore"), ("drop", "vm.snapshot.delete")):
        answer = await sent(web, address, f"/vms/web/{action}")
        assert web.script.params_of(method)["name"] == "clean"
        assert "tab=snapshots" in answer.headers["location"]


async def test_an_order_that_waits_leads_back_to_the_machine() -> None:
    """It has no operation yet, only a request id."""
    queued = {"queued": True, "state": "queued", "request_id": "r", "node_id": "edge-1"}
    web = web_with(vm_get=tiny(freshness="unreachable"), vm_stop=queued)
    answer = await sent(web, "/vms/web?node=edge-1", "/vms/web/stop")
    assert answer.headers["location"] == "/vms/web?node=edge-1"
    assert web.script.params_of("vm.stop")["queue"] is True


async def test_an_order_that_waits_can_be_given_up() -> None:
    """By the request id that it waits under, not by that of the form."""
    waits = {"request_id": "r-1", "method": "vm.stop", "expires_at": None}
    web = web_with(vm_get=tiny(freshness="unreachable", intent_pending=[waits]))
    web.script.answers["vm.queue.cancel"] = {"cancelled": True, "request_id": "r-1"}
    await sent(web, "/vms/web?node=edge-1", "/vms/web/unqueue")
    assert web.script.params_of("vm.queue.cancel") == {"node": "edge-1", "request_id": "r-1"}


async def test_an_order_to_many_is_given_once_and_leads_to_its_results() -> None:
    """The same form again is the same order."""
    web = web_with(vm_bulk=lambda asked: bulk("running") if "wait_s" in asked else bulk())
    address = "/vm-bulk?action=kill&vm=a&vm=b"
    answer = await sent(web, address, "/vm-bulk", parallel="4", stop_on_error="1")
    assert answer.headers["location"] == "/vm-bulk/bulk-1?action=kill"
    order = web.script.params_of("vm.bulk")
    assert order.pop("request_id").startswith("request-")
    assert order == {
        "action": "stop",
        "options": {"mode": "force"},
        "ids": ["a", "b"],
        "parallel": 4,
        "stop_on_error": True,
        "wait_s": 1.0,
    }


async def test_all_that_match_are_chosen_by_the_filters_of_the_list() -> None:
    """Not by those that were on the page."""
    web = Web()
    await sent(web, "/vm-bulk?action=start&all=1&state=stopped&label=a%3Db", "/vm-bulk")
    assert web.script.params_of("vm.bulk")["selector"] == {"state": ["stopped"], "label": ["a=b"]}


async def test_many_are_deleted_only_by_their_number() -> None:
    """The page comes again, and nothing was done."""
    web = Web()
    answer = await sent(web, "/vm-bulk?action=delete&vm=a", "/vm-bulk", confirm="7")
    assert answer.status_code == 400
    assert "nothing was deleted" in answer.text
    assert all(asked.get("dry_run") for method, asked in web.script.asked if method == "vm.bulk")


async def test_a_new_name_leads_to_the_page_under_it() -> None:
    """The old address would be gone."""
    web = web_with(vm_get=tiny(), vm_update=operation("vm.update"))
    answer = await sent(
        web, "/vms/web?node=edge-1&tab=spec", "/vms/web/update", name="shop", **{"was.name": "web"}
    )
    target = urlsplit(answer.headers["location"])
    assert target.path == "/vms/shop"
    assert parse_qs(target.query)["tab"] == ["spec"]
