"""`vm.list` in pages: by node and name, narrowed and counted on the hub."""

from typing import Any

import pytest

from tests.api.conftest import World

NODES = [f"edge-{number}" for number in range(1, 6)]
ALL = [(node, name) for node in NODES for name in ("a", "b")]


def vm(node: str, name: str) -> dict[str, Any]:
    state = "failed" if (node, name) == ("edge-3", "b") else "running"
    return {"id": f"{node}-{name}", "name": name, "state": state, "status": state, "image": "img"}


@pytest.fixture
async def machines(world: World) -> World:
    for node in reversed(NODES):
        assert (await world.beat(node, vms=[vm(node, "b"), vm(node, "a")])).status_code == 200
    return world


def shown(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [(item["node_id"], item["name"]) for item in answer["items"]]


async def test_without_parameters_all_are_told(machines: World) -> None:
    answer = await machines.call("vm.list")
    assert (shown(answer), answer["total"], answer["cursor"]) == (ALL, 10, None)
    assert (answer["missing_nodes"], answer["missing_total"], answer["partial"]) == ([], 0, False)


@pytest.mark.parametrize("limit", [1, 2, 3, 9, 10])
async def test_pages_along_the_cursor_are_all_once(machines: World, limit: int) -> None:
    """A page has all machines of its last node, so that no name can stand on two."""
    found, cursor = list[tuple[str, str]](), ""
    while True:
        answer = await machines.call("vm.list", limit=limit, after=cursor)
        assert 0 < len(answer["items"]) <= limit + 1
        assert answer["total"] == 10
        found += shown(answer)
        if answer["cursor"] is None:
            break
        cursor = answer["cursor"]
    assert found == ALL


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({"node": "edge-2"}, ALL[2:4]),
        ({"text": "EDGE-2-"}, ALL[2:4]),
        ({"text": "failed"}, [("edge-3", "b")]),
        ({"text": "edge-", "node": "edge-1"}, ALL[:2]),
        ({"text": "none"}, []),
    ],
)
async def test_the_hub_narrows(
    machines: World, asked: dict[str, Any], wanted: list[tuple[str, str]]
) -> None:
    answer = await machines.call("vm.list", **asked)
    assert (shown(answer), answer["total"]) == (wanted, len(wanted))
    page = await machines.call("vm.list", **asked, limit=1)
    nodes = [node for node, _ in wanted]
    assert page["total"] == len(wanted)
    assert page["cursor"] == (nodes[0] if len(set(nodes)) > 1 else None)


async def test_a_removed_node_has_none(machines: World) -> None:
    await machines.call("node.remove", node="edge-2", force=True)
    assert shown(await machines.call("vm.list")) == [*ALL[:2], *ALL[4:]]
    assert (await machines.refusal("vm.list", node="edge-2"))["data"]["kind"] == "not_found"


async def test_a_machine_is_found_by_name_where_one_node_has_it(machines: World) -> None:
    """Its node is silent for calls, so the hub tells what it said last."""
    assert (await machines.call("vm.get", vm="edge-4-a"))["node_id"] == "edge-4"
    error = await machines.refusal("vm.get", vm="a")
    assert (error["data"]["kind"], "edge-1, edge-2" in error["message"]) == ("conflict", True)
    assert (await machines.refusal("vm.get", vm="c"))["data"]["kind"] == "not_found"
