"""The calls about leadership: who leads, step down, a drill, and another list of members."""

import asyncio
from collections.abc import Awaitable, Collection
from typing import Annotated, Any, Protocol, TypeVar

from msgspec import Meta, Struct

from hub.lead.drill import Failover, drill
from hub.lead.mode import HUBS_MAX
from hub.lead.model import HubId
from shared.errors import Refused, RpcError, Unavailable, Unreachable

Result = TypeVar("Result")


class HandOver(Struct, forbid_unknown_fields=True):
    """To which hub the lead should go; without one to that which follows best."""

    target: Annotated[str, Meta(max_length=63)] = ""


class NewMembers(Struct, forbid_unknown_fields=True):
    """All hubs of which a majority is wanted: one more or one less than now."""

    hubs: Annotated[list[HubId], Meta(min_length=1, max_length=HUBS_MAX)]


class Voting(Protocol):
    """A leadership whose members can be changed."""

    async def change_members(self, hubs: Collection[str]) -> None: ...


class LeadCalls:
    """Answers `peers.leader`, `peers.stepDown`, `peers.drill` and `peers.members`."""

    def __init__(self, leadership: Failover, voting: Voting | None) -> None:
        self._leadership = leadership
        self._voting = voting

    async def leader(self) -> dict[str, Any]:
        """Who leads as this hub sees it, how, and with which term."""
        return self._leadership.describe(asyncio.get_running_loop().time())

    async def step_down(self, params: HandOver) -> dict[str, Any]:
        """Let the leader hand over; answers as soon as it has stopped."""
        before = await self.leader()
        await _translated(self._leadership.step_down(params.target))
        return {"stepped_down": before["leader"], "term": before["term"]}

    async def drill(self, params: HandOver) -> dict[str, Any]:
        """Hand over on purpose, and say for how long nobody led."""
        return (await _translated(drill(self._leadership, params.target))).as_dict()

    async def members(self, params: NewMembers) -> dict[str, Any]:
        """Add or remove one hub, at the leader."""
        if self._voting is None:
            raise RpcError("not_supported", "only leader = quorum has members")
        await _translated(self._voting.change_members(params.hubs))
        return await self.leader()


async def _translated(work: Awaitable[Result]) -> Result:
    try:
        return await work
    except Refused as error:
        raise RpcError("invalid_state", str(error)) from error
    except (Unavailable, Unreachable) as error:
        raise RpcError("no_path", str(error)) from error
