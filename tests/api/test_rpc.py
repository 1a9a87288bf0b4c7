"""JSON-RPC as the standard says it, and what a hub answers to calls that it cannot follow."""

import asyncio
from typing import Any

import orjson
import pytest

from shared.jsonrpc import BATCH_CALLS_MAX
from tests.api.conftest import ADMIN_TOKEN, World, bearer


def call(method: str = "node.list", **fields: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {}, **fields}


async def test_a_call_is_answered_under_its_own_id(world: World) -> None:
    for call_id in ("a", "", 0, -7, 1.5, None):
        answer = (await world.rpc(call(id=call_id))).json()
        assert (answer["jsonrpc"], answer["id"]) == ("2.0", call_id)
        assert answer["result"]["items"] == []
        assert "error" not in answer


async def test_parameters_may_be_left_out(world: World) -> None:
    answer = (await world.rpc({"jsonrpc": "2.0", "id": 1, "method": "hub.status"})).json()
    assert answer["result"]["hub_id"] == "hub-1"


async def test_a_notification_is_done_and_not_answered(world: World) -> None:
    await world.beat("edge-1")
    order = {"jsonrpc": "2.0", "method": "node.drain", "params": {"node": "edge-1"}}
    answer = await world.rpc(order)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await world.call("node.get", node="edge-1"))["draining"] is True


async def test_a_batch_is_answered_call_by_call_without_its_notifications(world: World) -> None:
    notification = {"jsonrpc": "2.0", "method": "node.list"}
    batch = [call(id="a"), notification, call("no.such", id="b"), 1, call(id="c")]
    answer = (await world.rpc(batch)).json()
    by_id = {each["id"]: each for each in answer}
    assert by_id.keys() == {"a", "b", "c", None}
    assert "result" in by_id["a"]
    assert "result" in by_id["c"]
    assert by_id["b"]["error"]["code"] == -32601
    assert by_id[None]["error"]["code"] == -32600


async def test_a_batch_of_notifications_gets_no_answer_at_all(world: World) -> None:
    notification = {"jsonrpc": "2.0", "method": "node.list"}
    answer = await world.rpc([notification, notification])
    assert (answer.status_code, answer.content) == (204, b"")


