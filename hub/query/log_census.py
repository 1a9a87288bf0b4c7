"""Counting records by groups, with an end to how many groups there can be."""

from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from hub.query.log_filter import SERVICE_KEY
from hub.query.log_scan import Accepted
from hub.query.match import as_text, severity_name, severity_number
from shared.otlp_log_entries import LogEntry

GROUPS_MAX = 1000
OTHER = "(other)"
"""Groups beyond GROUPS_MAX are counted together."""

UNSET = "UNSET"
"""The severity of records that have none."""

_VALUE_CHARS_MAX = 1000

GroupOf = Callable[[Accepted], str | None]
"""The group of a record; None when it belongs to none."""


class Census:
    """Records by (bin, group)."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[int, str]] = Counter()
        self._groups: set[str] = set()

    def add(self, at: int, group: str, records: int = 1) -> None:
        """Count records of a group; once there are too many groups, new ones become OTHER."""
        if group not in self._groups:
            if len(self._groups) >= GROUPS_MAX:
                group = OTHER
            self._groups.add(group)
        self.counts[at, group] += records

    def totals(self) -> list[tuple[str, int]]:
        """All groups, the largest first, OTHER last."""
        sums: Counter[str] = Counter()
        for (_, group), records in self.counts.items():
            sums[group] += records
        return sorted(sums.items(), key=lambda each: (each[0] == OTHER, -each[1], each[0]))


@lru_cache(maxsize=64)  # Asked for every record, and there are few.
def severity_group(number: int) -> str:
    """The name of the band that a severity number lies in, such as INFO."""
    return severity_name(number, "") or UNSET


def group_by(label: str) -> GroupOf:
    """How to group records by severity, node, service, or the key of an attribute."""
    known = _KNOWN.get(label)
    return known if known is not None else lambda accepted: _attribute(accepted.entry, label)


def service_group(name: Any) -> str:
    """The name of a service, not too long; "" when it is no text."""
    return name[:_VALUE_CHARS_MAX] if isinstance(name, str) else ""


def _severity(accepted: Accepted) -> str:
    entry = accepted.entry
    return severity_group(severity_number(entry.severity_number, entry.severity_text))


def _attribute(entry: LogEntry, key: str) -> str | None:
    row = entry.row()
    holder = row.attributes if key in row.attributes else row.resource
    return as_text(holder[key])[:_VALUE_CHARS_MAX] if key in holder else None


_KNOWN: Mapping[str, GroupOf] = {
    "severity": _severity,
    "node": lambda accepted: accepted.held.header.origin,
    "service": lambda accepted: service_group(accepted.entry.origin.resource.get(SERVICE_KEY)),
    "event_name": lambda accepted: accepted.entry.row().event_name,
}
