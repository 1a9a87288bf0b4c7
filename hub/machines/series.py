"""What a VM used over time: the metrics that its node wrote, by the ordinary query."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta, Struct, field

from hub import params
from hub.machines.params import Machine
from hub.params import Name

METRICS: Mapping[str, str] = {
    "cpu": "vm.cpu.time",
    "memory": "vm.memory.usage",
    "disk": "vm.disk.io",
    "net": "vm.network.io",
}
TimeText = Annotated[str, Meta(max_length=64)] | int | float

Answer = dict[str, Any]


class MachineSeries(Struct, forbid_unknown_fields=True, kw_only=True):
    """A VM, the range, and the step of its points."""

    vm: Machine
    node: Name | None = None
    start: TimeText | None = field(default=None, name="from")
    end: TimeText | None = field(default=None, name="to")
    step: TimeText | None = None


@dataclass(slots=True)
class Series:
    """Answers `vm.stats.series`. Raises RpcError."""

    ask_store: Callable[[str, Answer], Awaitable[Answer]]
    resolve: Callable[[str, str | None], Awaitable[str]]

    async def answer(self, raw: Answer) -> Answer:
        """What a VM used over time, from stored metrics: vm, node, from, to, step."""
        wanted: MachineSeries = params.read(MachineSeries, raw)
        vm_id = await self.resolve(wanted.vm, wanted.node)
        asked: Answer = {"attributes": {"vm.id": vm_id}}
        given = {"start": wanted.start, "end": wanted.end, "step": wanted.step}
        asked |= {name: value for name, value in given.items() if value is not None}
        if wanted.node is not None:
            asked["nodes"] = [wanted.node]
        found = {
            name: await self.ask_store("metric.query", {**asked, "name": metric})
            for name, metric in METRICS.items()
        }
        return {"vm_id": vm_id, "metrics": found}
