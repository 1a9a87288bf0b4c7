"""Many real machines on many nodes, ordered through whatever hub answers while hubs are killed; and one
edge under many calls at once, stopped, and cut from one hub."""

import json
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from shared.serve import PING_SECONDS, PONG_SECONDS_MAX
from tests.system.namespaces import network
from tests.system.processes import (
    Answered,
    EdgeProcess,
    Fleet,
    HubProcess,
    each_shows,
    eventually,
    start_together,
)
from tests.system.scattered import scatter
from tests.unit.vm.needs import qemu

EDGES, MACHINES_EACH, ROUNDS = 10, 4, 3
TINY = "builtin:tiny"
WORKERS = 4
CALM_SECONDS = 1.0
"""Between the return of one hub and the death of the next."""

PATIENCE_SECONDS = 60.0
ASK_AGAIN = frozenset({"outcome_unknown", "node_unreachable", "no_path", "busy", "not_found"})
"""What a hub that has just begun may say; the request id makes asking again harmless."""


@dataclass(frozen=True, slots=True)
class Order:
    """One thing that a person wants of one machine, once."""

    node: str
    vm: str
    method: str
    request_id: str
    params: dict[str, Any]


@dataclass(slots=True)
class Person:
    """Asks the hubs in turn, and keeps one request id until somebody says how it ended."""

    hubs: Sequence[HubProcess]
    tokens: dict[str, str]
    repeated: int = 0
    given: list[Order] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def do(self, order: Order) -> dict[str, Any]:
        """The end of an operation; fails the test when no hub tells of one."""
        with self._lock:
            self.given.append(order)
        deadline = time.monotonic() + PATIENCE_SECONDS
        number, said = hash(order.request_id), "nothing"
        while time.monotonic() < deadline:
            hub = self.hubs[number % len(self.hubs)]
            try:
                answer = self._ask(hub, order)
            except (httpx.HTTPError, Answered) as error:
                if isinstance(error, Answered) and error.kind not in ASK_AGAIN:
                    raise
                said = f"{hub.name}: {type(error).__name__} {error}"
                number += 1
                with self._lock:
                    self.repeated += 1
                time.sleep(0.05)
                continue
            if answer["state"] != "running":
                return answer
        pytest.fail(f"{order} came to no end: {said}")

    def _ask(self, hub: HubProcess, order: Order) -> dict[str, Any]:
        params = {"node": order.node, "request_id": order.request_id, "wait_s": 10, **order.params}
        body = {"jsonrpc": "2.0", "id": 1, "method": order.method, "params": params}
        headers = {"authorization": f"Bearer {self.tokens[hub.name]}"}
        answer = httpx.post(f"{hub.url}/rpc", json=body, headers=headers, timeout=30).json()
        if "error" in answer:
            raise Answered(answer["error"])
        result: dict[str, Any] = answer["result"]
        return result


def person_before(hubs: Sequence[HubProcess]) -> Person:
    """Somebody who may call all hubs, also those that are not there now."""
    files = {hub.name: Path(hub.folder) / "hub" / "admin.token" for hub in hubs}
    return Person(hubs, {name: file.read_text().strip() for name, file in files.items()})


def vms_of(node: str) -> list[str]:
    return [f"{node}-vm-{number}" for number in range(MACHINES_EACH)]


def orders_of(node: str, vm: str) -> Iterator[Order]:
    """A life: made and started, then stopped and started in turns; the last word is by the name."""
    spec = {"name": vm, "image": TINY, "memory_mib": 16}
    yield Order(node, vm, "vm.create", f"{vm}-made", {"spec": spec})
    yield Order(node, vm, "vm.start", f"{vm}-0", {"vm": vm})
    for number in range(1, ROUNDS + int(vm[-1]) % 2):
        if number % 2:
            # A guest that is not up yet does not hear the power button.
            more = {"vm": vm, "force_after": 5.0}
            yield Order(node, vm, "vm.stop", f"{vm}-{number}", more)
        else:
            yield Order(node, vm, "vm.start", f"{vm}-{number}", {"vm": vm})


def live(person: Person, node: str, vm: str) -> None:
    """Give the orders of one machine, each when the one before has ended."""
    for order in orders_of(node, vm):
        answer = person.do(order)
        assert (answer["state"], answer["request_id"]) == ("done", order.request_id), answer


