"""What nodes said last of their buffers, as far as an answer needs it to say what it covers."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from hub.nodes.tombstones import has_come
from hub.query.coverage import Backlog, backlog_of
from hub.registry import Registry
from shared.merge import REMOVED, NodeRecord

NODES_AT_ONCE = 500
"""Some ten milliseconds: a hub that stands still for long counts as dead."""


@dataclass(slots=True)
class AllBacklogs:
    """What all nodes said last. Those who ask while others are told of it share one walk: a page asks
    five questions at once, and each walk looks at 100,000 nodes."""

    registry: Registry
    wall_ns: Callable[[], int]
    walks: int = 0
    _held: tuple[list[Backlog], int] = field(default_factory=lambda: ([], 0))
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def read(self) -> tuple[list[Backlog], int]:
        """As `backlogs_of`, and when the walk began (Unix ns): no answer is complete beyond that."""
        walks_before = self.walks
        async with self._turn:
            if self.walks == walks_before:
                began_ns = self.wall_ns()
                self._held = await backlogs_of(self.registry, None), began_ns
                self.walks += 1
            return self._held


async def backlogs_of(registry: Registry, names: Iterable[str] | None) -> list[Backlog]:
    """Of these nodes, or of all; the event loop gets its turn meanwhile.

    Nodes that are only expected, or were removed, are left out: of them nothing can be missing. Of
    all, only those come that an answer names, and of the others the one that was silent longest: it
    alone says until when an answer is complete.
    """
    nodes = list(registry.records) if names is None else list(dict.fromkeys(names))
    found: list[Backlog] = []
    quiet: Backlog | None = None
    for number, node_id in enumerate(nodes, 1):
        record = registry.records.get(node_id)
        if record is not None and has_come(record) and not record.intent_value(REMOVED):
            held = _backlog(registry, record)
            if names is not None or held.is_told:
                found.append(held)
            elif quiet is None or (held.behind_seconds or 0.0) > (quiet.behind_seconds or 0.0):
                quiet = held
        if number % NODES_AT_ONCE == 0:
            await asyncio.sleep(0)
    return found if quiet is None else [*found, quiet]


def _backlog(registry: Registry, record: NodeRecord) -> Backlog:
    seen, node_id = registry.newest(record.node_id), record.node_id
    data = seen.data if seen else {}
    age = registry.age_seconds(node_id, asyncio.get_running_loop().time())
    return backlog_of(
        {
            "node_id": node_id,
            "state": str(registry.state(node_id)),
            "buffer": data.get("buffer"),
            "told_age_s": None if age is None else round(age, 3),
            "clock_skew_ms": data.get("clock_skew_ms"),
        }
    )
