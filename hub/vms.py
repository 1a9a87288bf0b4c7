"""The VM methods of a hub: lists from what heartbeats told, everything else asked of the node itself."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hub import params
from hub.calls import DEADLINE_SECONDS, Calls
from hub.describe import time_of_ms
from hub.registry import Registry
from shared.errors import RpcError
from shared.liveness import NodeState
from shared.runtime import Runtime

READS = ("vm.get", "vm.console.log", "op.get", "op.list", "op.wait", "node.drivers")
CHANGES = (
    "vm.create",
    "vm.start",
    "vm.stop",
    "vm.reboot",
    "vm.pause",
    "vm.resume",
    "vm.delete",
    "vm.console.send",
)
WAIT_SECONDS_MAX = 60.0

_FRESH = {NodeState.ONLINE: "live", NodeState.LATE: "live", NodeState.SUSPECT: "stale"}


@dataclass(slots=True)
class Vms:
    """VMs for RPC and pages. The node that hosts a VM is the only one that writes its record."""

    registry: Registry
    calls: Calls
    runtime: Runtime
    hub_id: str

    def _known(self, node: str | None = None) -> Iterator[dict[str, Any]]:
        now = asyncio.get_running_loop().time()
        for record in self.registry.present():
            seen = self.registry.newest(record.node_id)
            if seen is None or node not in (None, record.node_id):
                continue
            freshness = _FRESH.get(self.registry.state(record.node_id), "unreachable")
            age = self.registry.age_seconds(record.node_id, now)
            for vm in seen.data.get("vms", []):
                yield {
                    **vm,
                    "node_id": record.node_id,
                    "status": vm.get("status", "")
                    if freshness != "unreachable"
                    else f"unknown (was {vm.get('state', '')})",
                    "freshness": freshness,
                    "seen_via": seen.hub_id,
                    "seen_at": time_of_ms(seen.last_seen_ms),
                    "age_s": None if age is None else round(age, 3),
                }

    async def list(self, raw: dict[str, Any]) -> dict[str, Any]:
        """All VMs, with how fresh each record is and which nodes are silent."""
        wanted = params.read(params.ListVms, raw)
        nodes = [record.node_id for record in self.registry.present()]
        if wanted.node is not None and wanted.node not in nodes:
            raise RpcError("not_found", f"no node is called {wanted.node}")
        silent = [
            node_id
            for node_id in nodes
            if wanted.node in (None, node_id) and self.registry.state(node_id) not in _FRESH
        ]
        items = sorted(self._known(wanted.node), key=lambda vm: (vm["node_id"], vm["name"]))
        return {"items": items, "missing_nodes": silent, "partial": bool(silent)}

    async def read(self, method: str, raw: dict[str, Any]) -> dict[str, Any]:
        """Ask the node; a VM whose node cannot be reached is told from its last heartbeat."""
        node = self._node_of(method, raw)
        try:
            return await self._ask(node, method, raw)
        except RpcError as error:
            replica = self._find(str(raw.get("vm", "")), node) if method == "vm.get" else None
            if error.kind not in ("no_path", "outcome_unknown") or replica is None:
                raise
            return {**replica, "freshness": "stale", "error": str(error)}

    async def change(self, method: str, raw: dict[str, Any]) -> dict[str, Any]:
        """Order something; the request_id makes sure that it happens once, whatever the path."""
        node = self._node_of(method, raw)
        request_id = raw.get("request_id") or self.runtime.token_hex(16)
        order = {**raw, "request_id": request_id, "via_hub": self.hub_id}
        answer = await self._ask(node, method, order)
        answer["path"]["request_id"] = request_id
        return answer

    async def _ask(self, node: str, method: str, order: dict[str, Any]) -> dict[str, Any]:
        wait = order.get("wait_s", order.get("timeout_s", 0))
        waits = isinstance(wait, int | float) and not isinstance(wait, bool)
        seconds = DEADLINE_SECONDS + min(max(float(wait), 0.0), WAIT_SECONDS_MAX) if waits else 15.0
        answer = await self.calls.call(node, method, order, seconds=seconds)
        path = {"served_by": answer.hops[-1]["hub"], "hops": answer.hops}
        return {**answer.result, "path": path}

    def _node_of(self, method: str, raw: dict[str, Any]) -> str:
        node = raw.get("node")
        if isinstance(node, str) and node:
            if node not in self.registry.records:
                raise RpcError("not_found", f"no node is called {node}", {"node": node})
            return node
        if method.startswith("op.") or method in ("vm.create", "node.drivers"):
            raise RpcError("invalid_params", f"{method} needs the parameter node")
        vm = raw.get("vm")
        if not isinstance(vm, str) or not vm:
            raise RpcError("invalid_params", f"{method} needs the parameter vm, an id or a name")
        found = self._find(vm, None)
        if found is None:
            raise RpcError(
                "not_found", f"no node has told of a VM called {vm}; name its node", {"vm": vm}
            )
        return str(found["node_id"])

    def _find(self, vm: str, node: str | None) -> dict[str, Any] | None:
        found = [known for known in self._known(node) if vm in (known["id"], known["name"])]
        if len(found) > 1:
            nodes = ", ".join(str(known["node_id"]) for known in found)
            raise RpcError("conflict", f"{vm} exists on {nodes}: add the parameter node")
        return found[0] if found else None
