"""One action on many VMs: what is asked of each, and how far it is. Rules only.

Each VM's request id comes from that of the whole, so that the same order through another hub, also while
the first is at it, repeats the questions and nothing else.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec
import orjson

from hub.describe import time_of_ms
from hub.machines.params import BULK_METHODS, BulkOrder, SelectMachines
from hub.machines.table import PASSED
from shared.errors import RpcError

Answer = dict[str, Any]


class ItemState(StrEnum):
    """How far one VM is."""

    WAITING = "waiting"
    RUNNING = "running"
    QUEUED = "queued"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(slots=True)
class Item:
    """One VM of a bulk order, and what came of it."""

    node_id: str
    vm_id: str
    vm_name: str
    request_id: str
    state: ItemState = ItemState.WAITING
    op_id: str | None = None
    changed: bool | None = None
    error: Answer | None = None

    def to_wire(self) -> Answer:
        """As people see it."""
        names = ("node_id", "vm_id", "vm_name", "request_id", "op_id", "changed", "error")
        return {**{name: getattr(self, name) for name in names}, "state": self.state.value}


@dataclass(slots=True)
class Bulk:
    """One bulk order on one hub."""

    op_id: str
    request_id: str
    digest: str
    method: str
    order: BulkOrder
    items: list[Item]
    created_ms: int
    by: str
    hub_id: str
    state: str = "running"
    updated_ms: int = 0
    is_cancelled: bool = False

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be begun, and all that was begun has ended."""
        return self.state != "running"

    @property
    def counts(self) -> dict[str, int]:
        """How many VMs are how far."""
        return dict(Counter(item.state.value for item in self.items))

    def end(self, now_ms: int) -> None:
        """Everything has come to its end."""
        counts = self.counts
        is_short = self.is_cancelled or "waiting" in counts or "running" in counts
        self.state = "cancelled" if is_short else "failed" if "failed" in counts else "done"
        self.updated_ms = now_ms

    def to_wire(self) -> Answer:
        """The operation with a result for each VM."""
        counts, total = self.counts, len(self.items)
        open_ = counts.get("waiting", 0) + counts.get("running", 0)
        return {
            "op_id": self.op_id,
            "request_id": self.request_id,
            "method": "vm.bulk",
            "action": self.order.action,
            "node_id": self.hub_id,
            "state": self.state,
            "progress": 100 if not total else round(100 * (total - open_) / total),
            "stage": f"{total - open_} of {total} VMs",
            "counts": counts,
            "total": total,
            "items": [item.to_wire() for item in self.items],
            "created_at": time_of_ms(self.created_ms),
            "updated_at": time_of_ms(self.updated_ms),
            "requested_by": self.by,
            "via_hub": self.hub_id,
            "may_cancel": not self.is_over,
        }


def op_id_of(request_id: str) -> str:
    """The same on every hub."""
    return f"bulk-{_sha(request_id)[:24]}"


def request_id_of(whole: str, action: str, node: str, vm_id: str) -> str:
    """The request id of one VM's part of a bulk order."""
    return _sha(f"{whole}\0{action}\0{node}\0{vm_id}")[:40]


def digest_of(order: BulkOrder) -> str:
    """One text for all of an order that has an effect."""
    plain = msgspec.to_builtins(order)
    effect = {name: plain[name] for name in ("action", "selector", "ids", "options")}
    return hashlib.sha256(orjson.dumps(effect, option=orjson.OPT_SORT_KEYS)).hexdigest()


def check_bulk(order: BulkOrder) -> str:
    """The method behind an order; raises RpcError invalid_params that says what is wrong with it."""
    if (order.selector is None) == (order.ids is None):
        raise RpcError("invalid_params", "name the VMs by ids or by a selector: one of the two")
    if order.selector is not None and not _has_condition(order.selector):
        message = 'selector: name a condition, such as {"name": "*"} for all VMs'
        raise RpcError("invalid_params", message)
    method = BULK_METHODS[order.action]
    refused = {"vm", "node", "request_id", "wait_s"} & order.options.keys()
    if refused:
        raise RpcError("invalid_params", f"options: {min(refused)} is set for each VM here")
    example = {**order.options, "vm": "vm"}
    try:
        msgspec.convert(example, PASSED[method].params)
    except msgspec.ValidationError as error:
        raise RpcError("invalid_params", f"options: {error}") from error
    return method


def _has_condition(selector: SelectMachines) -> bool:
    return any(getattr(selector, name) for name in selector.__struct_fields__)


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
