"""The methods that a node answers: the parameters that are checked here, and what each is for. A table."""

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec import Struct

from hub.machines import image_params, params


@dataclass(frozen=True, slots=True)
class Passed:
    """One method that is passed on to a node; an order has a request id, and says who gave it."""

    params: type[Struct]
    summary: str
    is_order: bool = False


def _read(kind: type[Struct], summary: str) -> Passed:
    return Passed(kind, summary)


def _order(kind: type[Struct], summary: str) -> Passed:
    return Passed(kind, summary, is_order=True)


PASSED: Mapping[str, Passed] = {
    "vm.get": _read(params.GetMachine, "One VM, asked of its node; else what it told last."),
    "vm.validate": _read(params.ValidateMachine, "What would come of a spec on a node."),
    "vm.stats": _read(params.OneMachine, "What a VM uses now, asked of its node."),
    "vm.snapshot.list": _read(params.OneMachine, "The snapshots of a VM."),
    "vm.console.log": _read(params.MachineConsoleLog, "What a VM wrote to its console."),
    "vm.logs": _read(params.MachineLogs, "What the driver, the agent or orders did with a VM."),
    "vm.discover": _read(params.MachineNode, "What runs on a node and is none of its VMs."),
    "node.drivers": _read(params.MachineNode, "What can run on a node, and why not."),
    "image.list": _read(image_params.ImagesOfNode, "The images of a node."),
    "image.get": _read(image_params.OneImageOfNode, "One image of a node."),
    "vm.create": _order(params.CreateMachine, "Make a VM on a node."),
    "vm.adopt": _order(params.AdoptMachine, "Take up what vm.discover found on a node, as it is."),
    "vm.update": _order(params.UpdateMachine, "Change the spec of a VM."),
    "vm.start": _order(params.MachineOrder, "Start a VM, or resume a paused one."),
    "vm.stop": _order(params.StopMachine, "Stop a VM: gracefully, or by force."),
    "vm.reboot": _order(params.RebootMachine, "Stop and start a VM."),
    "vm.pause": _order(params.MachineOrder, "Halt a VM where it is."),
    "vm.resume": _order(params.MachineOrder, "Let a paused VM go on."),
    "vm.delete": _order(params.DeleteMachine, "Remove a VM."),
    "vm.clone": _order(params.CloneMachine, "Copy a VM under another name on its node."),
    "vm.snapshot.create": _order(params.MakeMachineSnapshot, "Take a snapshot of a VM."),
    "vm.snapshot.restore": _order(params.MachineSnapshot, "Go back to a snapshot of a VM."),
    "vm.snapshot.delete": _order(params.MachineSnapshot, "Remove a snapshot of a VM."),
    "vm.console.send": _order(params.TypeIntoMachine, "Type into the console of a VM."),
    "vm.exec": _order(params.ExecuteInMachine, "Run a command inside a VM."),
    "image.import": _order(
        image_params.ImportImage, "Bring an image to a node: from a path or a URL."
    ),
    "image.upload": _order(image_params.UploadImage, "Bring one piece of an image to a node."),
    "image.delete": _order(image_params.DeleteImage, "Remove an image of a node."),
}

OF_NODE = frozenset(
    {"vm.create", "vm.adopt", "vm.validate", "vm.discover", "node.drivers"}
    | {name for name in PASSED if name.startswith("image.")}
)
"""Those that name no VM, and so must name the node."""
