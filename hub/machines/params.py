"""The parameters of the methods on machines, checked before anything is sent to a node.

The hub says by itself who orders (`requested_by`) and through which hub: both are refused as
unknown parameters. What a spec or a patch holds is checked by the node, whose drivers know.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from hub.params import Name

Machine = Annotated[str, Meta(pattern=r"\A[a-z0-9-]{1,64}\Z")]
"""An id or a name."""

Token = Annotated[str, Meta(pattern=r"\A[\x21-\x7e]{1,128}\Z")]
WaitSeconds = Annotated[float, Meta(ge=0, le=60)]
StopSeconds = Annotated[float, Meta(ge=0, le=3600)]
Word = Annotated[str, Meta(min_length=1, max_length=128)]
Text = Annotated[str, Meta(max_length=200)]
Argument = Annotated[str, Meta(max_length=32_768)]
Body = Annotated[dict[str, Any], Meta(min_length=1, max_length=64)]
Size = Annotated[int, Meta(ge=0, le=1 << 60)]

QUEUE_SECONDS_USUAL = 23 * 3600.0
QUEUE_SECONDS_MAX = 23 * 3600.0
"""A node remembers request ids for 24 hours: an order that is handed to it twice, by hubs that do not
hear each other, must come within that time, wrong clocks included."""

VM_ITEMS_MAX = 2000
BULK_VMS_MAX = 1000
PARALLEL_MAX = 64


class _Strict(Struct, forbid_unknown_fields=True, kw_only=True):
    node: Name | None = None


class MachineNode(_Strict, kw_only=True):
    """One node."""


class OneMachine(_Strict, kw_only=True):
    """One VM."""

    vm: Machine


class GetMachine(OneMachine, kw_only=True):
    """One VM; `live` asks its node and takes nothing older."""

    live: bool = False
    actions: bool = False
    """Also tell what can be asked of it now, and why not the rest."""


class OrderOfMachine(_Strict, kw_only=True):
    """What every order may carry."""

    request_id: Token | None = None
    wait_s: WaitSeconds = 2.0
    deadline_ms: Annotated[int, Meta(ge=1, le=86_400_000)] | None = None
    """For so long paths are tried; what is begun by then goes on."""
    if_generation: Annotated[int, Meta(ge=1)] | None = None


class PlacementHint(Struct, forbid_unknown_fields=True, kw_only=True):
    """What the node must be that a hub chooses. All conditions must hold."""

    labels: Annotated[list[Word], Meta(max_length=16)] | Word = []
    """Of the node: each `key=value`, `key!=value`, or `key` for any value."""
    nodes: Annotated[list[Name], Meta(min_length=1, max_length=1000)] | None = None
    """Only one of these."""
    not_nodes: Annotated[list[Name], Meta(max_length=1000)] = []
    """None of these."""


class CreateMachine(OrderOfMachine, kw_only=True):
    """A new VM; without `node` the hub chooses one."""

    spec: Body
    id: Word | None = None
    start: bool = False
    placement: PlacementHint | None = None


class AdoptMachine(OrderOfMachine, kw_only=True):
    """What runs or lies on a node and is in no record, by its handle of vm.discover. The node cannot
    know what it was meant to be, so a whole spec says it."""

    handle: Annotated[str, Meta(pattern=r"\A[a-z0-9-]{1,64}\Z")]
    spec: Body


class MachineOrder(OrderOfMachine, kw_only=True):
    """An order for one VM; `queue` lets it wait for a node that cannot be reached."""

    vm: Machine
    queue: bool = False
    queue_s: Annotated[float, Meta(ge=1, le=QUEUE_SECONDS_MAX)] = QUEUE_SECONDS_USUAL


class StopMachine(MachineOrder, kw_only=True):
    """How to stop; `force_after` seconds turn a graceful stop into a forced one."""

    mode: Literal["graceful", "force"] = "graceful"
    timeout_s: StopSeconds | None = None
    force_after: StopSeconds | None = None


class RebootMachine(MachineOrder, kw_only=True):
    """How to reboot."""

    mode: Literal["soft", "hard"] = "soft"


class DeleteMachine(MachineOrder, kw_only=True):
    """What to delete."""

    force: bool = False
    keep_disks: bool = False


class UpdateMachine(MachineOrder, kw_only=True):
    """Fields of the spec, each replaced whole."""

    patch: Body


class CloneMachine(OrderOfMachine, kw_only=True):
    """A copy of a VM under another name; with `snapshot` its disks are as they were then."""

    vm: Machine
    name: Word
    snapshot: Word | None = None


class MachineSnapshot(OrderOfMachine, kw_only=True):
    """One snapshot of a VM."""

    vm: Machine
    name: Word


class MakeMachineSnapshot(MachineSnapshot, kw_only=True):
    """A new snapshot; with `memory` a VM that runs goes on from there when it is restored."""

    memory: bool = False


class ExecuteInMachine(_Strict, kw_only=True):
    """A command inside a VM."""

    vm: Machine
    argv: Annotated[list[Argument], Meta(min_length=1, max_length=256)]
    timeout_s: Annotated[float, Meta(gt=0, le=50)] = 10.0
    request_id: Token | None = None


class TypeIntoMachine(_Strict, kw_only=True):
    """What to type into a console: a text, or one key by its name."""

    vm: Machine
    data: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None
    key: Annotated[str, Meta(min_length=1, max_length=32)] | None = None
    request_id: Token | None = None


class MachineConsoleLog(_Strict, kw_only=True):
    """Which bytes of a console; no offset asks for its end."""

    vm: Machine
    offset: Size | None = None
    limit: Annotated[int, Meta(ge=1, le=1 << 20)] = 64 * 1024


class MachineLogs(_Strict, kw_only=True):
    """What the driver's programs said, what the agent saw, or what was ordered."""

    vm: Machine
    source: Literal["driver", "agent", "ops"] = "agent"
    tail: Annotated[int, Meta(ge=1, le=1000)] = 100


