"""Answers in the shapes that a hub's RPC gives: one with something of everything, one of a new hub."""

from typing import Any

from tests.api.vm_web_answers import vm_answers
from tests.api.web_ledger_answer import ledger
from tests.api.web_moments import series, time
from tests.api.web_query_answers import (
    LATE_REPLICATION,
    REPLICATION,
    STATUS,
    empty_query_answers,
    query_answers,
)
from tests.api.web_uptime_answers import empty_uptime_answers, uptime_answers

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
HOSTILE = "<script>alert('x')</script>\"'&<img src=x onerror=alert(1)>"


def vm(name: str = "box-1", state: str = "running", **changes: Any) -> dict[str, Any]:
    """A VM as vm.list tells it."""
    return {
        "id": f"5d1c{name}",
        "name": name,
        "node_id": "edge-1",
        "kind": "sandbox",
        "image": "builtin:shell",
        "state": state,
        "status": state,
        "power": "running" if state == "running" else "stopped",
        "task": None,
        "reason": "user",
        "isolation": "namespaces",
        "started_at": time(4000),
        "restarts": 0,
        "freshness": "live",
        "seen_via": "hub-1",
        "age_s": 1.2,
        **changes,
    }


def node(node_id: str = "edge-1", state: str = "online", **changes: Any) -> dict[str, Any]:
    """A node as node.list tells it."""
    return {
        "node_id": node_id,
        "state": state,
        "last_heard_by": "hub-1",
        "since": time(60),
        "reason": None,
        "ends": None,
        "last_seen": time(2),
        "last_seen_by": "hub-1",
        "age_s": 2.134,
        "told_age_s": 2.134,
        "draining": False,
        "labels": {"site": "north"},
        "facts": {
            "hostname": f"{node_id}.example",
            "os": "Debian GNU/Linux 12 (bookworm)",
            "kernel": "6.1.0-25-amd64",
            "arch": "x86_64",
            "cpus": 8,
            "memory_bytes": 16_700_000_000,
            "version": "0.1.0",
        },
        "load": {"cpu_ratio": 0.37, "memory_ratio": 0.62, "load1": 1.4},
        "buffer": {
            "chunks": 3,
            "records": 900,
            "bytes": 48_211,
            "pending_chunks": 1,
            "oldest_age_s": 0.4,
            "dead_letters": 0,
            "last_error": "",
        },
        "vms": [vm()],
        "incarnation": 4,
        "beat": 1911,
        "hubs": {"hub-1": time(2), "hub-2": time(3)},
        **changes,
    }


def hub(hub_id: str = "hub-2", state: str = "alive", **changes: Any) -> dict[str, Any]:
    """A hub as hub.list tells it."""
    mine = state == "self"
    return {
        "hub_id": hub_id,
        "url": f"http://{hub_id}.example:8470",
        "version": "0.1.0",
        "uptime_s": 93_012.4,
        "nodes": 3,
        "links": 2,
        "chunks": 18_422,
        "records": 9_120_334,
        "bytes": 734_003_200,
        "state": state,
        "last_seen": time(0.4),
        "age_s": 0.0 if mine else 0.41,
        "lag_chunks": 0,
        "rtt_ms": None if mine else 0.83,
        "clock_offset_ms": None if mine else 1.7,
        "error": None,
        **changes,
    }


def record(number: int = 0, severity: int = 9, **changes: Any) -> dict[str, Any]:
    """A record as log.query tells it."""
    names = {5: "DEBUG", 9: "INFO", 13: "WARN", 17: "ERROR"}
    return {
        "time": time(number * 0.731),
        "node": "edge-1",
        "severity": names[severity],
        "severity_number": severity,
        "body": f"order {4000 + number} was paid after {number * 7 % 90} ms",
        "service": "checkout",
        "attributes": {"http.route": "/pay", "http.response.status_code": 200, "retry": False},
        "resource": {"service.name": "checkout", "host.name": "edge-1"},
        "scope": "shop.payment",
        "trace_id": TRACE_ID,
        "span_id": "00f067aa0ba902b7",
        "event_name": "",
        "epoch": "e1",
        "seq": 100 - number // 10,
        "index": number % 10,
        "received": time(number * 0.7),
        "delay_s": 0.031 * number,
        "backfilled": False,
        **changes,
    }


