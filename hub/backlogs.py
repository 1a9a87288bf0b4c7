"""What nodes said last of their buffers, as far as an answer needs it to say what it covers."""

import asyncio
from collections.abc import Iterable

from hub.nodes.tombstones import has_come
from hub.query.coverage import Backlog, backlog_of
from hub.registry import Registry
from shared.merge import REMOVED, NodeRecord

NODES_AT_ONCE = 500
"""Some ten milliseconds: a hub that stands still for long counts as dead."""


async def backlogs_of(registry: Registry, names: Iterable[str] | None) -> list[Backlog]:
    """Of these nodes, or of all; the event loop gets its turn meanwhile.

    Nodes that are only expected, or were removed, are left out: of them nothing can be missing.
    """
    nodes = list(registry.records) if names is None else list(dict.fromkeys(names))
    found: list[Backlog] = []
    for number, node_id in enumerate(nodes, 1):
        record = registry.records.get(node_id)
        if record is not None and has_come(record) and not record.intent_value(REMOVED):
            found.append(_backlog(registry, record))
        if number % NODES_AT_ONCE == 0:
            await asyncio.sleep(0)
    return found


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
