"""What a hub answers about how nodes were, and about their checks."""

from typing import Any

DAY_S = 86_400


def _parts(healthy: float, degraded: float, offline: float, unknown: float) -> dict[str, Any]:
    known = healthy + degraded + offline
    return {
        "health": "offline" if offline else "healthy",
        "healthy_s": healthy,
        "degraded_s": degraded,
        "offline_s": offline,
        "unknown_s": unknown,
        "ratio": (healthy + degraded) / known if known else None,
        "healthy_ratio": healthy / known if known else None,
        "coverage": known / (known + unknown) if known + unknown else None,
    }


def _uptime(params: dict[str, Any]) -> dict[str, Any]:
    step_s = 300 if params["scale"] == "5m" else DAY_S
    bars = [(step_s, 0, 0, 0), (step_s / 2, step_s / 4, step_s / 4, 0), (0, 0, 0, step_s)]
    day = {300: "05:{:02}:00", DAY_S: "00:00:00"}[step_s]
    times = [
        f"2026-11-{21 if step_s == 300 else 18 + index}T{day.format(index * 5)}Z"
        for index in range(4)
    ]
    buckets = [
        {"start": times[index], "end": times[index + 1], **_parts(*bar)}
        for index, bar in enumerate(bars)
    ]
    total = _parts(*(sum(bar[kind] for bar in bars) for kind in range(4)))
    return {"node": params["node"], "state": "online", "buckets": buckets, "total": total} | {
        "scale": params["scale"],
        "step_s": step_s,
    }


def _uptimes(params: dict[str, Any]) -> dict[str, Any]:
    bars = [[300.0, 0.0, 0.0, 0.0], [200.0, 50.0, 50.0, 0.0], [0.0, 0.0, 0.0, 300.0]]
    sums = _parts(500, 50, 50, 300)
    items = [
        {"node": name, "state": "online", "bars": bars, "total": sums} for name in ("edge-1", "<b>")
    ]
    return {
        "scale": params.get("scale", "5m"),
        "step_s": 300,
        "start": "2026-11-21T05:00:00Z",
        "parts": ["healthy_s", "degraded_s", "offline_s", "unknown_s"],
        "items": items,
        "nodes": 3,
        "cursor": "edge-1",
    }


SUMMARY = {
    "nodes": 2,
    "states": {"offline": 1, "online": 1},
    "labels": {},
    "label_keys": 0,
    "checks": {"all": 3, "failing": 2},
    "draining": {"count": 0, "nodes": []},
    "failing": {"count": 1, "nodes": [{"node": "edge-1", "checks": ["shop", "ssh"]}]},
    "disputed": {"count": 1, "nodes": ["edge-2"]},
    "uptime": {
        "scale": "5m",
        "weighed": 2,
        "worst": [{"node": "edge-2", **_parts(100, 0, 200, 0)}],
    },
}
CHECK = {
    "check": "ssh",
    "kind": "tcp",
    "target": "10.0.0.7:22",
    "interval_s": 60.0,
    "state": "failed",
    "since": "2026-11-21T05:00:00Z",
    "reason": "the connection was refused <script>",
    "hub": "hub-2",
}


LINE = {
    "check": "ssh",
    "state": "failed",
    "since": "2026-11-21T05:00:00Z",
    "until": "2026-11-21T05:10:00Z",
    "seconds": 600.0,
    "hub": "hub-2",
    "reason": "no route <there>",
    "folded": 0,
}
RAN = {
    "node": "edge-1",
    "hub": "hub-1",
    "ok": False,
    "items": [
        {
            "check": "ssh",
            "kind": "tcp",
            "target": "10.0.0.7:22",
            "state": "failed",
            "message": "refused <again>",
            "status": None,
            "took_ms": None,
            "cert_days": None,
            "time": "2026-11-21T05:20:00Z",
        }
    ],
}


def _history(items: list[dict[str, Any]], *, more: bool) -> dict[str, Any]:
    return {"node": "edge-1", "items": items, "more": more, "latency": {}}


def uptime_answers() -> dict[str, Any]:
    """Those of a hub that has observed for a while."""
    fresh = {"check": "shop", "state": "unknown", "since": None, "reason": None, "hub": None}
    return {
        "node.uptime": _uptime,
        "fleet.uptime": _uptimes,
        "fleet.summary": SUMMARY,
        "node.checks": {
            "node": "edge-1",
            "items": [CHECK, {**CHECK, **fresh}],
            "unreadable": None,
        },
        "node.history": _history([LINE, {**LINE, "check": None, "state": "online"}], more=True),
        "node.check": RAN,
    }


def empty_uptime_answers() -> dict[str, Any]:
    """Those of a hub that has just been started."""
    nothing = {"count": 0, "nodes": []}
    return {
        "node.uptime": lambda params: {**_uptime(params), "buckets": [], "total": None},
        "fleet.uptime": lambda params: {
            **_uptimes(params),
            "items": [],
            "nodes": 0,
            "cursor": None,
        },
        "fleet.summary": {
            **SUMMARY,
            "nodes": 0,
            "states": {},
            "checks": {"all": 0, "failing": 0},
            "failing": nothing,
            "disputed": nothing,
            "uptime": {"scale": "5m", "weighed": 0, "worst": []},
        },
        "node.checks": {"node": "edge-1", "items": [], "unreadable": None},
        "node.history": _history([], more=False),
    }
