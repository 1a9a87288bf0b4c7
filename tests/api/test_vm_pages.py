"""The pages about machines: what they show, what they offer, and what they refuse to offer and why."""

import pytest

from shared.errors import RpcError
from tests.api.vm_web_answers import NO_QEMU, QEMU, SANDBOX, drivers
from tests.api.web_answers import empty_answers, operation, vm
from tests.api.web_html import Html
from tests.api.web_world import Script, Web, page, web_with

TABS = ("", "stats", "snapshots", "spec", "history")
PAGES = (
    *(f"/vms/box-1?node=edge-1&tab={tab}" for tab in TABS),
    "/vms?state=running&state=failed&kind=vm&label=a%3Db&node=edge-1&text=x",
    "/vm-new",
    "/vm-new?node=edge-1",
    "/vm-bulk",
    "/vm-bulk?action=delete&vm=5d1cbox-1&vm=5d1cbox-2",
    "/vm-bulk?action=stop&all=1&state=running",
    "/vm-bulk/bulk-1?action=kill",
)


def tiny(**changes: object) -> dict[str, object]:
    """A VM as its node tells of it."""
    spec = {"name": "web", "image": "builtin:tiny", "cpus": 1, "memory_mib": 16, "labels": {}}
    told = {"kind": "vm", "driver": "qemu", "isolation": "emulated", "accel": "tcg", "spec": spec}
    port = {"guest": 80, "host": 8080, "proto": "tcp", "bind": "127.0.0.1"}
    return {**vm("web"), **told, "generation": 3, "ports": [port], **changes}


@pytest.mark.parametrize("address", PAGES)
async def test_every_page_is_sound(address: str) -> None:
    """Labels, ids and the policy for scripts, with answers and without."""
    assert Html(await page(Web(), address)).problems() == []


@pytest.mark.parametrize("tab", TABS)
async def test_a_machine_of_a_silent_node_is_unknown_on_every_tab(tab: str) -> None:
    """Nothing green, nothing that says stopped, and no order that would go nowhere."""
    lost = tiny(freshness="unreachable", status="unknown (was running)", age_s=185.0)
    silent = RpcError("no_path", "no hub reaches edge-1")
    names = ("vm_stats", "vm_snapshot_list", "op_list", "node_drivers", "vm_console_log")
    web = web_with(vm_get=lost, **dict.fromkeys(names, silent))
    text = await page(web, f"/vms/web?node=edge-1&tab={tab}")
    head = text[text.index("<h1>") : text.index('id="content"')]
    assert "unknown (was running)" in head
    assert "mark-ok" not in head
    assert "last heard 3 min" in head
    assert Html(text).problems() == []


async def test_the_orders_for_a_silent_node_can_wait() -> None:
    """And those that wait are shown, and can be given up."""
    waits = {"request_id": "r-1", "method": "vm.stop", "expires_at": "2026-11-22T10:00:00Z"}
    lost = tiny(freshness="unreachable", intent_pending=[waits])
    html = Html(await page(web_with(vm_get=lost), "/vms/web?node=edge-1"))
    assert len(html.all("input", name="queue", value="1")) == 3
    assert html.all("form", action="/vms/web/unqueue")
    assert html.all("input", name="waiting", value="r-1")


async def test_the_list_says_what_each_machine_is_and_never_calls_a_process_a_vm() -> None:
    """The badge says it, and how it is isolated is its tooltip."""
    rows = {"items": [vm(), tiny(memory_mib=16)], "missing_nodes": [], "partial": False}
    html = Html(await page(web_with(vm_list=rows), "/vms"))
    badges = [each for each in html.all("span") if "kind-" in each.get("class")]
    assert [(each.text, each.get("title")) for each in badges] == [
        ("sandbox", "isolation: namespaces"),
        ("VM", "isolation: emulated, tcg"),
    ]
    assert "16.0 MiB" in html.source
    assert "127.0.0.1:8080 → 80" in html.source


async def test_what_cannot_be_asked_now_is_grey_and_says_why() -> None:
    """By the state of a machine, and by what its driver can."""
    rows = {"items": [tiny(state="stopped", status="stopped")], "missing_nodes": []}
    html = Html(await page(web_with(vm_list=rows), "/vms"))
    grey = [each.get("title") for each in html.all("button", type="button") if each.get("title")]
    assert {"Stop: it is stopped", "Pause: it is stopped"} <= set(grey)
    weak = {**QEMU, "capabilities": ["graceful_stop"]}
    web = web_with(vm_get=tiny(), node_drivers=drivers(weak))
    text = await page(web, "/vms/web?node=edge-1")
    assert "Reset: the driver qemu cannot do this" in text
    assert 'action="/vms/web/stop"' in text


