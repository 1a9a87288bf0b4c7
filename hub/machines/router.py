"""Takes calls on machines to their nodes: checked, with who asks, and with one request id for all paths."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hub import params
from hub.caller import caller
from hub.calls import DEADLINE_SECONDS, Calls
from hub.machines.faults import LOST_ON_THE_WAY, check_speaker, stale_only, told, told_here
from hub.machines.listing import VmList, pending_of
from hub.machines.queue import Queue
from hub.machines.table import OF_NODE, PASSED
from hub.nodes.enrolment import way_back
from hub.nodes.tombstones import removal_of
from hub.registry import Registry
from shared.errors import RpcError
from shared.orders import QueuedOrder
from shared.runtime import Runtime

WAIT_SECONDS_MAX = 60.0
NODES_NOTED_MAX = 10_000
OF_HUB_ALONE = frozenset({"queue", "queue_s", "live", "deadline_ms"})
"""Parameters that the node does not know."""

Answer = dict[str, Any]


@dataclass(slots=True)
class Router:
    """Answers the methods of `hub.machines.table`. Raises RpcError, with where the path ended."""

    hub_id: str
    registry: Registry
    calls: Calls
    runtime: Runtime
    vms: VmList
    queue: Queue
    last: OrderedDict[str, dict[str, Answer]] = field(default_factory=OrderedDict)
    """What came of the last call to each node through each hub."""

    async def answer(self, method: str, raw: Answer) -> Answer:
        """A call from a person."""
        passed = PASSED[method]
        asked = {name: value for name, value in raw.items() if value not in (None, "")}
        try:
            params.read(passed.params, asked)
            if passed.is_order:
                return await self.order(method, asked, caller.get())
            return await self._read(method, asked)
        except RpcError as error:
            raise told_here(error, self.hub_id) from error.__cause__

    async def order(self, method: str, asked: Answer, by: str) -> Answer:
        """Order something; the request id makes sure that it happens once, whatever the path."""
        node, vm = await self._target(method, asked)
        if method == "vm.create":
            self._check_takes_work(node)
        request_id = str(asked.get("request_id") or self.runtime.token_hex(16))
        sent = {name: value for name, value in asked.items() if name not in OF_HUB_ALONE}
        sent |= {"request_id": request_id, "via_hub": self.hub_id, "requested_by": by}
        try:
            deadline_ms = asked.get("deadline_ms")
            answer = await self.ask(node, method, sent, request_id, deadline_ms)
        except RpcError as error:
            if not asked.get("queue") or error.kind not in LOST_ON_THE_WAY:
                raise
            return await self._queue(node, vm, method, asked, sent, error)
        answer["path"]["request_id"] = request_id
        return answer

    async def _queue(
        self, node: str, vm: str, method: str, asked: Answer, sent: Answer, error: RpcError
    ) -> Answer:
        """Let an order wait for its node."""
        kept = ("request_id", "requested_by", "via_hub", "vm", "node", "wait_s")
        rest = {name: value for name, value in sent.items() if name not in kept}
        by, request_id = str(sent["requested_by"]), str(sent["request_id"])
        order = QueuedOrder(request_id, method, vm, rest, by, self.hub_id)
        answer = await self.queue.put(node, order, asked.get("queue_s"))
        hops = error.data.get("hops", [])
        path = {"served_by": self.hub_id, "hops": hops, "request_id": request_id}
        return {**answer, "path": path, "why": str(error)}

    async def _read(self, method: str, asked: Answer) -> Answer:
        node, _ = await self._target(method, asked)
        sent = {name: value for name, value in asked.items() if name not in OF_HUB_ALONE}
        try:
            answer = await self.ask(node, method, sent)
        except RpcError as error:
            if error.kind not in LOST_ON_THE_WAY:
                raise
            return await self._replica(method, node, asked, error)
        if method == "vm.get":
            answer |= {"freshness": "live", "seen_via": self.hub_id, "age_s": 0.0}
            answer["intent_pending"] = pending_of(self.queue.waiting(node), answer)
        return answer

    async def _replica(self, method: str, node: str, asked: Answer, error: RpcError) -> Answer:
        """What the node told before, where that is an answer; else raises the error."""
        if method == "vm.stats" or asked.get("live"):
            raise stale_only(node, error) from error
        known = await self.vms.find(str(asked["vm"]), [node]) if method == "vm.get" else None
        if known is None:
            raise error
        is_silent = known["freshness"] == "unreachable"
        return {**known, "freshness": "unreachable" if is_silent else "stale", "error": str(error)}

    # ---- the way

    async def ask(
        self,
        node: str,
        method: str,
        sent: Mapping[str, Any],
        request_id: str | None = None,
        deadline_ms: int | None = None,
    ) -> Answer:
        """Call the node by whatever path there is; raises RpcError that tells of the paths."""
        seconds = _patience(sent) if deadline_ms is None else deadline_ms / 1000
        try:
            found = await self.calls.call(node, method, dict(sent), seconds=seconds)
            self._note(node, found.hops)
            check_speaker(node, str(found.hops[-1]["hub"]), found.result)
        except RpcError as error:
            self._note(node, error.data.get("hops", []))
            raise told(error, node, self.hub_id, method, request_id) from error
        path = {"served_by": found.hops[-1]["hub"], "hops": found.hops}
        return {**found.result, "path": path}

    def _note(self, node: str, hops: Any) -> None:
        """Keep what came of each path, for `hub.route`."""
        at_ms = self.runtime.wall_ms()
        held = self.last.setdefault(node, {})
        self.last.move_to_end(node)
        for hop in hops if isinstance(hops, list) else []:
            held[str(hop.get("hub"))] = {
                "ms": hop.get("ms"),
                "error": hop.get("error"),
                "at_ms": at_ms,
            }
        while len(self.last) > NODES_NOTED_MAX:
            self.last.popitem(last=False)

    # ---- which node

    async def _target(self, method: str, asked: Answer) -> tuple[str, str]:
        """The node of a call, and its VM: by id, where that is known."""
        vm = str(asked.get("vm", ""))
        if "node" in asked:
            node = self.known_node(str(asked["node"]))
            known = await self.vms.find(vm, [node]) if vm else None
            return node, str(known["id"]) if known else vm
        if method in OF_NODE:
            raise RpcError("invalid_params", f"{method} needs the parameter node")
        return await self.place(vm)

    def known_node(self, node: str) -> str:
        """The node, which is in the fleet; raises RpcError not_found."""
        record = self.registry.records.get(node)
        if record is None:
            raise RpcError("not_found", f"no node is called {node}", {"node": node})
        removal = removal_of(record)
        if removal is not None:
            raise RpcError("not_found", way_back(node, removal), {"node": node})
        return node

    async def place(self, vm: str) -> tuple[str, str]:
        """The node and the id of a VM; raises RpcError not_found or conflict."""
        found = await self.vms.find(vm)
        if found is None:
            message = f"no node has told of a VM called {vm}; name its node"
            raise RpcError("not_found", message, {"vm": vm})
        return str(found["node_id"]), str(found["id"])

    def _check_takes_work(self, node: str) -> None:
        """Raise RpcError for a node to which people give no new work."""
        record = self.registry.records.get(node)
        if record is not None and self.registry.is_draining(record):
            words = (
                f"{node} is draining and takes no new VMs: `headwater nodes undrain {node}` ends it"
            )
            raise RpcError("invalid_state", words, {"node": node, "retryable": False})


def _patience(sent: Mapping[str, Any]) -> float:
    """For how many seconds a call may take that itself waits for something."""
    wait = sent.get("wait_s", sent.get("timeout_s", 0.0))
    return DEADLINE_SECONDS + min(float(wait or 0.0), WAIT_SECONDS_MAX)
