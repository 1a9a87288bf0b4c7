"""What every receiver of an edge needs of the place that keeps its data."""

from typing import Protocol

from shared.receive import sink
from shared.records import Checkpoint, Part


class Sink(sink.Sink, Protocol):
    """A durable log of parts that knows where each source stands; the edge buffer is one."""

    async def append(self, part: Part, checkpoint: Checkpoint | None = None) -> None:
        """Return after the commit that holds the part and its checkpoint; raises BufferFull."""
        ...

    async def checkpoint(self, key: str) -> bytes | None:
        """The state that was last committed under this key."""
        ...
