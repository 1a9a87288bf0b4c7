"""`node.list` in pages: by name, sifted and counted on the hub, whole for whoever follows the cursor."""

import csv
import io
from typing import Any

import httpx
import orjson
import pytest

from hub.nodes.sieve import Sieve
from hub.registry import Registry
from shared.liveness import NodeState
from shared.merge import LABELS, ROLE, Facts, Intent, NodeRecord
from shared.stamp import Stamp
from tests.api.conftest import ADMIN_TOKEN, World, bearer
from tests.api.test_taken_over_hubs import Cluster, cluster

__all__ = ["cluster"]

NODES = 60


def expected(number: int) -> NodeRecord:
    """A node that was registered and labelled; one in five has a role."""
    labels = {"site": f"s{number % 3}", "rack": str(number)}
    values: dict[str, Any] = {LABELS: labels}
    if number % 5 == 0:
        values[ROLE] = "db.primary"
    intent = {name: Intent(value, Stamp(1, 0, "hub-1")) for name, value in values.items()}
    facts = Facts(1, 1, {"hostname": f"Host-{number}.example", "os": "Debian"})
    return NodeRecord(name_of(number), facts, None, intent)


def name_of(number: int) -> str:
    return f"edge-{number:02d}"


@pytest.fixture
async def fleet(cluster: Cluster) -> World:
    """A hub that knows 60 nodes: every other one has beaten."""
    world = await cluster.hub("hub-1")
    for number in reversed(range(NODES)):
        world.hub.registry.apply(expected(number), 0.0)
    for number in range(0, NODES, 2):
        assert (await world.beat(name_of(number))).status_code == 200
    return world


async def names(world: World, **asked: Any) -> list[str]:
    answer = await world.call("node.list", **asked)
    assert answer["total"] == sum(answer["states"].values())
    return [item["node_id"] for item in answer["items"]]


ALL = [name_of(number) for number in range(NODES)]


async def test_without_parameters_a_fleet_of_usual_size_is_told_whole(fleet: World) -> None:
    answer = await fleet.call("node.list")
    assert [item["node_id"] for item in answer["items"]] == ALL
    assert (answer["total"], answer["cursor"]) == (NODES, None)
    assert answer["states"] == {"online": NODES // 2, "unknown": NODES // 2}


@pytest.mark.parametrize("limit", [1, 7, 20, 59, 60])
@pytest.mark.parametrize("asked", [{}, {"text": "host-"}, {"labels": ["site=s1"]}])
async def test_pages_along_the_cursor_are_all_nodes_once(
    fleet: World, limit: int, asked: dict[str, Any]
) -> None:
    """An answer that is cut has a cursor, and the last one has none: nothing is silently missing."""
    whole, found, cursor = await names(fleet, **asked), list[str](), ""
    while True:
        answer = await fleet.call("node.list", **asked, limit=limit, after=cursor)
        page = [item["node_id"] for item in answer["items"]]
        assert 0 < len(page) <= limit
        assert answer["total"] == len(whole)
        found += page
        if answer["cursor"] is None:
            break
        cursor = answer["cursor"]
        assert cursor == page[-1]
    assert found == whole


async def test_a_node_that_comes_or_goes_between_pages_moves_no_other(fleet: World) -> None:
    first = await fleet.call("node.list", limit=10)
    await fleet.call("node.remove", node=name_of(3), force=True)
    await fleet.call("node.remove", node=first["cursor"], force=True)
    await fleet.call("node.register", node="edge-00a")
    second = await names(fleet, limit=10, cursor=first["cursor"])
    assert second == ALL[10:20]
    assert (await fleet.call("node.list"))["total"] == NODES - 1
    await fleet.call("node.register", node=name_of(3))
    assert (await names(fleet))[:5] == ["edge-00", "edge-00a", "edge-01", "edge-02", "edge-03"]


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({"states": ["online"]}, ALL[::2]),
        ({"states": ["online", "unknown"]}, ALL),
        ({"states": ["offline"]}, []),
        ({"labels": ["site=s0"]}, ALL[::3]),
        ({"labels": ["site=s0", "rack!=0"]}, ALL[3::3]),
        ({"labels": ["rack"]}, ALL),
        ({"labels": ["colour!=red"]}, ALL),
        ({"labels": ["colour"]}, []),
        ({"heard_by": "hub-1"}, ALL[::2]),
        ({"heard_by": "hub-2"}, []),
        ({"text": "EDGE-07"}, ALL[7:8]),
        ({"text": "host-7.ex"}, ALL[7:8]),
        ({"text": "rack=7"}, ALL[7:8]),
        ({"text": "db.primary"}, ALL[::5]),
        ({"text": "no such thing"}, []),
        ({"states": ["online"], "labels": ["site=s1"], "text": "db."}, ALL[10::30]),
        ({"draining": False}, ALL),
        ({"draining": True}, []),
    ],
)
async def test_the_hub_sifts(fleet: World, asked: dict[str, Any], wanted: list[str]) -> None:
    assert await names(fleet, **asked) == wanted


