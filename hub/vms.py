"""The VM methods of a hub: lists from what heartbeats told, everything else asked of the node itself."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
NODES_AT_ONCE = 500
"""A few milliseconds: a hub that stands still for long counts as dead."""
SILENT_NAMED_MAX = 1000
FOUND_NAMED_MAX = 10

_FRESH = {NodeState.ONLINE: "live", NodeState.LATE: "live", NodeState.SUSPECT: "stale"}


@dataclass(slots=True)
class Vms:
    """VMs for RPC and pages. The node that hosts a VM is the only one that writes its record."""

    registry: Registry
    calls: Calls
    runtime: Runtime
    hub_id: str

    async def list(self, raw: dict[str, Any]) -> dict[str, Any]:
        """VMs by node and name, a page at a time: how fresh each record is, and who is silent."""
        wanted: params.ListVms = params.read(params.ListVms, raw)
        if wanted.node is not None and wanted.node not in self.registry.roster:
            raise RpcError("not_found", f"no node is called {wanted.node}")
        names = self.registry.roster.names if wanted.node is None else [wanted.node]
        page = _Page(max(wanted.after, wanted.cursor), wanted.limit)
        silent = list[str]()
        for number, node in enumerate(names, 1):
            if number % NODES_AT_ONCE == 0:
                await asyncio.sleep(0)
            if node in self.registry.roster and self.registry.state(node) not in _FRESH:
                silent.append(node)
            self._add(page, node, wanted.text.strip().lower())
        return {
            "items": page.items,
            "total": page.total,
            "cursor": page.cursor,
            "missing_nodes": silent[:SILENT_NAMED_MAX],
            "missing_total": len(silent),
            "partial": bool(silent),
        }

    def _add(self, page: "_Page", node: str, needle: str) -> None:
        """Count the VMs of a node, and put them on the page where they belong there."""
        is_on_page = page.wants(node)
        if is_on_page or needle:
            found = [vm for vm in self._of(node) if not needle or _has_text(vm, needle)]
            page.add(node, found)
        else:
            page.count(node, len(self._machines(node)))

    def _machines(self, node: str) -> Sequence[dict[str, Any]]:
        """What a node told last of its VMs; nothing for one that was removed."""
        seen = self.registry.newest(node) if node in self.registry.roster else None
        return [vm for vm in seen.vms if isinstance(vm, dict)] if seen else ()

    def _of(self, node: str) -> Sequence[dict[str, Any]]:
        """The VMs of a node as people see them, by name."""
        machines, seen = self._machines(node), self.registry.newest(node)
        if not machines or seen is None:
            return ()
        freshness = _FRESH.get(self.registry.state(node), "unreachable")
        age = self.registry.age_seconds(node, asyncio.get_running_loop().time())
        known = {
            "node_id": node,
            "freshness": freshness,
            "seen_via": seen.hub_id,
            "seen_at": time_of_ms(seen.last_seen_ms),
            "age_s": None if age is None else round(age, 3),
        }
        lost = freshness == "unreachable"
        return [
            {
                **vm,
                **known,
                "status": f"unknown (was {vm.get('state', '')})" if lost else vm.get("status", ""),
            }
            for vm in sorted(machines, key=lambda vm: str(vm.get("name")))
        ]

    async def read(self, method: str, raw: dict[str, Any]) -> dict[str, Any]:
        """Ask the node; a VM whose node cannot be reached is told from its last heartbeat."""
        node = await self._node_of(method, raw)
        try:
            return await self._ask(node, method, raw)
        except RpcError as error:
            vm = str(raw.get("vm", ""))
            replica = await self._find(vm, [node]) if method == "vm.get" else None
            if error.kind not in ("no_path", "outcome_unknown") or replica is None:
                raise
            return {**replica, "freshness": "stale", "error": str(error)}

    async def change(self, method: str, raw: dict[str, Any]) -> dict[str, Any]:
        """Order something; the request_id makes sure that it happens once, whatever the path."""
        node = await self._node_of(method, raw)
        if method == "vm.create":
            self._check_takes_work(node)
        request_id = raw.get("request_id") or self.runtime.token_hex(16)
        order = {**raw, "request_id": request_id, "via_hub": self.hub_id}
        answer = await self._ask(node, method, order)
        answer["path"]["request_id"] = request_id
        return answer

    def _check_takes_work(self, node: str) -> None:
        """Raise RpcError for a node to which people give no new work."""
        record = self.registry.records.get(node)
        if record is not None and self.registry.is_draining(record):
            words = (
                f"{node} is draining and takes no new VMs: `headwater nodes undrain {node}` ends it"
            )
            raise RpcError("invalid_state", words, {"node": node})

    async def _ask(self, node: str, method: str, order: dict[str, Any]) -> dict[str, Any]:
        wait = order.get("wait_s", order.get("timeout_s", 0))
        waits = isinstance(wait, int | float) and not isinstance(wait, bool)
        seconds = DEADLINE_SECONDS + min(max(float(wait), 0.0), WAIT_SECONDS_MAX) if waits else 15.0
        answer = await self.calls.call(node, method, order, seconds=seconds)
        path = {"served_by": answer.hops[-1]["hub"], "hops": answer.hops}
        return {**answer.result, "path": path}

    async def _node_of(self, method: str, raw: dict[str, Any]) -> str:
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
        found = await self._find(vm, self.registry.roster.names)
        if found is None:
            raise RpcError(
                "not_found", f"no node has told of a VM called {vm}; name its node", {"vm": vm}
            )
        return str(found["node_id"])

    async def _find(self, vm: str, nodes: Sequence[str]) -> dict[str, Any] | None:
        """The VM of an id or name on one of these nodes; the event loop gets its turn meanwhile."""
        found = list[dict[str, Any]]()
        for number, node in enumerate(nodes, 1):
            if number % NODES_AT_ONCE == 0:
                await asyncio.sleep(0)
            if any(vm in (each.get("id"), each.get("name")) for each in self._machines(node)):
                found += [known for known in self._of(node) if vm in (known["id"], known["name"])]
        if len(found) > 1:
            nodes_named = ", ".join(str(known["node_id"]) for known in found[:FOUND_NAMED_MAX])
            raise RpcError("conflict", f"{vm} exists on {nodes_named}: add the parameter node")
        return found[0] if found else None


@dataclass(slots=True)
class _Page:
    """The VMs after a node. It ends with a node: the cursor is the last one on it."""

    after: str
    limit: int
    items: list[dict[str, Any]] = field(default_factory=list)
    total: int = 0
    is_cut: bool = False
    _last: str = ""

    @property
    def cursor(self) -> str | None:
        """Where to go on; None when nothing follows."""
        return self._last if self.is_cut else None

    def wants(self, node: str) -> bool:
        """Whether there is room for the VMs of a node."""
        return node > self.after and len(self.items) < self.limit

    def add(self, node: str, found: Sequence[dict[str, Any]]) -> None:
        """Take the VMs of a node, where there is room, and count them."""
        if found and self.wants(node):
            self.items += found
            self._last = node
            self.total += len(found)
        else:
            self.count(node, len(found))

    def count(self, node: str, machines: int) -> None:
        """Count the VMs of a node that is not on this page."""
        self.total += machines
        self.is_cut = self.is_cut or (machines > 0 and node > self.after)


def _has_text(vm: Mapping[str, Any], needle: str) -> bool:
    keys = ("name", "node_id", "status", "image", "id")
    return any(needle in str(vm.get(key) or "").lower() for key in keys)
