"""What tests about replicated settings are played with: a hub without network and disk."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.conf.book import ConfBook, Unsaved
from hub.conf.drift import Drift
from hub.conf.methods import Around, ConfMethods
from hub.conf.resolve import Resolver
from shared.conf import Entry
from shared.stamp import HybridClock, Stamp


@dataclass
class World:
    """One hub; `nodes` are the labels of those it knows, `told` its events, `saved` its disk."""

    name: str = "hub-1"
    wall_ms: int = 1_000
    nodes: dict[str, dict[str, str]] = field(default_factory=dict)
    told: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    saved: list[Unsaved] = field(default_factory=list)
    changes: int = 0
    disk_error: Exception | None = None

    def __post_init__(self) -> None:
        self.clock = HybridClock(self.name)
        self.book = ConfBook(f"{self.name}#1", self.clock.witness)
        self.resolver = Resolver(self.book, lambda: self.wall_ms)
        self.drift = Drift(self.resolver, self.tell)
        around = Around(
            self.next_stamp,
            lambda: self.wall_ms,
            self.nodes.get,
            self.nodes.items,
            self.save,
            self.changed,
            self.tell,
        )
        self.methods = ConfMethods(self.book, self.resolver, self.drift, around)

    def stamp(self) -> Stamp:
        return self.clock.next(self.wall_ms)

    async def next_stamp(self) -> Stamp:
        return self.stamp()

    def tell(self, name: str, facts: Mapping[str, Any]) -> None:
        self.told.append((name, facts))

    async def save(self, unsaved: Unsaved) -> None:
        await asyncio.sleep(0)
        if self.disk_error:
            raise self.disk_error
        self.saved.append(unsaved)

    def changed(self) -> None:
        self.changes += 1

    def write(self, scope: str, key: str, value: Any, *, gone: bool = False) -> Entry:
        """Put an entry into the book, unchecked, as it may come from a peer."""
        entry = Entry(scope, key, value, self.stamp(), "ann", self.wall_ms, gone)
        self.book.add(entry)
        return entry