def span(number: int = 0, depth: int = 0, **changes: Any) -> dict[str, Any]:
    """A span as trace.get tells it."""
    return {
        "span_id": f"{number:016x}",
        "parent_span_id": f"{number - 1:016x}" if depth else "",
        "name": ("POST /pay", "authorise", "SELECT orders", "publish paid")[number % 4],
        "service": ("checkout", "bank", "database", "broker")[number % 4],
        "node": "edge-1",
        "kind": "server",
        "start": time(),
        "offset_ms": number * 9.5,
        "duration_ms": 120.0 - number * 9,
        "status": "unset",
        "status_message": "",
        "attributes": {"http.route": "/pay"},
        "events": [],
        "depth": depth,
        **changes,
    }


def operation(method: str = "vm.start", state: str = "done", **changes: Any) -> dict[str, Any]:
    """An operation as the orders about VMs tell it."""
    return {
        "op_id": "op-1",
        "request_id": "request-1",
        "vm_id": "5d1cbox-1",
        "vm_name": "box-1",
        "node_id": "edge-1",
        "method": method,
        "state": state,
        "progress": None,
        "stage": "running",
        "changed": True,
        "error": None,
        "result": None,
        "created_at": time(3),
        "updated_at": time(1),
        "requested_by": "",
        "via_hub": "hub-1",
        "path": {"served_by": "hub-1", "hops": [{"hub": "hub-1", "ms": 2.41}]},
        **changes,
    }


COVERAGE = {
    "hub": "hub-1",
    "complete_until": time(2.1),
    "behind": [],
    "missing_nodes": [],
    "partial": False,
    "index": {"behind_chunks": 0, "error": None},
    "damaged_chunks": 0,
    "gaps": {"count": 0, "records": 0, "reasons": {}, "nodes": []},
    "skewed": [],
}
PARTIAL = {
    **COVERAGE,
    "behind": [
        {"node": "edge-3", "chunks": 12, "records": 800, "age_s": 190.0, "state": "offline"}
    ],
    "partial": True,
}
SCANNED = {"chunks": 12, "records": 4800, "complete": True}


