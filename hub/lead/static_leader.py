"""Runs leadership by lowest id, and the leadership of nobody, on the event loop."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from hub.lead.mode import Mode
from hub.lead.model import Tell
from hub.lead.static import HubState, StaticLeadership
from shared.errors import Refused

LOOK_SECONDS = 0.25  # The detector changes its mind once a second at most.


class StaticLeader:
    """Looks at what the detector says; also a hub.lead.fence.Leadership."""

    def __init__(
        self,
        machine: StaticLeadership,
        states: Callable[[], Mapping[str, HubState]],
        tell: Callable[[Tell], None],
    ) -> None:
        self.machine = machine
        self._states = states
        self._tell = tell

    @property
    def term(self) -> int:
        """The fence: always the same, since a lowest id proves nothing."""
        return self.machine.term

    def is_leading(self, now: float) -> bool:
        """Whether this hub has the lowest id on its island."""
        return self.machine.is_leading(now)

    def describe(self, now: float) -> dict[str, Any]:
        """The standing for people."""
        return self.machine.describe(now)

    async def run(self) -> None:
        """Follow the detector, for ever."""
        while True:
            for told in self.machine.look(asyncio.get_running_loop().time(), self._states()):
                self._tell(told)
            await asyncio.sleep(LOOK_SECONDS)

    async def step_down(self, target: str = "") -> None:
        """Refused: the lowest id leads, whoever wishes otherwise, or nobody does."""
        if self.machine.mode is Mode.NONE:
            raise Refused("leader = none: nobody leads, so nobody can hand over")
        raise Refused("only leader = quorum can hand over; otherwise stop the hub that leads")

    async def wait_for_leader(self, after_term: int) -> str:
        """Refused, since terms never change here."""
        raise Refused("only leader = quorum has terms")

    async def close(self) -> None:
        """Nothing is to be handed over: others notice by themselves."""
