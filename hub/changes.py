"""Says what has changed on a hub, for pages that keep themselves fresh."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from hub.peers import Peers
from hub.registry import Registry
from hub.store.chunks import ChunkStore

LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Changes:
    """Compares marks of what pages show."""

    registry: Registry
    store: ChunkStore
    peers: Peers

    async def names(self) -> AsyncIterator[str]:
        """Names what has changed, at most once a second, for ever."""
        seen = self._marks()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            marks = self._marks()
            for name in sorted(name for name in marks if marks[name] != seen[name]):
                yield name
            seen = marks

    def _marks(self) -> dict[str, object]:
        now = asyncio.get_running_loop().time()
        return {
            "nodes": (self.registry.changes, self.registry.life.changes),
            "chunks": self.store.head_arrival,
            "hubs": [(peer.key, peer.state(now)) for peer in self.peers.by_url.values()],
        }
