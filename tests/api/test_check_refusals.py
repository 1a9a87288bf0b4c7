"""Checks, history and uptime that cannot be: refused by name, whoever asks."""

from typing import Any

import pytest

from shared.errors import BadInput
from tests.api.checks_world import part, tcp
from tests.api.conftest import World

NODE = {"node": "edge-1"}


@pytest.mark.parametrize(
    ("method", "params", "kind", "words"),
    [
        ("node.check", {"node": "edge-9"}, "not_found", "no node is called edge-9"),
        ("node.check", NODE, "not_found", "edge-1 has no checks"),
        ("node.check", {**NODE, "check": "SSH"}, "invalid_params", "check"),
        ("node.check", {**NODE, "command": "rm"}, "invalid_params", "command"),
        ("node.setChecks", {"node": "edge-9", "checks": []}, "not_found", "edge-9"),
        ("node.setChecks", {**NODE, "checks": "ssh"}, "invalid_params", "checks"),
        ("node.setChecks", {**NODE, "checks": [tcp(22)] * 10_000}, "invalid_params", "16"),
        ("node.setChecks", {**NODE, "checks": [tcp(22)] * 2}, "invalid_params", "two checks"),
        ("node.setChecks", {**NODE, "checks": [tcp(65_536)]}, "invalid_params", "host:port"),
        ("node.setChecks", {**NODE, "checks": [tcp(0)]}, "invalid_params", "host:port"),
        ("node.setChecks", {**NODE, "checks": [tcp(-1)]}, "invalid_params", "host:port"),
        (
            "node.setChecks",
            {**NODE, "checks": [tcp(22, target="x" * 501)]},
            "invalid_params",
            "target",
        ),
        (
            "node.setChecks",
            {**NODE, "checks": [tcp(22, kind="http", target="me:pw@db:80/")]},
            "invalid_params",
            "no user name or password",
        ),
        (
            "node.setChecks",
            {**NODE, "checks": [tcp(22, kind="http", target="http://db/")]},
            "invalid_params",
            "host:port",
        ),
        (
            "node.setChecks",
            {**NODE, "checks": [tcp(22, kind="command", target="reboot")]},
            "invalid_params",
            "kind",
        ),
        ("node.setChecks", {**NODE, "checks": [tcp(22, interval_s=0)]}, "invalid_params", "int"),
        ("node.checks", {"node": "edge-9"}, "not_found", "edge-9"),
        ("node.checks", {}, "invalid_params", "node"),
        ("node.history", {"node": "edge-9"}, "not_found", "edge-9"),
        ("node.history", {**NODE, "limit": 1001}, "invalid_params", "limit"),
        ("node.history", {**NODE, "start": "yesterday"}, "invalid_params", "start"),
        ("node.uptime", {"node": "edge-9"}, "not_found", "edge-9"),
        ("node.uptime", {**NODE, "scale": "1s"}, "invalid_params", "scale"),
        ("fleet.uptime", {"limit": 101}, "invalid_params", "limit"),
        ("fleet.uptime", {"text": "x" * 201}, "invalid_params", "text"),
        ("fleet.summary", {"labels": ["x"] * 9}, "invalid_params", "labels"),
    ],
)
async def test_what_cannot_be_is_refused_by_name_and_changes_nothing(
    world: World, method: str, params: dict[str, Any], kind: str, words: str
) -> None:
    assert (await world.beat("edge-1")).status_code == 200
    error = await world.refusal(method, **params)
    assert error["data"]["kind"] == kind
    assert words in error["message"]
    assert part(world).checks.schedule.nodes() == []
    await world.still_works()


async def test_a_target_of_nowhere_and_a_node_without_address_are_answers_not_faults(
    world: World,
) -> None:
    await world.hub.intend("edge-2", "labels", {})
    await world.call("node.setChecks", node="edge-2", checks=[tcp(22)])
    (item,) = (await world.call("node.check", node="edge-2"))["items"]
    assert item["state"] == "unknown"
    assert "no hub knows an address" in item["message"]
    nowhere = tcp(22, target="no-such-name.invalid:1", timeout_s=2)
    await world.call("node.setChecks", node="edge-2", checks=[nowhere])
    (item,) = (await world.call("node.check", node="edge-2"))["items"]
    assert item["state"] == "failed"


@pytest.mark.parametrize(
    "question", [b"", b"[]", b"\xff", b'{"log": "x", "after": 0}', b'{"log": "a@b", "after": -1}']
)
async def test_questions_of_peers_that_cannot_be_read_are_refused(
    world: World, question: bytes
) -> None:
    answer = await world.peer("/peer/history", question)
    assert answer.status_code == 400
    assert "observations cannot be read" in answer.text


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b"\xff", b'{"logs": [["x", 1, 1, 1]]}', b'{"logs": [["a@b", -1, 1, 1]]}']
)
async def test_what_peers_claim_of_observations_is_read_or_refused(
    world: World, body: bytes
) -> None:
    with pytest.raises(BadInput, match="observations"):
        part(world).pull.take(body, "hub-2", 0.0)
