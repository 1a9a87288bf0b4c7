"""Calls on machines through hubs: by whatever path, once, and with the path in every answer."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge.vm.telling_parts import stats_part
from shared.codec import compress
from shared.errors import RpcError
from shared.jsonrpc import CODES
from shared.records import Signal
from tests.api.conftest import World
from tests.api.machine_world import SPEC, Edge, edge_in, refusal
from tests.api.mesh_world import Network, config_of, opened, own_events, running


@dataclass
class Fleet:
    """Two hubs that know each other, and an edge."""

    one: World
    two: World
    edge: Edge
    net: Network


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    """Each hub has heard the edge; nobody has a link to it."""
    net, names = Network(), ("hub-1", "hub-2")
    async with AsyncExitStack() as stack, edge_in(tmp_path / "e") as edge:
        configs = [config_of(tmp_path, name, names) for name in names]
        one, two = [await opened(stack, net.apps, each, net.wire(each.hub_id)) for each in configs]
        await stack.enter_async_context(running(one, two))
        for world in (one, two):
            await edge.beat(world)
        yield Fleet(one, two, edge, net)


async def test_an_order_through_the_other_hub_arrives_and_says_how(fleet: Fleet) -> None:
    async with fleet.edge.linked(fleet.two):
        done = await fleet.one.call("vm.create", node="edge-1", spec=SPEC, request_id="r-1")
        again = await fleet.two.call("vm.create", node="edge-1", spec=SPEC, request_id="r-1")
    assert (done["op_id"], done["state"]) == (again["op_id"], "done")
    assert done["path"]["served_by"] == "hub-2"
    assert [hop["hub"] for hop in done["path"]["hops"]] == ["hub-1", "hub-2"]
    assert all(hop["ms"] >= 0 for hop in done["path"]["hops"])
    assert (done["via_hub"], done["requested_by"]) == ("hub-1", "admin")
    assert len(fleet.edge.service.summary()) == 1


async def test_an_answer_that_is_lost_after_the_effect_gives_one_machine(fleet: Fleet) -> None:
    """The first hub's link loses the answer; the same request id goes through the second."""
    async with fleet.edge.linked(fleet.one, "answers"), fleet.edge.linked(fleet.two):
        done = await fleet.one.call("vm.create", node="edge-1", spec=SPEC, request_id="r-1")
    assert (done["state"], done["path"]["served_by"]) == ("done", "hub-2")
    assert "error" in done["path"]["hops"][0]
    [made] = fleet.edge.service.summary()
    assert made["name"] == "box"
    listed = await fleet.edge.service.call("op.list", {})
    assert len(listed["items"]) == 1


async def test_an_answer_that_is_lost_on_every_path_is_an_outcome_that_nobody_knows(
    fleet: Fleet,
) -> None:
    """Repeating it with the request id that the error names gives the same machine."""
    async with fleet.edge.linked(fleet.one, "answers"):
        lost = await refusal(fleet.one, "vm.create", node="edge-1", spec=SPEC)
    assert (lost["kind"], lost["retryable"]) == ("outcome_unknown", True)
    async with fleet.edge.linked(fleet.two):
        done = await fleet.two.call(
            "vm.create", node="edge-1", spec=SPEC, request_id=lost["request_id"]
        )
    assert done["state"] == "done"
    assert len(fleet.edge.service.summary()) == 1


async def test_a_request_id_is_for_one_thing(fleet: Fleet) -> None:
    async with fleet.edge.linked(fleet.one):
        await fleet.one.call("vm.create", node="edge-1", spec=SPEC, request_id="r-1")
        other = {**SPEC, "name": "other"}
        said = await refusal(fleet.two, "vm.create", node="edge-1", spec=other, request_id="r-1")
    assert (said["kind"], said["code"], said["retryable"]) == ("conflict", -32002, False)
    assert (said["hop"], said["node"]) == ("hub-1", "edge-1")
    assert said["path"]["hops"]


async def test_errors_of_the_node_come_as_they_are_and_are_final(fleet: Fleet) -> None:
    async with fleet.edge.linked(fleet.one):
        await fleet.edge.make()
        await fleet.edge.service.call("vm.stop", {"vm": "box", "wait_s": 30})
        await fleet.edge.beat(fleet.one)
        said = await refusal(fleet.one, "vm.pause", vm="box")
    assert (said["kind"], said["code"], said["state"]) == ("invalid_state", -32003, "stopped")
    assert "start" in said["allowed"]
    assert (said["hop"], said["method"], said["retryable"]) == ("hub-1", "vm.pause", False)