def kill_in_turns(hubs: Sequence[HubProcess], is_over: threading.Event) -> int:
    """SIGKILL one hub after the other, each back before the next dies; returns how often."""
    kills = 0
    while not is_over.is_set():
        hub = hubs[kills % len(hubs)]
        hub.kill()
        kills += 1
        hub.start()
        is_over.wait(CALM_SECONDS)
    return kills


def ledger_of(edge: EdgeProcess) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """What an edge wrote down: the operation of each request id, and all operations."""
    (book,) = Path(edge.folder).glob("**/vm.db")
    with closing(sqlite3.connect(f"file:{book}?mode=ro", uri=True)) as connection:
        requests = dict(connection.execute("select id, op_id from requests"))
        by_time = "select record from operations order by created_ms"
        return requests, [json.loads(row[0]) for row in connection.execute(by_time)]


def machines_of(edge: EdgeProcess) -> list[psutil.Process]:
    """The QEMUs of an edge that live."""
    folder = str(edge.folder)
    return [
        process
        for process in psutil.process_iter(["name", "cmdline", "status"])
        if process.info["name"].startswith("qemu-system")
        and process.info["status"] != psutil.STATUS_ZOMBIE
        and any(word.startswith(folder) for word in process.info["cmdline"] or ())
    ]


@qemu()
@pytest.mark.timeout(280)
def test_each_machine_did_exactly_what_its_operations_say_while_hubs_died(fleet: Fleet) -> None:
    hubs = fleet.hubs(3)
    edges = [fleet.edge(f"edge-{n}", hubs, start=False) for n in range(EDGES)]
    start_together(edges)
    fleet.settled(hubs, *edges)
    person, is_over = person_before(hubs), threading.Event()
    with ThreadPoolExecutor(WORKERS + 1) as crew:
        killer = crew.submit(kill_in_turns, hubs, is_over)
        try:
            # By rounds of the machines' numbers, so that all nodes are busy at once.
            lives = [
                crew.submit(live, person, edge.name, vms_of(edge.name)[number])
                for number in range(MACHINES_EACH)
                for edge in edges
            ]
            for each in lives:
                each.result()
        finally:
            is_over.set()
        assert killer.result() >= len(hubs)
    assert person.repeated > 0
    for edge in edges:
        assert_did_what_was_ordered(edge, person.given)
    wanted = {
        vm: "running" if last_is_start(vm) else "stopped"
        for edge in edges
        for vm in vms_of(edge.name)
    }
    each_shows(hubs, states, wanted)


def last_is_start(vm: str) -> bool:
    *_, last = orders_of("", vm)
    return last.method == "vm.start"


def states(hub: HubProcess) -> dict[str, str]:
    """The machines that a hub knows, and what each does."""
    return {vm["name"]: vm["state"] for vm in hub.ask("vm.list").get("items", [])}


def assert_did_what_was_ordered(edge: EdgeProcess, given: Sequence[Order]) -> None:
    """Each request is one operation, none was begun that nobody ordered, and as many processes live
    as machines were left running."""
    requests, operations = ledger_of(edge)
    mine = [order for order in given if order.node == edge.name]
    assert sorted(requests) == sorted(order.request_id for order in mine)
    assert len(set(requests.values())) == len(operations) == len(mine)
    for vm in vms_of(edge.name):
        done = [(each["method"], each["state"]) for each in operations if each["vm_name"] == vm]
        assert done == [(order.method, "done") for order in orders_of(edge.name, vm)]
    running = sum(last_is_start(vm) for vm in vms_of(edge.name))
    assert len(machines_of(edge)) == running


# ---- one edge, many calls

CALLS = 1000
NOTICED_SECONDS = 3.0
GROWTH_BYTES_MAX = 200 * 1024 * 1024


def pair_with_an_edge(fleet: Fleet) -> tuple[HubProcess, HubProcess, EdgeProcess]:
    first, second = fleet.two_hubs()
    edge = fleet.edge("edge-1", [first, second], "ALLOW_UNISOLATED=1")
    fleet.settled([first, second], edge)
    return first, second, edge


def agent_of(edge: EdgeProcess) -> psutil.Process:
    """The process that is the edge itself."""
    assert edge.process is not None
    return psutil.Process(edge.process.pid)


