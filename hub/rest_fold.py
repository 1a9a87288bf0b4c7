"""What an answer of many pages covers and has cost: the pages' own words, taken together.

The whole is as good as its worst page. Only a bounded number of nodes is named, as in each page.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.query.coverage import NAMED_MAX

Coverage = Mapping[str, Any]


@dataclass(slots=True)
class Whole:
    """The sum of the pages that were added."""

    items: int = 0
    pages: int = 0
    scanned: dict[str, Any] = field(default_factory=dict)
    coverage: dict[str, Any] | None = None

    def add(self, answer: Mapping[str, Any], items: int) -> None:
        """Add a page that showed so many items."""
        self.pages += 1
        self.items += items
        self.scanned = _added(self.scanned, answer.get("scanned") or {})
        told = answer.get("coverage")
        if told is not None:
            self.coverage = dict(told) if self.coverage is None else worse_of(self.coverage, told)

    @property
    def is_partial(self) -> bool:
        """Whether something was missing on one of the pages."""
        return bool((self.coverage or {}).get("partial"))

    def to_wire(self) -> dict[str, Any]:
        """What is told at the end."""
        return {"items": self.items, "coverage": self.coverage, "scanned": self.scanned}


def _added(sums: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers are added up; `complete` holds for all or for none; of other words the last stays."""
    added = dict(sums)
    for name, value in more.items():
        before = added.get(name)
        if isinstance(value, bool):
            added[name] = value if before is None else bool(before) and value
        elif isinstance(value, int | float) and isinstance(before, int | float):
            added[name] = before + value
        else:
            added[name] = value
    return added


def worse_of(one: Coverage, other: Coverage) -> dict[str, Any]:
    """What both coverages together leave open; `other` is the later one."""
    return {
        **one,
        **other,
        "complete_until": _earlier(one, other),
        **_named(one, other, "behind"),
        "missing_nodes": sorted(set(_both(one, other, "missing_nodes"))),
        "partial": bool(one.get("partial") or other.get("partial")),
        "damaged_chunks": max(one.get("damaged_chunks") or 0, other.get("damaged_chunks") or 0),
        **_named(one, other, "skewed"),
    }


def _named(one: Coverage, other: Coverage, name: str) -> dict[str, Any]:
    """The nodes of a kind that are named, and how many there are: no fewer than each page counted."""
    nodes, count = _by_node(_both(one, other, name)), f"{name}_nodes"
    counted = [told[count] for told in (one, other) if isinstance(told.get(count), int)]
    known = {count: max(len(nodes), *counted)} if counted else {}
    return {name: nodes[:NAMED_MAX], **known}


def _both(one: Coverage, other: Coverage, name: str) -> list[Any]:
    return [*(one.get(name) or ()), *(other.get(name) or ())]


def _earlier(one: Coverage, other: Coverage) -> str | None:
    """Times of one form compare as texts; an unknown one is the worst."""
    times = [told.get("complete_until") for told in (one, other)]
    known = [time for time in times if time is not None]
    return min(known) if len(known) == len(times) else None


def _by_node(items: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The last word about each node."""
    by_node = {str(item.get("node")): item for item in items}
    return [by_node[node] for node in sorted(by_node)]