async def test_what_needs_a_look_is_found_by_what_nodes_told(fleet: World) -> None:
    told: dict[str, dict[str, Any]] = {
        name_of(10): {"buffer": {"dead_letters": 2}},
        name_of(20): {"vms": [{"id": "v1", "name": "box", "state": "failed"}]},
        name_of(30): {
            "vms": [{"id": "v1", "name": "box", "state": "running"}],
            "buffer": {"dead_letters": 0},
        },
    }
    for name, changes in told.items():
        assert (await fleet.beat(name, beat=2, **changes)).status_code == 200
    assert await names(fleet, attention=True) == [name_of(10), name_of(20)]
    await fleet.call("node.drain", node=name_of(4))
    assert await names(fleet, draining=True) == [name_of(4)]


async def test_a_brief_list_tells_names_and_states_alone(fleet: World) -> None:
    answer = await fleet.call("node.list", brief=True, limit=2)
    assert answer["items"] == [
        {"node_id": "edge-00", "state": "online"},
        {"node_id": "edge-01", "state": "unknown"},
    ]
    assert (answer["total"], answer["cursor"]) == (NODES, "edge-01")


@pytest.mark.parametrize(
    "asked",
    [
        {"limit": 0},
        {"limit": 2001},
        {"states": ["fine"]},
        {"labels": [""]},
        {"labels": ["a=b"] * 17},
        {"text": "x" * 201},
        {"colour": "red"},
    ],
)
async def test_what_cannot_be_asked_is_refused(fleet: World, asked: dict[str, Any]) -> None:
    assert (await fleet.refusal("node.list", **asked))["code"] == -32602


async def test_a_page_ends_early_when_its_nodes_tell_too_much(
    fleet: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes of an answer are bounded, whatever nodes tell of themselves; the cursor goes on."""
    monkeypatch.setattr("hub.fleet_list.PAGE_BYTES_MAX", 5000)
    for asked in ({}, {"text": "host-"}):
        answer = await fleet.call("node.list", **asked)
        assert 0 < len(answer["items"]) < 10
        assert answer["cursor"] == answer["items"][-1]["node_id"]


async def test_later_pages_tell_the_counts_of_the_first_one(
    fleet: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who follows the cursor does not have all nodes counted again for each page."""
    looked: list[str] = []
    look = Sieve.lets_through

    def counting(self: Sieve, registry: Registry, record: NodeRecord, state: NodeState) -> bool:
        looked.append(record.node_id)
        return look(self, registry, record, state)

    monkeypatch.setattr(Sieve, "lets_through", counting)
    first = await fleet.call("node.list", text="edge-", limit=10)
    assert looked == ALL
    looked.clear()
    second = await fleet.call("node.list", text="edge-", limit=10, after=first["cursor"])
    assert (second["total"], looked) == (NODES, ALL[10:21])


async def test_the_coverage_of_a_page_is_about_its_nodes(fleet: World) -> None:
    held = {"pending_chunks": 3, "oldest_age_s": 60.0}
    for number in (2, 40):
        await fleet.beat(name_of(number), beat=2, buffer=held)
    silent = set(ALL[1::2])
    for asked in ({"limit": 5}, {"limit": 5, "after": "edge-20"}, {"after": "edge-20"}, {}):
        answer = await fleet.call("node.list", **asked)
        shown = [item["node_id"] for item in answer["items"]]
        behind = [each["node"] for each in answer["coverage"]["behind"]]
        assert behind == [name for name in shown if name in silent | {"edge-02", "edge-40"}]


# ---- REST


async def get(world: World, path: str) -> httpx.Response:
    return await world.client.get(f"/api/v1/nodes{path}", headers=bearer(ADMIN_TOKEN))


async def test_rest_has_the_same_pages_and_conditions(fleet: World) -> None:
    answer = (await get(fleet, "?state=online&label=site=s0&limit=3")).json()
    assert [item["node_id"] for item in answer["items"]] == ALL[::6][:3]
    assert (answer["total"], answer["cursor"]) == (10, "edge-12")
    answer = (await get(fleet, "?state=online&label=site=s0&after=edge-48")).json()
    assert ([item["node_id"] for item in answer["items"]], answer["cursor"]) == (["edge-54"], None)


async def test_rest_streams_all_nodes_as_lines_and_as_a_table(
    fleet: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.fleet_list.PAGE_BYTES_MAX", 20_000)
    *rows, end = map(orjson.loads, (await get(fleet, "?format=ndjson")).content.splitlines())
    assert [row["node_id"] for row in rows] == ALL
    assert (end["end"], end["items"], end["answer"]["total"]) == (True, NODES, NODES)
    text = (await get(fleet, "?format=csv&text=edge-0")).text
    assert [row["node"] for row in csv.DictReader(io.StringIO(text))] == ALL[:10]