class ValidateMachine(_Strict, kw_only=True):
    """A spec, and the node that would run it; without `node` the hub chooses one."""

    spec: Body
    placement: PlacementHint | None = None


class MachineEvents(_Strict, kw_only=True):
    """Which events: of one VM or node, or all; `cursor` goes on behind a page."""

    vm: Word | None = None
    after: Annotated[str, Meta(max_length=64)] | None = None
    """Only events from this time on."""
    cursor: Annotated[str, Meta(max_length=1000)] | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class OneOperation(_Strict, kw_only=True):
    """One operation; its node is found when it is not named."""

    op_id: Token


class WaitForOperation(OneOperation, kw_only=True):
    """For how long to wait."""

    timeout_s: WaitSeconds = 30.0


class CancelOperation(OneOperation, kw_only=True):
    """Which operation to stop."""

    request_id: Token | None = None


class ListOperations(_Strict, kw_only=True):
    """Which operations, newest first; `node` is asked itself, when it can be reached."""

    vm: Word | None = None
    state: Literal["queued", "running", "done", "failed", "cancelled"] | None = None
    """`queued` are the orders that wait for their nodes: see vm.queue.list."""
    method: Word | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class ListMachines(_Strict, kw_only=True):
    """Which VMs: all conditions must hold; of several values of one, one is enough."""

    name: Text = ""
    """A name, or a pattern with `*` and `?`."""
    state: Annotated[list[Word], Meta(max_length=8)] | Word | None = None
    kind: Literal["vm", "sandbox"] | None = None
    label: Annotated[list[Word], Meta(max_length=16)] | Word | None = None
    """Each `key=value`, `key!=value`, or `key` for any value."""
    text: Text = ""
    """Its name, id, node, status or image has this in it."""
    since_seq: Size | None = None
    """Only what changed after this number of the node that is named."""
    actions: bool = False
    """Also tell what can be asked of each now, and why not the rest."""
    fields: Annotated[list[Word], Meta(max_length=32)] | None = None
    """Only these of each VM; id, name and node_id are always there."""
    after: Text = ""
    cursor: Text = ""
    """The cursor of an answer, which is the node of the last VM in it."""
    limit: Annotated[int, Meta(ge=1, le=VM_ITEMS_MAX)] = 1000
    """About how many: a page has all VMs of its last node."""


class SelectMachines(Struct, forbid_unknown_fields=True, kw_only=True):
    """The conditions of vm.list, without pages."""

    node: Name | None = None
    name: Text = ""
    state: Annotated[list[Word], Meta(max_length=8)] | Word | None = None
    kind: Literal["vm", "sandbox"] | None = None
    label: Annotated[list[Word], Meta(max_length=16)] | Word | None = None
    text: Text = ""


BULK_METHODS: Mapping[str, str] = {
    "start": "vm.start",
    "stop": "vm.stop",
    "reboot": "vm.reboot",
    "pause": "vm.pause",
    "resume": "vm.resume",
    "delete": "vm.delete",
    "snapshot": "vm.snapshot.create",
}


class BulkOrder(Struct, forbid_unknown_fields=True, kw_only=True):
    """One action on many VMs, named by id or by a selector."""

    action: Literal["start", "stop", "reboot", "pause", "resume", "delete", "snapshot"]
    selector: SelectMachines | None = None
    ids: Annotated[list[Machine], Meta(min_length=1, max_length=BULK_VMS_MAX)] | None = None
    options: Annotated[dict[str, Any], Meta(max_length=8)] = {}
    """What the action takes beside the VM, such as `mode` or `force_after`."""
    parallel: Annotated[int, Meta(ge=1, le=PARALLEL_MAX)] = 8
    stop_on_error: bool = False
    dry_run: bool = False
    """Only tell which VMs it would be."""
    request_id: Token | None = None
    wait_s: WaitSeconds = 2.0


class ListQueue(_Strict, kw_only=True):
    """The orders that wait, of one VM or node, or all."""

    vm: Word | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 1000


class CancelQueued(_Strict, kw_only=True):
    """An order that waits, by its request id."""

    request_id: Token


class _QuietNode(Struct, forbid_unknown_fields=True, kw_only=True):
    node: Name
    on: bool = True
    """False ends it."""
    force_after: StopSeconds | None = None
    """So many seconds turn a graceful stop of its VMs into a forced one."""
    parallel: Annotated[int, Meta(ge=1, le=PARALLEL_MAX)] = 4
    request_id: Token | None = None
    wait_s: WaitSeconds = 2.0


class DrainNodeOfMachines(_QuietNode, kw_only=True):
    """A node that is to take no new VMs; `stop_vms` also stops those it has, gracefully."""

    stop_vms: bool = False


class MaintainNode(_QuietNode, kw_only=True):
    """A node that people work on: it takes no new VMs, and those it has are stopped gracefully. At the
    end those are started that were stopped for it, unless `start_vms` is false."""

    why: Annotated[str, Meta(max_length=200)] = ""
    start_vms: bool = True


class RouteToMachine(_Strict, kw_only=True):
    """A VM, or a node."""

    vm: Machine | None = None
