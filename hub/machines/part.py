"""Virtual machines as a part of a hub."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any

from hub.ground import Ground
from hub.machines import params
from hub.machines.abilities import Abilities
from hub.machines.bulk import Bulks
from hub.machines.drain import NodeDrain
from hub.machines.faults import told_here
from hub.machines.keys import send_params
from hub.machines.listing import VmList
from hub.machines.operations import OperationsOfAll
from hub.machines.placing import Placing
from hub.machines.queue import Queue
from hub.machines.route import Route
from hub.machines.router import Router
from hub.machines.series import MachineSeries, Series
from hub.machines.table import PASSED
from hub.peering.sections import Section
from hub.rpc import Handler, Method
from hub.web.routes import RouteSpec
from shared.errors import RpcError


@dataclass(slots=True)
class MachinePart:
    """The VMs of the fleet, through this hub."""

    ground: Ground
    queue: Queue = field(init=False)
    vms: VmList = field(init=False)
    router: Router = field(init=False)
    bulks: Bulks = field(init=False)

    def __post_init__(self) -> None:
        ground = self.ground
        self.queue = Queue(
            ground.hub_id,
            ground.store_epoch,
            ground.registry,
            ground.intend,
            ground.runtime.wall_ms,
            ground.report,
            ground.counters,
        )
        self.vms = VmList(ground.registry, self.queue.waiting)
        self.router = Router(
            ground.hub_id, ground.registry, ground.calls, ground.runtime, self.vms, self.queue
        )
        self.bulks = Bulks(self.router, ground.report)

    # ---- what it brings

    def methods(self) -> Mapping[str, Method]:
        """The calls about VMs, images, operations, and orders that wait."""
        passed = {
            name: Method(self._passing(name), each.params, each.summary)
            for name, each in PASSED.items()
        }
        own = {
            name: replace(method, handler=self._here(method.handler))
            for name, method in self._own_methods().items()
        }
        return {**passed, **own}

    def _here(self, handler: Handler) -> Handler:
        """The handler, whose errors say on which hub they arose where they do not say it yet."""

        @wraps(handler)
        async def call(raw: dict[str, Any]) -> dict[str, Any]:
            try:
                return await handler(raw)
            except RpcError as error:
                raise told_here(error, self.ground.hub_id) from error.__cause__

        return call

    def _own_methods(self) -> Mapping[str, Method]:
        ground, ask_store = self.ground, self.ground.ask_store
        operations = OperationsOfAll(self.router, self.bulks, ask_store, self.resolve, self.queue)
        placing, abilities = Placing(self.router), Abilities(self.router)
        drain = NodeDrain(ground.registry, self.router, self.bulks, ground.intend)
        series = Series(ask_store, self.resolve)
        return {
            "vm.get": Method(abilities.get, params.GetMachine),
            "vm.list": Method(abilities.list, params.ListMachines),
            "vm.bulk": Method(self.bulks.order, params.BulkOrder),
            "vm.events": Method(operations.events, params.MachineEvents),
            "vm.stats.series": Method(series.answer, MachineSeries),
            "vm.queue.list": Method(self.queue.show, params.ListQueue),
            "vm.queue.cancel": Method(self.queue.cancel, params.CancelQueued),
            "op.get": Method(operations.get, params.OneOperation),
            "op.list": Method(operations.show, params.ListOperations),
            "op.wait": Method(operations.wait, params.WaitForOperation),
            "op.cancel": Method(operations.cancel, params.CancelOperation),
            "node.drain": Method(drain.drain, params.DrainNodeOfMachines),
            "node.maintenance": Method(drain.maintain, params.MaintainNode),
            "vm.create": Method(placing.create, params.CreateMachine),
            "vm.validate": Method(placing.validate, params.ValidateMachine),
            "vm.console.send": Method(self._type, params.TypeIntoMachine),
            "hub.route": Method(Route(self.router).answer, params.RouteToMachine),
        }

    async def _type(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Type into the console of a VM: vm, node, data or key."""
        return await self.router.answer("vm.console.send", send_params(raw))

    def _passing(self, name: str) -> Handler:
        async def call(raw: dict[str, Any]) -> dict[str, Any]:
            return await self.router.answer(name, raw)

        return call

    async def resolve(self, vm: str, node: str | None) -> str:
        """The id of a VM; what no node tells of is taken for the id of one that is gone."""
        found = await self.vms.find(vm, None if node is None else [node])
        return str(found["id"]) if found is not None else vm

    def routes(self) -> Sequence[RouteSpec]:
        """No doors of its own."""
        return []

    def sections(self) -> Sequence[Section]:
        """Orders that wait are told with the records of their nodes."""
        return []

    async def run(self) -> None:
        """Look after the orders that wait, for ever."""
        await self.queue.run()

    async def close(self) -> None:
        """End what this hub carries out for others; nodes end what they have begun."""
        await self.bulks.close()


def build(ground: Ground) -> MachinePart:
    """The part, which from now on hands orders to the edges that beat."""
    part = MachinePart(ground)
    ground.edges.orders = part.queue.offer
    ground.registry.on_noted.append(part.queue.noted)
    return part