def at_once(hub: HubProcess, method: str, count: int, **params: Any) -> list[str]:
    """What so many calls over as many connections are answered with: the kind, or "result"."""
    token = (hub.folder / "hub" / "admin.token").read_text().strip()
    headers = {"authorization": f"Bearer {token}"}
    limits = httpx.Limits(max_connections=count)
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    with httpx.Client(timeout=60, limits=limits, headers=headers) as client:

        def one(_: int) -> str:
            said = client.post(f"{hub.url}/rpc", json=body).json()
            return "result" if "result" in said else str(said["error"]["data"]["kind"])

        with ThreadPoolExecutor(count) as crew:
            return list(crew.map(one, range(count)))


def test_a_thousand_calls_to_one_edge_stop_no_heartbeat_and_cost_bounded_memory(
    fleet: Fleet,
) -> None:
    """Calls through the other hub are answered meanwhile; what is too much is refused as busy."""
    first, second, edge = pair_with_an_edge(fleet)
    spec = {"name": "box", "image": "builtin:shell"}
    first.call("vm.create", node="edge-1", spec=spec, wait_s=20)
    each_shows((first, second), states, {"box": "stopped"})
    before = agent_of(edge).memory_info().rss
    seen_before = first.call("node.get", node="edge-1")["last_seen"]
    answers: list[str] = []
    flood = threading.Thread(
        target=lambda: answers.extend(at_once(first, "vm.get", CALLS, vm="box", live=True))
    )
    flood.start()
    answered = 0
    while flood.is_alive():
        assert second.call("vm.get", vm="box")["name"] == "box"
        assert second.node_ids() == ["edge-1"]
        answered += 1
    flood.join()
    assert answered > 0
    assert len(answers) == CALLS
    assert set(answers) <= {"result", "busy"}
    assert answers.count("result") > CALLS // 2
    eventually(
        lambda: first.call("node.get", node="edge-1")["last_seen"] > seen_before, "it beats on"
    )
    assert agent_of(edge).memory_info().rss - before < GROWTH_BYTES_MAX


def test_an_edge_that_stands_still_is_noticed_long_before_its_heartbeats_are_missed(
    fleet: Fleet,
) -> None:
    """Pings tell within three seconds, and calls say so at once; what is known of the machine is then
    shown as old, not as new."""
    assert PING_SECONDS + PONG_SECONDS_MAX < NOTICED_SECONDS
    first, _, edge = pair_with_an_edge(fleet)
    spec = {"name": "box", "image": "builtin:shell"}
    first.call("vm.create", node="edge-1", spec=spec, wait_s=20)
    each_shows([first], states, {"box": "stopped"})
    agent = agent_of(edge)
    os.kill(agent.pid, signal.SIGSTOP)
    try:
        eventually(lambda: first.has_link_to(0), "the link is dropped")
        assert first.node_ids() == ["edge-1"]
        assert refused(lambda: first.call("vm.start", vm="box")) in ("no_path", "node_unreachable")
        assert first.call("vm.get", vm="box")["freshness"] in ("stale", "unreachable")
    finally:
        os.kill(agent.pid, signal.SIGCONT)
    eventually(lambda: first.has_link_to(1), "the link is back")
    assert first.call("vm.get", vm="box")["freshness"] == "live"


def refused(call: Callable[[], Any]) -> str:
    """The kind of error that a call is answered with."""
    with pytest.raises(Answered) as caught:
        call()
    return str(caught.value.kind)


def test_a_call_through_a_hub_that_is_cut_from_the_edge_arrives_through_another(
    fleet: Fleet,
) -> None:
    """And the answer says which way it came."""
    with network("hub-1", "hub-2", "edge-1") as net:
        (first, second), (edge,) = scatter(fleet, net)
        fleet.settled([first, second], edge)
        spec = {"name": "box", "image": "builtin:shell"}
        order = {"node": "edge-1", "spec": spec, "request_id": "once", "wait_s": 20}
        made = first.call("vm.create", **order)
        assert made["path"]["served_by"] == "hub-1"
        net.part(["hub-1"], ["edge-1"])
        again = first.call("vm.create", **order)
        assert again["op_id"] == made["op_id"]
        assert again["path"]["served_by"] == "hub-2"
        assert [hop["hub"] for hop in again["path"]["hops"]][-2:] == ["hub-1", "hub-2"]
        read = first.call("vm.get", vm="box", live=True)
        assert (read["path"]["served_by"], read["freshness"]) == ("hub-2", "live")
        net.heal()
        eventually(lambda: first.has_link_to(1), "the link is back")
        assert first.call("vm.get", vm="box", live=True)["path"]["served_by"] == "hub-1"
        fleet.end()