async def test_without_any_path_the_hubs_that_were_tried_are_named(fleet: Fleet) -> None:
    await fleet.edge.make()
    await fleet.edge.beat(fleet.one)
    said = await refusal(fleet.one, "vm.start", vm="box")
    assert (said["kind"], said["code"], said["retryable"]) == ("no_path", -32011, False)
    [hop] = said["path"]["hops"]
    assert (hop["hub"], "no link" in hop["error"]) == ("hub-2", True)
    assert said["request_id"]


async def test_a_live_read_of_a_silent_node_is_refused_as_stale_only(fleet: Fleet) -> None:
    await fleet.edge.make()
    await fleet.edge.beat(fleet.one)
    known = await fleet.one.call("vm.get", vm="box")
    assert (known["freshness"], known["state"]) == ("stale", "running")
    for method, more in (("vm.get", {"live": True}), ("vm.stats", {})):
        said = await refusal(fleet.one, method, vm="box", **more)
        assert (said["kind"], said["code"], said["cause"]) == ("stale_only", -32013, "no_path")
        assert said["retryable"] is False


async def test_a_node_that_answers_for_another_one_is_no_answer(fleet: Fleet) -> None:
    """A hub that passes a call to the wrong edge must not look as if it had worked."""
    await fleet.edge.make()
    await fleet.edge.beat(fleet.one)
    await fleet.one.beat("edge-2")
    async with fleet.edge.linked(fleet.one):
        fleet.one.hub.links.sessions["edge-2"] = fleet.one.hub.links.sessions["edge-1"]
        said = await refusal(fleet.one, "node.drivers", node="edge-2")
        sent = await refusal(fleet.one, "vm.start", vm="box", node="edge-2")
        del fleet.one.hub.links.sessions["edge-2"]
    assert said["kind"] == "not_found"  # The edge itself refuses calls for another node.
    assert sent["kind"] == "not_found"


FINAL = sorted(
    kind
    for kind, code in CODES.items()
    if -32016 <= code <= -32001 and kind not in ("node_unreachable", "outcome_unknown")
)


