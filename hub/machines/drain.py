"""Draining a node: no new VMs, and, where it is asked for, a graceful stop of those it has. Maintenance is
both, and remembers which ran, so that its end can start them again."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from hub import params
from hub.caller import caller
from hub.describe import MAINTENANCE, Now, describe_node, maintenance_of
from hub.machines.bulk import Bulks
from hub.machines.params import BULK_VMS_MAX, DrainNodeOfMachines, MaintainNode
from hub.machines.router import Router
from hub.registry import Registry
from shared.errors import RpcError
from shared.merge import DRAINING

UP = ("running", "paused")

Answer = dict[str, Any]


@dataclass(slots=True)
class NodeDrain:
    """Answers `node.drain` and `node.maintenance`. Raises RpcError."""

    registry: Registry
    router: Router
    bulks: Bulks
    intend: Callable[[str, str, object], Awaitable[None]]

    async def drain(self, raw: Answer) -> Answer:
        """Ask that a node takes no new VMs: node, on. With stop_vms it also stops those that it has,
        gracefully, and tells how far that is (op.get, op.wait). `edge.drain` empties its buffer."""
        wanted: DrainNodeOfMachines = params.read(DrainNodeOfMachines, raw)
        node = self.router.known_node(wanted.node)
        if wanted.stop_vms and not wanted.on:
            raise RpcError("invalid_params", "stop_vms goes with a drain that begins")
        await self.intend(node, DRAINING, wanted.on)
        if not wanted.stop_vms:
            return self._shown(node)
        return {**self._shown(node), "stopping": await self._stop(wanted)}

    async def maintain(self, raw: Answer) -> Answer:
        """Take a node out of work, or back: node, on. It takes no new VMs, and those it has are stopped
        gracefully (stopping: op.get, op.wait); its end starts those that ran (starting)."""
        wanted: MaintainNode = params.read(MaintainNode, raw)
        node = self.router.known_node(wanted.node)
        return await (self._begin(node, wanted) if wanted.on else self._end(node, wanted))

    async def _begin(self, node: str, wanted: MaintainNode) -> Answer:
        held = maintenance_of(self.registry.records[node])
        ran = [str(vm["id"]) for vm in self.router.vms.of(node) if vm.get("state") in UP]
        before = held["vms"] if held else []
        told = {
            "by": caller.get(),
            "at_ms": self.router.runtime.wall_ms(),
            "why": wanted.why,
            "vms": list(dict.fromkeys([*before, *ran]))[:BULK_VMS_MAX],
        }
        # Written before anything stops: whoever ends it must know which ran.
        await self.intend(node, MAINTENANCE, told)
        await self.intend(node, DRAINING, True)
        return {**self._shown(node), "stopping": await self._stop(wanted)}

    async def _end(self, node: str, wanted: MaintainNode) -> Answer:
        held = maintenance_of(self.registry.records[node])
        await self.intend(node, DRAINING, False)
        started: Answer | None = None
        there = {str(vm["id"]) for vm in self.router.vms.of(node)}
        vms = [vm for vm in held["vms"] if vm in there] if held else []
        if vms and wanted.start_vms:
            started = await self.bulks.order(self._order("start", {"ids": vms}, wanted))
        # Last: when the order was refused, the same again begins with the same VMs.
        await self.intend(node, MAINTENANCE, None)
        shown = self._shown(node)
        return shown if started is None else {**shown, "starting": started}

    async def _stop(self, wanted: DrainNodeOfMachines | MaintainNode) -> Answer:
        options = {} if wanted.force_after is None else {"force_after": wanted.force_after}
        chosen = {"selector": {"node": wanted.node}, "options": options}
        return await self.bulks.order(self._order("stop", chosen, wanted))

    def _order(
        self, action: str, chosen: Answer, wanted: DrainNodeOfMachines | MaintainNode
    ) -> Answer:
        return {
            "action": action,
            **chosen,
            "parallel": wanted.parallel,
            "request_id": wanted.request_id,
            "wait_s": wanted.wait_s,
        }

    def _shown(self, node: str) -> Answer:
        now = Now(asyncio.get_running_loop().time(), self.router.runtime.wall_ms())
        return describe_node(self.registry, self.registry.records[node], now)
