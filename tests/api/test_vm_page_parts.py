"""Parts of pages about machines: how an order goes and its end, the log, drivers, and what is lost."""

import pytest

from hub.web.static_files import FOLDER
from shared.errors import RpcError
from tests.api.test_vm_pages import tiny
from tests.api.test_web_orders import fields_of
from tests.api.vm_web_answers import NO_QEMU, SANDBOX, drivers
from tests.api.web_answers import node, operation, vm
from tests.api.web_html import Html
from tests.api.web_world import Web, page, web_with

HERE = "/vms/web?node=edge-1"
AFTER = f"{HERE}&op=op-1&op_node=edge-1"


async def test_an_order_in_work_shows_its_stages_and_can_be_cancelled() -> None:
    steps = [{"at": "2026-11-22T10:00:00Z", "text": "disks <b>"}]
    goes = operation("vm.create", "running", stage="disks", may_cancel=True, log=steps)
    web = web_with(vm_get=tiny(task="creating"), op_get=goes, op_cancel=goes)
    async with web.client() as client:
        text = (await client.get(AFTER)).text
        assert "disks &lt;b&gt;" in text
        assert Html(text).problems() == []
        fields = await fields_of(client, AFTER, "/vms/box-1/cancel")
        assert fields["op_id"] == "op-1"
        answer = await client.post("/vms/box-1/cancel", data=fields)
    assert answer.status_code == 303
    assert web.script.params_of("op.cancel") == {
        "op_id": "op-1",
        "node": "edge-1",
        "request_id": fields["request_id"],
    }
    assert "op=op-1" in answer.headers["location"]


async def test_an_order_that_is_over_or_cannot_end_early_has_no_button_to_cancel() -> None:
    for told in (operation(), operation(state="running", may_cancel=False)):
        html = Html(await page(web_with(op_get=told), AFTER))
        assert not html.all("form", action="/vms/box-1/cancel")


async def test_the_whole_log_of_a_machine_can_be_read_back_piece_by_piece() -> None:
    piece = {"data": "late <i>\n", "offset": 150_000, "next": 150_009, "size": 150_009}
    web = web_with(vm_get=tiny(), vm_console_log=piece)
    text = await page(web, f"{HERE}&tab=log")
    assert "late &lt;i&gt;" in text
    assert "offset=84464" in text
    assert "/logs?node=edge-1&amp;attribute=vm.name%3Dweb" in text
    await page(web, "/logs?node=edge-1&attribute=vm.name%3Dweb")
    assert Html(text).problems() == []
    await page(web, f"{HERE}&tab=log&offset=84464")
    assert web.script.params_of("vm.console.log")["offset"] == 84464


@pytest.mark.parametrize("offset", ["-1", "x", "1" * 30])
async def test_a_place_in_the_log_that_is_none_is_refused(offset: str) -> None:
    async with web_with(vm_get=tiny()).client() as client:
        answer = await client.get(f"{HERE}&tab=log&offset={offset}")
    assert answer.status_code == 400


async def test_the_page_of_a_node_says_what_its_drivers_can_and_why_not() -> None:
    web = web_with(node_drivers=drivers(SANDBOX, NO_QEMU))
    text = await page(web, "/nodes/edge-1")
    assert "bubblewrap 0.8.0" in text
    assert "qemu-system-x86_64 is not installed" in text
    assert "apt-get install qemu-system-x86" in text
    assert Html(text).problems() == []


async def test_the_page_of_a_silent_node_shows_no_machine_as_running() -> None:
    """A node's own record has no word on how fresh it is."""
    lost = vm("box-1")
    silent = RpcError("no_path", "no hub reaches edge-1")
    web = web_with(node_get=node("edge-1", state="offline", vms=[lost]), node_drivers=silent)
    text = await page(web, "/nodes/edge-1")
    part = text[text.index('id="vms"') : text.index('id="heard"')]
    assert "unknown (was running)" in part
    assert "mark-ok" not in part
    assert "no hub reaches edge-1" in text


async def test_only_a_vm_has_a_reset_button_in_the_list() -> None:
    web = web_with(vm_list={"items": [tiny(), vm("box-1")], "total": 2})
    html = Html(await page(web, "/vms"))
    assert html.all("form", action="/vms/web/reset")
    assert not html.all("form", action="/vms/box-1/reset")


async def test_how_much_a_console_left_out_stays_in_sight() -> None:
    """A line in the terminal scrolls away with the flood that it tells of."""
    html = Html(await page(Web(), "/vms/web/console?node=edge-1"))
    assert html.all("span", id="terminal-missed")
    assert 'byId("terminal-missed")' in (FOLDER / "console.js").read_text()


async def test_the_list_of_nodes_counts_no_machine_of_a_silent_one_as_running() -> None:
    held = {"items": [node("edge-1", state="suspect", vms=[vm("box-1"), vm("box-2")])], "total": 1}
    assert "? / 2" in await page(web_with(node_list=held), "/nodes")
