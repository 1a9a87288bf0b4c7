"""What a receiver needs of the place that keeps its data."""

from typing import Protocol

from shared.errors import Unavailable
from shared.records import Part


class Sink(Protocol):
    """A durable log of parts: the buffer of an edge is one, and the own log of a hub."""

    async def append(self, part: Part) -> None:
        """Return after the commit that holds the part; raises Unavailable."""
        ...


class Overloaded(Unavailable):
    """More comes in than can be kept at this moment: senders should slow down, nothing is broken."""
