"""The moment at which the answers of the tests were given, and series around it."""

from datetime import UTC, datetime
from math import sin
from typing import Any

NOW_S = 1_795_238_400


def time(seconds_ago: float = 0.0) -> str:
    """A time near that of the tests, as RPC tells it."""
    moment = datetime.fromtimestamp(NOW_S - seconds_ago, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def series(mode: str, phase: float, **changes: Any) -> dict[str, Any]:
    """A series as metric.query tells it, with a gap in the middle."""
    points: list[list[float | None]] = [
        [
            NOW_S - 3600 + index * 30,
            None if 60 < index < 66 else 0.3 + 0.25 * sin(index / 9 + phase),
        ]
        for index in range(120)
    ]
    return {"node": "edge-1", "attributes": {"cpu.mode": mode}, "points": points, **changes}
