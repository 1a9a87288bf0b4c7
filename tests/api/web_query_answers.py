"""Answers about stored data in the shapes that a hub's RPC gives: bars, events, series, labels, days."""

from typing import Any

from hub.query.times import NS_PER_S, format_time
from tests.api.web_moments import NOW_S, time

STEP_S = 60
BINS = 60

REPLICATION = {
    "lag_seconds": 0.0,
    "lag_by_origin": {},
    "pulled_chunks": 1_204,
    "pulled_bytes": 48_000_000,
    "delay_ms": 37,
    "faults": {},
    "sweeps": 14,
    "sweeps_failed": 0,
    "sweep_age_s": 12.3,
    "sweep_error": None,
    "repaired_chunks": 3,
}
LATE_REPLICATION = {
    **REPLICATION,
    "lag_seconds": 64.0,
    "lag_by_origin": {f"edge-{n}": n for n in range(1, 12)},
    "faults": {"wrong_hash": 2},
    "sweeps_failed": 1,
    "sweep_age_s": None,
    "sweep_error": "connection refused",
}
STATUS: dict[str, Any] = {
    "disk": {
        "accepting": True,
        "free_bytes": 88_000_000_000,
        "total_bytes": 270_000_000_000,
        "reserve_bytes": 1 << 30,
        "reopen_bytes": 5 << 28,
    },
    "index": {"behind_chunks": 0, "error": None},
    "damaged_chunks": 0,
    "replication": {"lag_p50_ms": 42, "lag_p99_ms": 234},
}


def histogram(params: dict[str, Any]) -> dict[str, Any]:
    """An answer of log.histogram about the hour before the tests."""
    if params.get("by") == "service":
        return {"totals": {"checkout": 900, "bank": 80, "": 3}, "bins": []}
    counts = [
        {"INFO": 40 + n, **({"ERROR": n % 7} if n % 7 else {})} if n % 5 else {}
        for n in range(BINS)
    ]
    totals: dict[str, int] = {}
    for held in counts:
        for name, records in held.items():
            totals[name] = totals.get(name, 0) + records
    first_s = NOW_S - BINS * STEP_S
    return {
        "start": format_time(first_s * NS_PER_S),
        "end": format_time(NOW_S * NS_PER_S),
        "step_s": float(STEP_S),
        "by": "severity",
        "bins": [
            {
                "time": format_time((first_s + n * STEP_S) * NS_PER_S),
                "records": sum(held.values()),
                "counts": held,
            }
            for n, held in enumerate(counts)
        ],
        "totals": totals,
        "scanned": {"chunks": 0, "records": 0, "complete": True, "indexed": True},
    }


def event(number: int, type_: str, **changes: Any) -> dict[str, Any]:
    """An event as event.list tells it."""
    return {
        "type": type_,
        "time": time(number * 5.0),
        "node": "hub-1",
        "severity": "INFO",
        "severity_number": 9,
        "body": f"{type_}: something happened",
        "service": "headwater-hub",
        "attributes": {},
        "resource": {"service.name": "headwater-hub"},
        "scope": "headwater.hub",
        "trace_id": "",
        "span_id": "",
        "event_name": type_,
        "epoch": "e2",
        "seq": number + 1,
        "index": 0,
        "received": time(number * 5.0 - 0.1),
        "delay_s": 0.1,
        "backfilled": False,
        **changes,
    }


def gap(number: int = 1, **changes: Any) -> dict[str, Any]:
    """An event that declares a loss, as event.list tells it."""
    lost = {
        "reason": "shed",
        "signal": "logs",
        "first_seq": 41,
        "last_seq": 52,
        "chunks": 12,
        "records": 4800,
        "bytes": 91_000,
        **changes,
    }
    return event(number, "buffer.gap", node="edge-1", gap=lost, severity="WARN", severity_number=13)


def dropped(day: str = "2026-11-06", **changes: Any) -> dict[str, Any]:
    """A day file that was let go, as hub.retention tells it."""
    return {
        "day": day,
        "signal": "logs",
        "reason": "age",
        "chunks": 9_000,
        "records": 4_000_000,
        "bytes": 300_000_000,
        "safe": True,
        "at": time(9000),
        "state": "gone",
        **changes,
    }


