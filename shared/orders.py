"""Orders for machines that wait on hubs, as they go to a node with the answer to its heartbeat."""

from typing import Annotated, Any

from msgspec import Meta, Struct

OrderId = Annotated[str, Meta(pattern=r"\A[\x21-\x7e]{1,128}\Z")]

OFFERED_MAX = 32
"""So many orders are in one answer; the others come with the next."""

QUEUEABLE = frozenset(
    {"vm.start", "vm.stop", "vm.reboot", "vm.pause", "vm.resume", "vm.delete", "vm.update"}
)
"""What makes sense later: it names a machine that is there."""


class QueuedOrder(Struct, frozen=True):
    """One call, ready to be made on the node. `by` is who gave it, through `via_hub`."""

    request_id: OrderId
    method: Annotated[str, Meta(max_length=100)]
    vm: Annotated[str, Meta(max_length=64)]
    params: dict[str, Any] = {}
    by: Annotated[str, Meta(max_length=128)] = ""
    via_hub: Annotated[str, Meta(max_length=200)] = ""


DONE = "done"
"""What a node says of an order that it has taken up: its operation tells the rest. Of one that it will
never take up it says why."""

ORDERED_MAX = 64
"""Of so many orders one heartbeat says what became."""

Ordered = Annotated[
    dict[OrderId, Annotated[str, Meta(max_length=500)]], Meta(max_length=ORDERED_MAX)
]
"""What became of orders, by request id."""
