"""VMs as nodes told of them last: lists in pages, and where a VM is."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hub import params
from hub.describe import time_of_ms
from hub.machines.params import ListMachines
from hub.machines.queue_rules import Waiting
from hub.machines.sieve import ALL, VmSieve, briefs_of, count_of, may_have, only, sieve_of
from hub.registry import Registry
from shared.errors import RpcError
from shared.liveness import NodeState
from shared.merge import Observation

NODES_AT_ONCE = 500
"""A few milliseconds: a hub that stands still for long counts as dead."""
READ_AT_ONCE_MAX = 1000
"""The same of VMs."""
SILENT_NAMED_MAX = 1000
FOUND_NAMED_MAX = 10

_FRESH = {NodeState.ONLINE: "live", NodeState.LATE: "live", NodeState.SUSPECT: "stale"}

WaitingFor = Callable[[str], Sequence[Waiting]]
"""The orders that wait for a node."""


@dataclass(slots=True)
class VmList:
    """Answers `vm.list`, and finds VMs. A VM on a silent node is unknown."""

    registry: Registry
    waiting: WaitingFor

    async def answer(self, raw: dict[str, Any]) -> dict[str, Any]:
        """VMs by node and name, a page at a time: how fresh each record is, and who is silent."""
        wanted: ListMachines = params.read(ListMachines, raw)
        if wanted.node is not None and wanted.node not in self.registry.roster:
            raise RpcError("not_found", f"no node is called {wanted.node}", {"node": wanted.node})
        if wanted.since_seq is not None and wanted.node is None:
            raise RpcError("invalid_params", "since_seq counts the changes of one node: name it")
        names = self.registry.roster.names if wanted.node is None else [wanted.node]
        page = _Page(max(wanted.after, wanted.cursor), wanted.limit)
        silent = await self._fill(page, names, sieve_of(wanted))
        return {
            "items": [only(vm, wanted.fields) for vm in page.items],
            "total": page.total,
            "cursor": page.cursor,
            "missing_nodes": silent[:SILENT_NAMED_MAX],
            "missing_total": len(silent),
            "partial": bool(silent),
        }

    async def _fill(self, page: "_Page", names: Sequence[str], sieve: VmSieve) -> list[str]:
        """Put VMs on the page and count all; returns the nodes that are silent."""
        silent, read = list[str](), 0
        for number, node in enumerate(names, 1):
            read += self._add(page, node, sieve)
            if number % NODES_AT_ONCE == 0 or read >= READ_AT_ONCE_MAX:
                read = 0
                await asyncio.sleep(0)
            if node in self.registry.roster and self.registry.state(node) not in _FRESH:
                silent.append(node)
        return silent

    def _add(self, page: "_Page", node: str, sieve: VmSieve) -> int:
        """Count the VMs of a node, and put them on the page where they belong there; how many were
        read."""
        if sieve.lets_all_through and not page.wants(node):
            page.count(node, count_of(self._seen(node)))
            return 0
        if page.wants(node):
            page.add(node, self.of(node, sieve))
        else:
            page.count(node, len(self._matching(node, sieve)))
        return count_of(self._seen(node))

    async def selected(self, sieve: VmSieve, node: str | None, limit: int) -> list[dict[str, Any]]:
        """The VMs that meet conditions; raises RpcError quota for more than the limit."""
        found = list[dict[str, Any]]()
        names = self.registry.roster.names if node is None else [node]
        for number, name in enumerate(names, 1):
            if number % NODES_AT_ONCE == 0:
                await asyncio.sleep(0)
            found += self.of(name, sieve)
            if len(found) > limit:
                message = f"more than {limit} VMs are selected: narrow the selector"
                raise RpcError("quota", message, {"limit": limit})
        return found

    async def find(self, vm: str, nodes: Sequence[str] | None = None) -> dict[str, Any] | None:
        """The VM of an id or name on one of these nodes or all; raises RpcError conflict."""
        found = list[dict[str, Any]]()
        for number, node in enumerate(self.registry.roster.names if nodes is None else nodes, 1):
            if number % NODES_AT_ONCE == 0:
                await asyncio.sleep(0)
            if may_have(self._seen(node), vm):
                found += [known for known in self.of(node) if vm in (known["id"], known["name"])]
        exact = [known for known in found if known["id"] == vm]
        found = exact if len(exact) == 1 else found
        if len(found) > 1:
            nodes_named = ", ".join(str(known["node_id"]) for known in found[:FOUND_NAMED_MAX])
            raise RpcError("conflict", f"{vm} exists on {nodes_named}: add the parameter node")
        return found[0] if found else None

    def _seen(self, node: str) -> Observation | None:
        """What a node told last; nothing for one that was removed."""
        return self.registry.newest(node) if node in self.registry.roster else None

    def of(self, node: str, sieve: VmSieve = ALL) -> list[dict[str, Any]]:
        """The VMs of a node as people see them, by name: those that meet conditions."""
        seen, found = self._seen(node), self._matching(node, sieve)
        if not found or seen is None:
            return []
        age = self.registry.age_seconds(node, asyncio.get_running_loop().time())
        known = {
            "seen_via": seen.hub_id,
            "seen_at": time_of_ms(seen.last_seen_ms),
            "age_s": None if age is None else round(age, 3),
        }
        waiting = self.waiting(node)
        for vm in found:
            vm |= known
            vm["intent_pending"] = pending_of(waiting, vm) if waiting else []
        return sorted(found, key=_name_of)

    def _matching(self, node: str, sieve: VmSieve) -> list[dict[str, Any]]:
        """The same in no order, and as far as conditions look at them."""
        freshness = _FRESH.get(self.registry.state(node), "unreachable")
        machines = briefs_of(self._seen(node))
        for vm in machines:  # They were read just now, and are ours alone.
            vm["node_id"], vm["freshness"] = node, freshness
            if freshness == "unreachable":
                vm["status"] = f"unknown (was {vm.get('state', '')})"
        return [vm for vm in machines if sieve.lets_through(vm)]


def _name_of(vm: dict[str, Any]) -> str:
    return str(vm.get("name"))


def pending_of(waiting: Sequence[Waiting], vm: dict[str, Any]) -> list[dict[str, Any]]:
    """The orders that wait for one VM."""
    meant = (vm.get("id"), vm.get("name"))
    return list(_pending(waiting, meant))


def _pending(waiting: Sequence[Waiting], meant: tuple[Any, Any]) -> Iterator[dict[str, Any]]:
    for each in waiting:
        if each.order.vm in meant:
            expires = time_of_ms(each.expires_ms)
            yield {"request_id": each.id, "method": each.order.method, "expires_at": expires}


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