def events() -> list[dict[str, Any]]:
    """One event of each kind that hubs and edges tell of."""
    room = STATUS["disk"]
    return [
        event(0, "hub.started", attributes={"version": "0.1.0", "url": "http://hub-1:8470"}),
        gap(1),
        event(2, "retention.dropped", attributes=dropped(safe=False)),
        event(
            3,
            "store.damaged",
            attributes={
                "day": "2026-11-20",
                "signal": "logs",
                "sound_chunks": 41,
                "lost_chunks": 2,
            },
        ),
        event(4, "store.refilled", attributes={"day": "2026-11-20", "signal": "logs"}),
        event(5, "disk.guard.closed", attributes={**room, "accepting": False}),
        event(6, "disk.guard.opened", attributes=room),
        event(7, "peer.lag", attributes={"peer": "hub-2", "seconds": 41.5}),
        event(8, "vm.started", node="edge-1", body="box-1 has started", attributes={"vm": "box-1"}),
    ]


def event_list(params: dict[str, Any]) -> dict[str, Any]:
    """What event.list answers: only losses, where only they are asked for."""
    wanted = params.get("type")
    items = [each for each in events() if wanted in (None, each["type"])]
    return {"items": items, "cursor": None}


def one_series(route: str, **changes: Any) -> dict[str, Any]:
    """A series as series.list tells it."""
    return {
        "name": "system.cpu.utilization",
        "node": "edge-1",
        "attributes": {"http.route": route, "http.response.status_code": 200},
        "kind": "sum",
        "unit": "1",
        "temporality": "cumulative",
        "monotonic": True,
        "first": time(3600),
        "last": time(2),
        **changes,
    }


def day_file(day: str, signal: str, **changes: Any) -> dict[str, Any]:
    """A day file as hub.retention tells it."""
    return {
        "day": day,
        "signal": signal,
        "chunks": 40,
        "records": 12_000,
        "bytes": 800_000,
        "newest": time(2),
        "safe": True,
        **changes,
    }


def retention() -> dict[str, Any]:
    """An answer of hub.retention with a past."""
    sums = {"since": "2026-11-07", "days": 2, "chunks": 80, "records": 24_000, "bytes": 1_600_000}
    return {
        "hub": "hub-1",
        "today": "2026-11-21",
        "paused": False,
        "policy": {"logs": {"days": 14, "bytes": 0}, "metrics": {"days": 0, "bytes": 1 << 30}},
        "signals": {
            "logs": {**sums, "over_bytes": 0},
            "metrics": {**sums, "over_bytes": 5_000_000},
        },
        "files": [
            day_file("2026-11-21", "logs", safe=False),
            day_file("2026-11-21", "metrics"),
            day_file("2026-11-20", "logs"),
        ],
        "files_total": 3,
        "dropped": [dropped(), dropped("2026-11-05", reason="bytes", safe=False, state="going")],
    }


def query_answers() -> dict[str, Any]:
    """What a hub with something of everything answers about stored data."""
    return {
        "log.histogram": histogram,
        "event.list": event_list,
        "hub.retention": retention(),
        "series.list": {
            "items": [one_series("/pay"), one_series("/cart"), one_series("/pay", node="edge-2")],
            "scanned": {"complete": True},
        },
        "label.values": lambda params: {
            "items": [
                {"value": f"a-{params['label']}", "records": 12},
                {"value": "b", "records": 2},
            ]
        },
    }


def empty_query_answers() -> dict[str, Any]:
    """The same of a hub that holds nothing."""
    empty_bins = [{**held, "records": 0, "counts": {}} for held in histogram({})["bins"]]
    return {
        "log.histogram": {**histogram({}), "bins": empty_bins, "totals": {}},
        "event.list": {"items": [], "cursor": None},
        "hub.retention": {
            **retention(),
            "signals": {},
            "files": [],
            "files_total": 0,
            "dropped": [],
        },
        "series.list": {"items": [], "scanned": {"complete": True}},
        "label.values": {"items": []},
    }
