"""What a part of a hub brings with it: methods, routes, sections of the gossip, and loops."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from hub.peering.sections import Section
from hub.rpc import Method
from hub.web.routes import RouteSpec


class Part(Protocol):
    """A part of a hub that stands on the others."""

    def methods(self) -> Mapping[str, Method]:
        """What it answers to RPC calls."""
        ...

    def routes(self) -> Sequence[RouteSpec]:
        """Its doors."""
        ...

    def sections(self) -> Sequence[Section]:
        """What it tells peers."""
        ...

    async def run(self) -> None:
        """Keep it going until cancelled; one without loops returns at once."""
        ...

    async def close(self) -> None:
        """Let go of what it holds, while the store is still open."""
        ...
