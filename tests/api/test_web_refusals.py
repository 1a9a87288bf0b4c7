"""The pages when something is wrong: hostile contents, odd values, errors, addresses nobody can answer."""

from typing import Any

import pytest

from shared.errors import RpcError
from tests.api.web_answers import HOSTILE, full_answers, node, vm
from tests.api.web_html import Html
from tests.api.web_world import ADDRESSES, Script, Web, page, twin_of

# ---- Hostile contents


def spoiled(value: Any, key: str = "") -> Any:
    """The same answer with every text but times, states and counters' names made hostile."""
    if callable(value):
        return lambda params: spoiled(value(params))
    if isinstance(value, dict):
        return {k: spoiled(each, k) for k, each in value.items()} | (
            {HOSTILE: HOSTILE}
            if key in ("attributes", "resource", "labels", "facts", "hubs")
            else {}
        )
    if isinstance(value, list):
        return [spoiled(each) for each in value]
    is_text = isinstance(value, str) and not value.startswith("2026-")
    return HOSTILE if is_text and key not in ("state", "freshness", "kind") else value


@pytest.mark.parametrize("address", ADDRESSES)
async def test_what_strangers_wrote_is_shown_and_not_run(address: str) -> None:
    answers = {method: spoiled(answer) for method, answer in full_answers().items()}
    text = await page(Web(Script(answers)), address)
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert Html(text).problems() == []


@pytest.mark.parametrize("place", ["text", "service", "node", "start", "attribute", "trace_id"])
async def test_what_an_address_says_is_shown_and_not_run(place: str) -> None:
    async with Web().client() as client:
        answer = await client.get("/logs", params={place: HOSTILE})
    assert "<script>alert" not in answer.text
    assert Html(answer.text).problems() == []


@pytest.mark.parametrize("spoil", [None, "text", -1, [], {"a": 1}, True, 1e308, float("nan")])
async def test_odd_values_from_a_node_do_not_break_a_page(spoil: Any) -> None:
    odd = node(
        facts={"os": spoil, "memory_bytes": spoil, "cpus": spoil},
        load={"cpu_ratio": spoil, "memory_ratio": spoil, "load1": spoil},
        buffer={"pending_chunks": spoil, "bytes": spoil, "oldest_age_s": spoil},
        age_s=spoil,
        vms=[vm(status=spoil, image=spoil, restarts=spoil, task=None)],
    )
    bare = node(facts={}, load={}, buffer={}, vms=[], labels={}, hubs={}, last_seen=None)
    script = Script({**full_answers(), "node.list": {"items": [odd, bare]}, "node.get": odd})
    for address in ("/", "/nodes", "/nodes/edge-1"):
        assert Html(await page(Web(script), address)).problems() == []


# ---- Errors


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("invalid_params", 400),
        ("not_found", 404),
        ("quota", 409),
        ("no_path", 502),
        ("internal", 500),
    ],
)
async def test_an_error_is_a_sentence_with_its_kind(kind: str, status: int) -> None:
    for address in ADDRESSES:
        web = Web()
        web.script.answers = dict.fromkeys(full_answers(), RpcError(kind, "the reason <b>why</b>"))
        text = await page(web, address, status)
        assert "the reason &lt;b&gt;why&lt;/b&gt;" in text
        assert f"<code>{kind}</code>" in text
        assert Html(text).problems() == []


async def test_the_twin_of_a_failing_page_tells_the_error() -> None:
    web = Web()
    web.script.answers["node.get"] = RpcError(
        "not_found", "no node is called edge-9", {"node": "x"}
    )
    async with web.client() as client:
        answer = await client.get("/nodes/edge-9.json")
    assert answer.status_code == 404
    assert answer.json()["error"] == {
        "code": -32001,
        "message": "no node is called edge-9",
        "data": {"kind": "not_found", "node": "x"},
    }


async def test_a_page_is_shown_without_the_extras_that_fail() -> None:
    web = Web()
    failing = RpcError("no_path", "no hub in reach has a link to edge-1")
    for method in ("vm.console.log", "op.list", "op.get", "metric.query", "event.list"):
        web.script.answers[method] = failing
    assert "No events yet" in await page(web, "/nodes/edge-1")
    text = await page(web, "/vms/box-1?node=edge-1&op=op-1&op_node=edge-1")
    assert "The console cannot be read now: no hub in reach" in text
    assert "How the order went is not known" in text


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("/logs?txet=a", "did you mean text?"),
        ("/logs?limit=many", "limit: &#39;many&#39; is not a whole number"),
        ("/logs?attribute=plain", "is not of the form key=value"),
        ("/traces?min_duration_ms=x", "is not a number"),
        ("/traces?errors_only=perhaps", "is not yes or no"),
        ("/hubs?a=1", "this page has no such parameter"),
    ],
)
async def test_a_wrong_address_is_refused_by_the_page_and_its_twin(address: str, said: str) -> None:
    web = Web()
    assert said in await page(web, address, 400)
    async with web.client() as client:
        answer = await client.get(twin_of(address))
    assert answer.status_code == 400
    assert answer.json()["error"]["data"]["kind"] == "invalid_params"


async def test_without_a_session_there_is_no_page_no_twin_and_no_file() -> None:
    web = Web()
    async with web.client(logged_in=False) as client:
        for spec in web.specs:
            if spec.path != "/login" and "GET" in spec.methods:
                answer = await client.get(
                    spec.path.format_map(
                        {"node": "n", "vm": "v", "trace_id": "t", "incident": "i", "op": "o"}
                    )
                )
                assert answer.status_code == 303, spec.path
                assert answer.headers["location"].startswith("/login?next=%2F")
    assert web.script.asked == []