GARBAGE: dict[str, tuple[bytes, int]] = {
    "nothing": (b"", -32700),
    "half an object": (b'{"jsonrpc": "2.0", "method', -32700),
    "half a batch": (b'[{"jsonrpc": "2.0", "method": "node.list", "id": 1}, {', -32700),
    "not UTF-8": (b'{"jsonrpc": "2.0", "method": "\xff", "id": 1}', -32700),
    "half a surrogate": (b'{"jsonrpc": "2.0", "method": "\\ud800", "id": 1}', -32700),
    "no number": (b'{"jsonrpc": "2.0", "method": "x", "id": NaN}', -32700),
    "no bottom": (b"[" * 100_000 + b"]" * 100_000, -32700),
    "a word": (b'"node.list"', -32600),
    "a number": (b"1", -32600),
    "null": (b"null", -32600),
    "an empty batch": (b"[]", -32600),
    "an empty call": (b"{}", -32600),
    "no version": (b'{"method": "node.list", "id": 1}', -32600),
    "another version": (b'{"jsonrpc": "1.0", "method": "node.list", "id": 1}', -32600),
    "a number as method": (b'{"jsonrpc": "2.0", "method": 1, "id": 1}', -32600),
    "no method": (b'{"jsonrpc": "2.0", "id": 1}', -32600),
    "an empty method": (b'{"jsonrpc": "2.0", "method": "", "id": 1}', -32600),
    "an object as id": (b'{"jsonrpc": "2.0", "method": "node.list", "id": {}}', -32600),
    "a truth as id": (b'{"jsonrpc": "2.0", "method": "node.list", "id": true}', -32600),
    "parameters by place": (
        b'{"jsonrpc": "2.0", "method": "node.list", "params": [1], "id": 1}',
        -32602,
    ),
    "no parameters": (
        b'{"jsonrpc": "2.0", "method": "node.list", "params": null, "id": 1}',
        -32602,
    ),
    "an unknown method": (b'{"jsonrpc": "2.0", "method": "node.lost", "id": 1}', -32601),
    "an inner method": (b'{"jsonrpc": "2.0", "method": "__init__", "id": 1}', -32601),
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_garbage_is_answered_with_the_code_of_the_standard(world: World, name: str) -> None:
    body, code = GARBAGE[name]
    answer = await world.rpc(body)
    assert answer.status_code == 200
    error = answer.json()["error"]
    assert error["code"] == code
    assert error["message"]
    await world.still_works()


async def test_an_error_names_its_kind_and_keeps_the_id(world: World) -> None:
    answer = (await world.rpc(call("node.get", id="x", params={"node": "edge-9"}))).json()
    assert answer["id"] == "x"
    assert answer["error"]["code"] == -32001
    assert answer["error"]["data"]["kind"] == "not_found"
    assert "edge-9" in answer["error"]["message"]


async def test_an_unknown_method_hears_the_nearest_known_one(world: World) -> None:
    error = await world.refusal("node.lst")
    assert "node.list" in error["message"]


METHODS_WITH_PARAMETERS = {
    "node.list": {},
    "node.get": {"node": "edge-1"},
    "hub.list": {},
    "hub.status": {},
    "vm.list": {},
    "edge.buffer": {"node": "edge-1"},
    "edge.drain": {"node": "edge-1"},
    "edge.drain.status": {"node": "edge-1"},
    "edge.drain.cancel": {"node": "edge-1", "request_id": "r"},
    "log.query": {},
    "metric.query": {"name": "system.cpu.time"},
    "metric.names": {},
    "trace.search": {},
    "trace.get": {"trace_id": "0" * 32},
}


@pytest.mark.parametrize("method", METHODS_WITH_PARAMETERS)
async def test_an_unknown_parameter_is_refused_by_name(world: World, method: str) -> None:
    await world.beat("edge-1")
    error = await world.refusal(method, **METHODS_WITH_PARAMETERS[method], colour="red")
    assert error["code"] == -32602
    assert "colour" in error["message"]
    assert world.counted("calls_refused") == 1
    await world.still_works()


BAD_PARAMETERS: list[tuple[str, dict[str, Any]]] = [
    ("node.get", {}),
    ("node.get", {"node": 7}),
    ("node.get", {"node": ""}),
    ("node.get", {"node": "x" * 201}),
    ("edge.drain", {"node": "edge-1", "deadline_s": -1}),
    ("edge.drain", {"node": "edge-1", "deadline_s": 1e9}),
    ("edge.drain", {"node": "edge-1", "deadline_s": "soon"}),
    ("edge.drain.status", {"node": "edge-1", "request_id": ""}),
    ("edge.drain.cancel", {"node": "edge-1"}),
    ("log.query", {"limit": 0}),
    ("log.query", {"limit": 1001}),
    ("log.query", {"start": "yesterday"}),
    ("log.query", {"start": "-1h", "end": "-2h"}),
    ("log.query", {"nodes": "edge-1"}),
    ("log.query", {"cursor": "garbage"}),
    ("log.query", {"severity": "loud"}),
    ("metric.query", {}),
    ("metric.query", {"name": "x", "step": 0}),
    ("metric.query", {"name": "x", "aggregation": "median"}),
    ("trace.get", {"trace_id": "xyz"}),
    ("vm.get", {}),
    ("vm.start", {"vm": 5}),
    ("vm.create", {"spec": {}}),
]


@pytest.mark.parametrize(("method", "params"), BAD_PARAMETERS)
async def test_a_parameter_out_of_bounds_is_refused(
    world: World, method: str, params: dict[str, Any]
) -> None:
    await world.beat("edge-1")
    error = await world.refusal(method, **params)
    assert error["code"] == -32602, error
    await world.still_works()


async def test_a_node_that_no_hub_has_a_link_to_is_an_answer_and_not_a_time_out(
    world: World,
) -> None:
    await world.beat("edge-1")
    for method in ("edge.buffer", "edge.drain", "edge.drain.status", "node.drivers"):
        error = await world.refusal(method, node="edge-1")
        assert error["data"]["kind"] == "no_path"


async def test_a_batch_of_ten_thousand_calls_is_refused_at_once(world: World) -> None:
    answer = await world.rpc([call(id=number) for number in range(10_000)])
    assert answer.status_code == 200
    body = answer.json()
    assert (body["id"], body["error"]["code"]) == (None, -32600)
    assert str(BATCH_CALLS_MAX) in body["error"]["message"]
    assert world.counted("calls") == 0
    assert world.counted("calls_unreadable") == 1
    await world.still_works()


async def test_the_largest_batch_is_answered_in_full(world: World) -> None:
    answer = await world.rpc([call(id=number) for number in range(BATCH_CALLS_MAX)])
    assert [each["id"] for each in answer.json()] == list(range(BATCH_CALLS_MAX))
    assert (await world.rpc([call()] * (BATCH_CALLS_MAX + 1))).json()["error"]["code"] == -32600


async def test_a_body_over_the_limit_is_refused(world: World) -> None:
    answer = await world.rpc(b'{"jsonrpc": "2.0", "x": "' + b"x" * 5_000_000 + b'"}')
    assert answer.status_code == 413
    assert world.counted("answers_413") == 1
    await world.still_works()


async def test_a_page_of_another_site_cannot_use_a_session(world: World) -> None:
    session = world.hub.guard.check_login(ADMIN_TOKEN)
    cookie = {"cookie": f"{world.hub.guard.cookie_name}={session}"}
    body = orjson.dumps(call())
    own = await world.client.post("/rpc", content=body, headers={**cookie, "origin": "http://hub"})
    other = await world.client.post(
        "/rpc", content=body, headers={**cookie, "origin": "http://evil.example"}
    )
    assert (own.status_code, other.status_code) == (200, 401)


async def test_other_http_methods_are_not_answered(world: World) -> None:
    for method in ("GET", "PUT", "DELETE"):
        answer = await world.client.request(method, "/rpc", headers=bearer(ADMIN_TOKEN))
        assert answer.status_code == 405


async def test_many_callers_at_once_each_get_their_own_answer(world: World) -> None:
    answers = await asyncio.gather(*(world.rpc(call(id=number)) for number in range(60)))
    assert [answer.json()["id"] for answer in answers] == list(range(60))


async def test_the_methods_of_this_hub_can_be_listed(world: World) -> None:
    listed = {method["name"] for method in (await world.call("rpc.discover"))["methods"]}
    wanted = {"node.list", "hub.list", "log.query", "metric.query", "trace.search", "edge.drain"}
    assert wanted | {"vm.create", "vm.start", "vm.stop", "vm.delete", "rpc.discover"} <= listed


async def test_the_list_of_methods_leaves_none_out_and_says_what_each_is_for(world: World) -> None:
    """Those that the parts of a hub bring with them, such as `clock.list`, are methods like all others."""
    described = (await world.call("rpc.discover"))["methods"]
    assert [method["name"] for method in described] == sorted(world.hub.rpc.methods)
    assert [method["name"] for method in described if not method["summary"]] == []
