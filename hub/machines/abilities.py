"""Adds to VMs what can be asked of them, where somebody wants to know: nodes tell what their drivers can,
and are asked at most once a minute."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hub import params
from hub.machines.action_rules import actions_of
from hub.machines.faults import LOST_ON_THE_WAY
from hub.machines.params import GetMachine, ListMachines
from hub.machines.router import Router
from shared.errors import RpcError

HELD_SECONDS = 60.0
HELD_NODES_MAX = 1000
ASKED_NODES_MAX = 64
"""On one page; of further nodes the state alone decides."""
ASK_MS_MAX = 3000

Answer = dict[str, Any]
Able = Mapping[str, frozenset[str]]
"""The capabilities of the drivers of a node."""


@dataclass(slots=True)
class Abilities:
    """Answers vm.get and vm.list, with `actions` where that is asked for. Raises RpcError."""

    router: Router
    _held: OrderedDict[str, tuple[float, Able]] = field(default_factory=OrderedDict)

    async def get(self, raw: Answer) -> Answer:
        """One VM, asked of its node; else what it told last: vm, node, live, actions."""
        given = {name: value for name, value in raw.items() if value not in (None, "")}
        wanted: GetMachine = params.read(GetMachine, given)
        rest = {name: value for name, value in raw.items() if name != "actions"}
        vm = await self.router.answer("vm.get", rest)
        return await self._with_actions(vm) if wanted.actions else vm

    async def list(self, raw: Answer) -> Answer:
        """VMs by node and name, a page at a time: how fresh each record is, and who is silent."""
        wanted: ListMachines = params.read(ListMachines, raw)
        if wanted.actions and wanted.fields is not None:
            raise RpcError("invalid_params", "actions come with whole records: leave out fields")
        answer = await self.router.vms.answer(raw)
        if wanted.actions:
            live = {str(vm["node_id"]) for vm in answer["items"] if vm["freshness"] == "live"}
            await asyncio.gather(*map(self._able, sorted(live)[:ASKED_NODES_MAX]))
            for vm in answer["items"]:
                vm["actions"] = actions_of(vm, self._known(vm))
        return answer

    async def _with_actions(self, vm: Answer) -> Answer:
        if vm.get("freshness") == "live":
            await self._able(str(vm["node_id"]))
        return {**vm, "actions": actions_of(vm, self._known(vm))}

    def _known(self, vm: Mapping[str, Any]) -> frozenset[str] | None:
        held = self._held.get(str(vm.get("node_id")))
        return held[1].get(str(vm.get("driver"))) if held else None

    async def _able(self, node: str) -> None:
        """Ask a node what its drivers can, unless that is known; one that does not say has no say."""
        now = asyncio.get_running_loop().time()
        held = self._held.get(node)
        if held is not None and now - held[0] < HELD_SECONDS:
            return
        try:
            told = await self.router.ask(node, "node.drivers", {}, deadline_ms=ASK_MS_MAX)
        except RpcError as error:
            if error.kind not in LOST_ON_THE_WAY | {"busy"}:
                raise
            return
        self._held[node] = now, _read(told.get("drivers"))
        self._held.move_to_end(node)
        while len(self._held) > HELD_NODES_MAX:
            self._held.popitem(last=False)


def _read(drivers: Any) -> Able:
    found = [each for each in drivers if isinstance(each, Mapping)] if drivers else []
    return {str(each.get("name")): frozenset(map(str, _all(each))) for each in found}


def _all(driver: Mapping[str, Any]) -> list[Any]:
    told = driver.get("capabilities")
    return told if isinstance(told, list) else []