def full_answers() -> dict[str, Any]:
    """What a hub with something of everything answers."""
    nodes = [
        node(),
        node("edge-2", "late", age_s=14.2, vms=[vm("web-1", node_id="edge-2")]),
        node("edge-3", "offline", age_s=190.0, vms=[]),
    ]
    vms = [
        vm(),
        vm("box-2", "stopped"),
        vm("build-7", "running", task="stopping", status="stopping..."),
        vm("box-3", "failed", status="failed: crashed", reason="crashed", restarts=5),
        vm("old-1", status="unknown (was running)", node_id="edge-3", freshness="unreachable"),
    ]
    hubs = [
        hub("hub-1", "self"),
        hub(replication=REPLICATION),
        hub(
            "hub-3",
            "dead",
            age_s=64.0,
            error="connection refused",
            lag_chunks=None,
            replication=LATE_REPLICATION,
        ),
    ]
    records = [record(i, (9, 9, 5, 13, 9, 17)[i % 6]) for i in range(40)]
    spans = [span(0), span(1, 1), span(2, 2), span(3, 1, status="error", status_message="refused")]
    names = (
        "system.cpu.utilization",
        "system.memory.usage",
        "system.network.io",
        "http.server.request.duration",
    )
    found = {"scanned": SCANNED, "coverage": COVERAGE}
    return {
        **vm_answers(),
        **query_answers(),
        **uptime_answers(),
        "ledger.show": ledger(),
        "hub.status": {
            **hub("hub-1", "self"),
            "cluster_id": "0a1b2c3d4e5f6789",
            "started": time(93_012),
            "nodes": {"online": 1, "late": 1, "offline": 1},
            "vms": {"running": 2, "stopped": 1, "failed": 1},
            **STATUS,
            "disk_free_bytes": 88_000_000_000,
            "copies": 2,
            "peers": hubs[1:],
            "counters": {"calls": 12},
        },
        "hub.list": {"items": hubs},
        "node.list": {"items": nodes, "coverage": COVERAGE},
        "node.get": nodes[0],
        "log.query": lambda params: {
            "items": [
                record(n, event_name="vm.started", body=f"box-{n} has started") for n in range(6)
            ]
            if params.get("signal") == "events"
            else records,
            "cursor": "next-page",
            **found,
            "coverage": PARTIAL,
        },
        "metric.names": {
            "items": [
                {"name": name, "unit": "1", "kind": "gauge", "nodes": ["edge-1", "edge-2"]}
                for name in names
            ],
            **found,
        },
        "metric.query": {
            "name": "system.cpu.utilization",
            "unit": "1",
            "kind": "gauge",
            "aggregation": "avg",
            "step_s": 30,
            "series": [series("user", 0), series("system", 1.2), series("iowait", 2.9)],
            **found,
        },
        "trace.search": {
            "items": [
                {
                    "trace_id": TRACE_ID,
                    "root_name": "POST /pay",
                    "service": "checkout",
                    "services": ["bank", "checkout"],
                    "nodes": ["edge-1"],
                    "start": time(n * 3.3),
                    "duration_ms": 140.0 - n * 8,
                    "spans": 14,
                    "errors": n % 3 == 1,
                }
                for n in range(12)
            ],
            "cursor": None,
            **found,
        },
        "trace.get": {
            "trace_id": TRACE_ID,
            "start": time(),
            "duration_ms": 131.0,
            "spans": spans,
            **found,
        },
        "vm.list": {"items": vms, "missing_nodes": ["edge-3"], "partial": True},
        "vm.get": {
            **vm(),
            "driver": "sandbox",
            "spec": {"name": "box-1", "image": "builtin:shell"},
            "created_at": time(9000),
            "created_by": "",
            "uptime_s": 4000.0,
            "pid": 4711,
            "exit": None,
            "last_error": None,
        },
        "vm.console.log": {"data": "Headwater sandbox box-1\n$ uname -s\nLinux\n$ ", "size": 44},
        "op.list": {"items": [operation(), operation("vm.create", stage="", changed=True)]},
        "op.get": operation(),
        "vm.create": operation("vm.create"),
        "vm.start": operation("vm.start"),
        "vm.stop": operation("vm.stop", "running", stage="waiting for the guest"),
        "vm.reboot": operation("vm.reboot"),
        "vm.pause": operation("vm.pause"),
        "vm.resume": operation("vm.resume"),
        "vm.delete": operation("vm.delete"),
        "edge.drain": {
            "verdict": "drained",
            "safe_to_power_off": True,
            "left": {"chunks": 0, "records": 0, "bytes": 0},
            "pushed": {"chunks": 3, "records": 900, "bytes": 48_211},
            "reason": "everything that was buffered is on enough hubs",
            "seconds": 0.42,
            "path": {"served_by": "hub-1", "hops": [{"hub": "hub-1", "ms": 421.0}]},
        },
    }


def empty_answers() -> dict[str, Any]:
    """What a hub answers that has just been started and has heard of nobody."""
    nothing: dict[str, Any] = {
        "items": [],
        "cursor": None,
        "scanned": SCANNED,
        "coverage": COVERAGE,
    }
    full = full_answers()
    alone = {**full["hub.status"], "nodes": {}, "vms": {}, "peers": [], "records": 0}
    lists = ("node.list", "log.query", "metric.names", "trace.search")
    return {
        **full,
        **empty_query_answers(),
        **empty_uptime_answers(),
        **dict.fromkeys(lists, nothing),
        "ledger.show": {**ledger(), "epochs": [], "edge": None, "conflicts": []},
        "hub.status": alone,
        "hub.list": {"items": [hub("hub-1", "self")]},
        "vm.list": {"items": [], "missing_nodes": [], "partial": False},
        "metric.query": {**full["metric.query"], "series": []},
        "vm.console.log": {"data": "", "size": 0},
        "op.list": {"items": []},
    }
