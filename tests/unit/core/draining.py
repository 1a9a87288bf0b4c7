"""A drain over a real buffer, for tests: shipper, heartbeats and hubs are what the test says."""

from dataclasses import dataclass, field
from typing import Any

from edge.buffer import Buffer
from edge.drain import Drain
from edge.drain_calls import drain_methods
from edge.hubs import Hubs, HubView
from edge.lineage import Belief
from shared.ranges import NOTHING, Ranges
from shared.runtime import Runtime


@dataclass
class Push:
    """Counts the nudges of shipper and heartbeats; what it has pushed is what the test says."""

    last_error: str = ""
    pushed_chunks: int = 0
    pushed_records: int = 0
    pushed_bytes: int = 0
    nudges: int = 0
    beats: int = 0

    def hurry(self) -> None:
        self.nudges += 1

    def beat_now(self) -> None:
        self.beats += 1


@dataclass
class World:
    """A drain over a real buffer, with hubs that hold what the test says."""

    buffer: Buffer
    runtime: Runtime
    hubs: Hubs = field(default_factory=lambda: Hubs("edge-1"))
    push: Push = field(default_factory=Push)

    def __post_init__(self) -> None:
        self.drain = Drain(self.buffer, self.hubs, self.push, self.push)
        self.methods = drain_methods(self.drain, self.runtime)

    @property
    def hub(self) -> HubView:
        """The only hub."""
        self.hubs.learn(["http://hub-1"])
        return self.hubs.views["http://hub-1"]

    def holds(self, have: Ranges, safe: Ranges = NOTHING) -> None:
        """From now on the hub claims this."""
        self.hub.belief = Belief(have, safe)

    async def call(self, method: str, **params: Any) -> Any:
        """One call, as it comes from a hub or the admin socket."""
        return await self.methods[method](params)