@pytest.mark.parametrize("kind", FINAL)
async def test_each_error_of_the_table_comes_with_its_code_and_the_path(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Also through another hub, and nothing is tried again elsewhere."""
    calls = list[str]()

    async def refuse(method: str, params: dict[str, Any]) -> dict[str, Any]:
        calls.append(method)
        raise RpcError(kind, "no, as the test says", {"op_id": "o-1", "allowed": ["start"]})

    monkeypatch.setattr(fleet.edge.service, "call", refuse)
    async with fleet.edge.linked(fleet.two):
        said = await refusal(fleet.one, "vm.start", vm="box", node="edge-1", request_id="r-1")
    assert (said["code"], said["kind"], calls) == (CODES[kind], kind, ["vm.start"])
    assert said["retryable"] is (kind == "busy")
    assert (said["node"], said["op_id"], said["hop"]) == ("edge-1", "o-1", "hub-2")
    assert [hop["hub"] for hop in said["path"]["hops"]] == ["hub-2"]
    assert (said["path"]["served_by"], said["allowed"]) == ("hub-1", ["start"])


@pytest.mark.parametrize("params", [{"vm": "nobody"}, {"vm": "box", "node": "edge-9"}])
async def test_what_this_hub_refuses_by_itself_ends_here(
    fleet: Fleet, params: dict[str, Any]
) -> None:
    said = await refusal(fleet.one, "vm.start", **params)
    assert (said["kind"], said["hop"], said["retryable"]) == ("not_found", "hub-1", False)


async def test_an_order_is_given_up_at_its_deadline_and_goes_on_all_the_same(
    fleet: Fleet,
) -> None:
    """The node is told how long somebody waits; the operation that it began has its own end."""
    fleet.edge.scripted.holds.add("start.before")
    async with fleet.edge.linked(fleet.one):
        order = {"node": "edge-1", "spec": SPEC, "start": True, "request_id": "r-1"}
        lost = await refusal(fleet.one, "vm.create", **order, wait_s=30, deadline_ms=200)
        fleet.edge.scripted.free.set()
        done = await fleet.one.call("vm.create", **order, wait_s=30)
    assert (lost["kind"], lost["request_id"], done["state"]) == ("outcome_unknown", "r-1", "done")
    assert len(fleet.edge.service.summary()) == 1


async def test_the_route_shows_the_paths_and_what_came_of_them(fleet: Fleet) -> None:
    await fleet.edge.make()
    await fleet.edge.beat(fleet.one)
    await refusal(fleet.one, "vm.start", vm="box")
    async with fleet.edge.linked(fleet.one):
        await fleet.one.call("vm.start", vm="box")
        route = await fleet.one.call("hub.route", vm="box")
    assert [path["hub"] for path in route["paths"]] == ["hub-1", "hub-2"]
    own, peer = route["paths"]
    assert (own["via"], own["last"]["error"]) == ("own link", None)
    assert (peer["via"], "no link" in peer["last"]["error"]) == ("peer", True)
    assert (await refusal(fleet.one, "hub.route"))["kind"] == "invalid_params"


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("vm.start", {"vm": "../../etc/passwd"}),
        ("vm.start", {"vm": "box\n"}),
        ("vm.start", {"vm": "box", "requested_by": "somebody else"}),
        ("vm.start", {"vm": "box", "via_hub": "hub-9"}),
        ("vm.start", {"vm": "box", "request_id": "with space"}),
        ("vm.stop", {"vm": "box", "mode": "gently"}),
        ("vm.exec", {"vm": "box", "argv": []}),
        ("vm.exec", {"vm": "box", "argv": ["x"], "timeout_s": 1e9}),
        ("vm.create", {"spec": SPEC, "request_id": "r-1"}),
        ("vm.adopt", {"handle": "abc", "spec": SPEC}),
        ("vm.console.send", {"vm": "box"}),
        ("vm.get", {"vm": "box", "actions": "all"}),
        ("node.maintenance", {}),
        ("op.list", {"state": "asleep"}),
        ("vm.create", {"node": "edge-1", "spec": SPEC, "queue": True}),
        ("vm.bulk", {"action": "start"}),
        ("vm.bulk", {"action": "start", "selector": {}}),
        ("vm.bulk", {"action": "start", "ids": ["a"], "options": {"mode": "force"}}),
        ("vm.bulk", {"action": "stop", "ids": ["a"], "options": {"request_id": "mine"}}),
        ("vm.list", {"since_seq": 4}),
        ("op.wait", {"op_id": "x", "timeout_s": 1e6}),
        ("image.import", {"node": "edge-1", "name": "x"}),
    ],
)
async def test_bad_parameters_are_refused_before_anything_is_sent(
    fleet: Fleet, method: str, params: dict[str, Any]
) -> None:
    said = await refusal(fleet.one, method, **params)
    assert (said["kind"], said["code"]) == ("invalid_params", -32602)
    assert (said["hop"], said["retryable"]) == ("hub-1", False)
    assert not fleet.edge.service.summary()


async def test_all_methods_on_machines_are_described(fleet: Fleet) -> None:
    """With parameters, and what they are for; and those of the edge are all there."""
    found = {each["name"]: each for each in (await fleet.one.call("rpc.discover"))["methods"]}
    of_edge = {name for name in fleet.edge.service.methods if name != "vm.list"}
    assert of_edge <= found.keys()
    for name in [*of_edge, "vm.bulk", "vm.queue.list", "vm.queue.cancel", "hub.route", "vm.list"]:
        assert found[name]["summary"], name
        assert found[name]["params"], name
    assert {"mode", "queue", "force_after"} <= {each["name"] for each in found["vm.stop"]["params"]}


async def test_operations_are_known_on_every_hub_also_when_their_node_is_silent(
    fleet: Fleet,
) -> None:
    """From the events that the node wrote; a hub that has them needs no path to it."""
    async with fleet.edge.linked(fleet.one):
        done = await fleet.one.call("vm.create", node="edge-1", spec=SPEC, start=True, wait_s=30)
        live = await fleet.two.call("op.get", node="edge-1", op_id=done["op_id"])
        listed = await fleet.two.call("op.list", node="edge-1")
    assert (live["freshness"], live["state"], live["via_hub"]) == ("live", "done", "hub-1")
    assert (listed["source"], len(listed["items"])) == ("node", 1)
    await fleet.edge.push(fleet.two)
    await fleet.edge.beat(fleet.two)
    for asked in ({}, {"node": "edge-1"}):
        told = await fleet.two.call("op.get", op_id=done["op_id"], **asked)
        assert (told["state"], told["freshness"], told["source"]) == ("done", "stale", "events")
        assert (told["requested_by"], told["via_hub"]) == ("admin", "hub-1")
        waited = await fleet.two.call("op.wait", op_id=done["op_id"], timeout_s=30, **asked)
        assert waited["state"] == "done"
    by_vm = await fleet.two.call("op.list", vm="box", state="done")
    assert [each["op_id"] for each in by_vm["items"]] == [done["op_id"]]
    assert (await fleet.two.call("op.list", state="failed"))["items"] == []
    events = await fleet.two.call("vm.events", vm="box")
    assert "vm.operation" in {each["type"] for each in events["items"]}
    said = await refusal(fleet.two, "op.get", op_id="nobody-knows")
    assert said["kind"] == "not_found"


async def test_what_a_machine_used_is_told_from_its_metrics_also_when_its_node_is_silent(
    fleet: Fleet,
) -> None:
    made = await fleet.edge.make()
    [vm] = fleet.edge.service._records.all()
    use = {"cpu_seconds": 2.5, "memory_bytes": 4096}
    part = stats_part([(vm, use)], {"service.name": "edge"}, time.time_ns())
    assert part is not None
    chunk = fleet.edge.log.chunk(
        part.records,
        compress(part.body),
        signal=Signal.METRICS,
        raw_bytes=len(part.body),
        time_min_ns=part.time_min_ns,
        time_max_ns=part.time_max_ns,
    )
    assert (await fleet.one.push([chunk])).status_code == 200
    found = await fleet.one.call("vm.stats.series", vm=made["id"], **{"from": "-5m"})
    assert found["vm_id"] == made["id"]
    assert found["metrics"].keys() == {"cpu", "memory", "disk", "net"}
    counts = {name: len(each["series"]) for name, each in found["metrics"].items()}
    assert counts == {"cpu": 1, "memory": 1, "disk": 0, "net": 0}


async def test_a_bulk_order_has_a_result_for_each_machine_and_repeats_nothing(
    fleet: Fleet,
) -> None:
    """Also through another hub."""
    for name in ("web-1", "web-2", "db-1"):
        await fleet.edge.make(name, labels={"tier": name[:-2]})
    for world in (fleet.one, fleet.two):
        await fleet.edge.beat(world)
    order = {"action": "stop", "selector": {"name": "web-*"}, "request_id": "b-1", "wait_s": 30}
    async with fleet.edge.linked(fleet.one):
        shown = await fleet.one.call("vm.bulk", **{**order, "dry_run": True})
        assert (shown["total"], shown["counts"]) == (2, {"waiting": 2})
        done = await fleet.one.call("vm.bulk", **order)
        again = await fleet.one.call("vm.bulk", **order)
        other = await fleet.two.call("vm.bulk", **order)
        listed = await fleet.one.call("op.list", node="edge-1")
    assert (done["state"], done["counts"], done["progress"]) == ("done", {"done": 2}, 100)
    assert again == done
    assert other["op_id"] == done["op_id"]
    ids = [[item["op_id"] for item in each["items"]] for each in (done, other)]
    assert ids[0] == ids[1]
    assert [each["method"] for each in listed["items"]].count("vm.stop") == 2
    held = await fleet.one.call("op.get", op_id=done["op_id"])
    assert held["items"] == done["items"]
    said = await refusal(fleet.one, "vm.bulk", **{**order, "action": "start"})
    assert said["kind"] == "conflict"
    told = await own_events(fleet.one, "vm.operation")
    assert [each["attributes"]["op.state"] for each in told] == ["done", "running"]


async def test_a_bulk_order_stops_at_the_first_error_where_that_is_asked(fleet: Fleet) -> None:
    await fleet.edge.make("a")
    await fleet.edge.make("b")
    await fleet.edge.service.call("vm.stop", {"vm": "a", "wait_s": 30})
    await fleet.edge.beat(fleet.one)
    order = {"action": "pause", "ids": ["a", "b", "nobody"], "parallel": 1, "wait_s": 30}
    async with fleet.edge.linked(fleet.one):
        halted = await fleet.one.call("vm.bulk", **order, stop_on_error=True)
        whole = await fleet.one.call("vm.bulk", **order)
    states = [item["state"] for item in halted["items"]]
    assert (halted["state"], states) == ("failed", ["skipped", "skipped", "failed"])
    assert [item["state"] for item in whole["items"]] == ["failed", "done", "failed"]
    assert whole["items"][0]["error"]["kind"] == "invalid_state"
    assert whole["items"][2]["error"]["kind"] == "not_found"


async def test_a_node_is_drained_with_its_machines_where_that_is_asked(fleet: Fleet) -> None:
    await fleet.edge.make("a")
    await fleet.edge.make("b")
    await fleet.edge.beat(fleet.one)
    async with fleet.edge.linked(fleet.one):
        drained = await fleet.one.call("node.drain", node="edge-1", stop_vms=True, wait_s=30)
        said = await refusal(fleet.one, "vm.create", node="edge-1", spec=SPEC)
    assert drained["draining"] is True
    assert drained["stopping"]["counts"] == {"done": 2}
    assert {vm["state"] for vm in fleet.edge.service.summary()} == {"stopped"}
    assert said["kind"] == "invalid_state"
