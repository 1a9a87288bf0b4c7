"""How runs of checks, observations and uptime look from outside."""

from typing import Any

from hub.nodes.check_rules import Check, Result
from hub.nodes.history import LIVENESS, Told, observer_of
from hub.nodes.uptime import Bucket, Parts
from hub.query.times import format_time
from hub.store.check_time_table import CheckTime

NS_PER_MS = 1_000_000


def time_of(wall_ms: int) -> str:
    """Unix milliseconds as RFC 3339 text."""
    return format_time(wall_ms * NS_PER_MS)


def describe_result(result: Result) -> dict[str, Any]:
    """A run of a check; `state` is unknown when it could not be run."""
    outcome, took = result.outcome, result.outcome.took_seconds
    tried = "ok" if outcome.ok else "failed"
    return {
        "check": result.check.name,
        "kind": result.check.spec.kind,
        "target": result.check.target.shown(result.host),
        "state": tried if result.host else "unknown",
        "message": outcome.message,
        "status": outcome.status,
        "took_ms": None if took is None else round(took * 1000, 3),
        "cert_days": outcome.cert_days,
        "time": time_of(result.at_ms),
    }


def describe_check(check: Check, last: Told | None) -> dict[str, Any]:
    """A check that is planned, and the last word on it."""
    spec, target = check.spec, check.target
    return {
        "check": spec.name,
        "kind": spec.kind,
        "target": target.shown(target.host),
        "interval_s": spec.interval_s,
        "state": last.state if last else "unknown",
        "since": time_of(last.since_ms) if last else None,
        "reason": last.reason if last else None,
        "hub": observer_of(last.log) if last else None,
    }


def describe_told(each: Told) -> dict[str, Any]:
    """A stretch of time in which a hub said one thing."""
    return {
        "check": None if each.subject == LIVENESS else each.subject,
        "state": each.state,
        "since": time_of(each.since_ms),
        "until": time_of(each.until_ms),
        "seconds": (each.until_ms - each.since_ms) / 1000,
        "hub": observer_of(each.log),
        "reason": each.reason,
        "folded": each.folded,
    }


def describe_time(each: CheckTime) -> dict[str, Any]:
    """The runs of a check in one bucket."""
    average = each.average_us
    return {
        "start": time_of(each.start_ms),
        "runs": each.runs,
        "failures": each.failures,
        "least_ms": None if average is None else each.least_us / 1000,
        "average_ms": None if average is None else average / 1000,
        "greatest_ms": None if average is None else each.greatest_us / 1000,
    }


def seconds_of(parts: Parts) -> tuple[float, float, float, float]:
    """Healthy, degraded, offline and unknown."""
    kinds = (parts.healthy_ms, parts.degraded_ms, parts.offline_ms, parts.unknown_ms)
    healthy, degraded, offline, unknown = (each / 1000 for each in kinds)
    return healthy, degraded, offline, unknown


def describe_parts(parts: Parts) -> dict[str, Any]:
    """How long a node was how. The ratios leave out what is unknown; `coverage` says how much is not."""
    healthy, degraded, offline, unknown = seconds_of(parts)
    return {
        "health": str(parts.health),
        "healthy_s": healthy,
        "degraded_s": degraded,
        "offline_s": offline,
        "unknown_s": unknown,
        "ratio": parts.ratio,
        "healthy_ratio": parts.healthy_ratio,
        "coverage": parts.coverage,
    }


def describe_bucket(bucket: Bucket) -> dict[str, Any]:
    """One bar."""
    times = {"start": time_of(bucket.start_ms), "end": time_of(bucket.end_ms)}
    return {**times, **describe_parts(bucket.parts)}
