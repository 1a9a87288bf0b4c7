"""What an alert rule is, and those that are on out of the box.

Only the standard library is needed here, since settings are checked before anything is installed.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

DATA_MOUNTPOINT = "{data}"
"""In `where`: the mount point that holds the data folder of the edge."""

OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    ">": lambda value, limit: value > limit,
    ">=": lambda value, limit: value >= limit,
    "<": lambda value, limit: value < limit,
    "<=": lambda value, limit: value <= limit,
}

PLACEHOLDER = re.compile(r"\{(value|threshold|name|attributes)\}")
"""What a summary may have filled in."""


@dataclass(frozen=True, slots=True)
class AlertRule:
    """When to alert: a metric of this node compared with a threshold, or a count of log records.

    Each attribute set of the metric that `where` fits is watched on its own. A log rule counts the
    records of the last `within_seconds` whose body the expression `log` is found in.
    """

    name: str
    metric: str = ""
    where: tuple[tuple[str, str], ...] = ()
    log: str = ""
    min_severity: str = ""
    within_seconds: float = 60.0
    operator: str = ">"
    threshold: float = 0.0
    for_seconds: float = 0.0
    clear: float | None = None  # Past this the alert counts as over; None: past the threshold.
    clear_for_seconds: float = 0.0
    no_data_seconds: float = 300.0  # Thirty looks at the usual pace; a slow disk loses a few.
    repeat_seconds: float = 4 * 3600.0
    severity: str = "warn"
    summary: str = ""

    def is_breached(self, value: float) -> bool:
        """Whether a value is on the wrong side of the threshold."""
        return OPERATORS[self.operator](value, self.threshold)

    def is_cleared(self, value: float) -> bool:
        """Whether a value is far enough on the right side for the alert to end."""
        limit = self.threshold if self.clear is None else self.clear
        return not OPERATORS[self.operator](value, limit)

    def text(self, value: float, attributes: Iterable[tuple[str, str]]) -> str:
        """The summary for people, with its placeholders filled in."""
        known = {
            "value": f"{value:.4g}",
            "threshold": f"{self.threshold:.4g}",
            "name": self.name,
            "attributes": ", ".join(f"{key}={text}" for key, text in attributes),
        }
        written = self.summary or f"{{name}}: {{value}} {self.operator} {{threshold}}"
        return PLACEHOLDER.sub(lambda found: known[found[1]], written)


DEFAULT_RULES = (
    AlertRule(
        "data_disk_full",
        metric="system.filesystem.utilization",
        where=(("system.filesystem.mountpoint", DATA_MOUNTPOINT),),
        threshold=0.9,
        clear=0.88,
        for_seconds=60.0,
        severity="error",
        summary="the disk with the buffer of this edge is full to {value} of 1 ({attributes})",
    ),
    AlertRule(
        "memory_full",
        metric="system.memory.utilization",
        where=(("system.memory.state", "used"),),
        threshold=0.95,
        clear=0.9,
        for_seconds=300.0,
        severity="error",
        summary="programs use {value} of 1 of the memory",
    ),
    AlertRule(
        "cpu_busy",
        metric="system.cpu.utilization",
        where=(("cpu.mode", "idle"),),
        operator="<",
        threshold=0.05,
        clear=0.1,
        for_seconds=900.0,
        clear_for_seconds=60.0,
        severity="warn",
        summary="the processors were idle for only {value} of 1 of the time",
    ),
)
"""On out of the box: each says something that somebody should do something about."""


def at_mountpoint(rules: Iterable[AlertRule], mountpoint: str) -> tuple[AlertRule, ...]:
    """The rules with the mount point of the data folder filled in."""
    return tuple(
        replace(
            rule,
            where=tuple(
                (key, mountpoint if wanted == DATA_MOUNTPOINT else wanted)
                for key, wanted in rule.where
            ),
        )
        for rule in rules
    )