async def test_the_filters_of_the_list_are_in_its_address() -> None:
    """They become the conditions of vm.list, and the bulk bar takes them along."""
    web = Web()
    html = Html(await page(web, "/vms?state=failed&state=unknown&kind=vm&label=a%3Db&text=x"))
    wanted = {"state": ["failed", "unknown"], "kind": "vm", "label": ["a=b"], "text": "x"}
    assert wanted.items() <= web.script.params_of("vm.list").items()
    assert html.all("input", type="hidden", name="state", value="unknown")


async def test_uptime_and_ports_of_a_machine_that_sends_nonsense_are_left_out() -> None:
    """What a node tells is shown or left out; it never breaks the page."""
    odd = vm(started_at="yesterday", ports={"a": 1}, labels=None, memory_mib="much", seen_at=7)
    assert "box-1" in await page(web_with(vm_list={"items": [odd]}), "/vms")


async def test_an_unhealthy_driver_is_offered_disabled_with_its_hint() -> None:
    """A person sees what would make it work."""
    html = Html(await page(web_with(node_drivers=drivers(SANDBOX, NO_QEMU)), "/vm-new?node=edge-1"))
    (closed,) = [each for each in html.all("optgroup") if "disabled" in each.attributes]
    assert "apt-get install qemu-system-x86" in closed.get("label")
    assert "is not installed" in html.source
    assert [each.get("value") for each in html.all("option") if ":" in each.get("value")] == [
        "builtin:shell"
    ]


async def test_without_nodes_the_pages_say_how_to_begin() -> None:
    """The list and the page for a new one."""
    web = Web(Script(empty_answers()))
    assert "How to add one" in await page(web, "/vms")
    assert "How to add one" in await page(web, "/vm-new")


async def test_the_history_says_who_ordered_what_through_which_hub() -> None:
    """Also when it comes from events, because the node is silent."""
    done = operation("vm.stop", requested_by="ada", via_hub="hub-2")
    web = web_with(op_list={"items": [done], "source": "events"})
    text = await page(web, "/vms/box-1?node=edge-1&tab=history")
    assert "ada" in text
    assert "hub-2" in text
    assert "As its node told of them" in text


async def test_the_summary_tells_limits_isolation_and_what_waits_for_the_next_start() -> None:
    """Desired and observed stand side by side, and no limit is claimed that is not held."""
    told = tiny(limits_enforced={"cpu": False, "memory": True}, pending_changes=["cpus"])
    text = await page(web_with(vm_get=told), "/vms/web?node=edge-1")
    assert "cpu: no, memory: yes" in text
    assert "cpus, with the next start" in text
    assert "emulated, run by tcg (no hardware help: slow)" in text


async def test_an_order_to_many_is_named_before_it_is_given() -> None:
    """The page only asks what it would be; deleting wants the number typed."""
    web = Web()
    text = await page(web, "/vm-bulk?action=delete&vm=5d1cbox-1&vm=5d1cbox-2")
    assert web.script.params_of("vm.bulk") == {
        "action": "delete",
        "options": {},
        "ids": ["5d1cbox-1", "5d1cbox-2"],
        "dry_run": True,
    }
    assert "gone for good" in text
    assert Html(text).all("input", name="confirm")


async def test_the_results_name_each_machine_and_offer_the_failed_ones_again() -> None:
    """With the action that was chosen, which vm.bulk itself calls otherwise."""
    html = Html(await page(Web(web_with(op_get=bulk_answer()).script), "/vm-bulk/b?action=kill"))
    again = [each.get("href") for each in html.all("a") if "primary" in each.get("class")]
    assert again == ["/vm-bulk?action=kill&vm=5d1cbox-2"]
    assert "the guest did not stop" in html.source


def bulk_answer() -> dict[str, object]:
    """What op.get tells of an order to many."""
    from tests.api.vm_web_answers import bulk

    return bulk("failed")


@pytest.mark.parametrize("address", ["/vm-bulk?action=explode&vm=a", "/vm-bulk?action=stop"])
async def test_an_order_to_many_that_means_nothing_is_refused(address: str) -> None:
    """Before anybody is asked."""
    web = Web()
    await page(web, address, 400)
    assert web.script.asked == []


async def test_machines_that_were_chosen_by_id_are_called_by_their_names() -> None:
    """Nobody can confirm a list of numbers."""
    rows = {"action": "stop", "items": [{"vm_id": "5d1cbox-1", "vm_name": "5d1cbox-1"}]}
    text = await page(web_with(vm_bulk=rows), "/vm-bulk?action=stop&vm=5d1cbox-1")
    assert '<th scope="row">box-1</th>' in text
