"""What a person may ask of a sandbox: what is refused, and what is worth a warning."""

import os
import platform
from collections.abc import Mapping

from edge.vm.cgroups_find import Hierarchies
from edge.vm.images import program_of
from edge.vm.model import MIB, Spec
from edge.vm.sandbox_launch import counts_apart, wanted
from shared.errors import RpcError

FOR_VMS = ("disks", "nics", "kernel", "cloud_init")
"""Fields that only a hypervisor can honour; to ignore them would be to run something else."""
NO_NETWORK = "a sandbox has no network: it sees only its own loopback"
NOTHING_KEPT = "nothing is kept: the folders that it can write are empty after every stop"
CPUS_IGNORED = "cpus is ignored: a sandbox shares the cores of its node; see limits.cpu_percent"
UNISOLATED = "this node cannot isolate processes: the program may do all that the agent may"
CPU_FREE = "limits.cpu_percent is not enforced: this node has no control group for it"
PIDS_FREE = "limits.pids is not enforced on this node"
MEMORY_EACH = (
    "the memory limit binds each process by itself and not their sum: "
    "this node has no control group for it"
)


def refuse(spec: Spec, templates: Mapping[str, tuple[str, ...]]) -> None:
    """Raise RpcError invalid_params, not_found or insufficient for what cannot be run here."""
    program_of(spec.image, templates)
    for field in FOR_VMS:
        if getattr(spec, field):
            message = f"{field} is for VMs: {spec.image!r} is run as a process in namespaces"
            raise RpcError("invalid_params", message, {"field": field})
    if spec.arch not in ("auto", platform.machine()):
        message = f"arch: a sandbox runs programs of its node, which is {platform.machine()}"
        raise RpcError("invalid_params", message, {"field": "arch"})
    cpus, memory_mib = os.cpu_count() or 1, _memory_mib()
    asked_mib = max(spec.memory_mib or 0, spec.limits.memory_mib or 0)
    if spec.cpus > cpus:
        raise _insufficient("cpus", spec.cpus, cpus)
    if asked_mib > memory_mib:
        raise _insufficient("memory_mib", asked_mib, memory_mib)


def warnings_of(spec: Spec, hierarchies: Hierarchies, *, is_isolated: bool) -> tuple[str, ...]:
    """What differs from what a person may expect of such a machine on this node."""
    limits = wanted(spec)
    held = hierarchies.held(limits)
    told = {
        UNISOLATED: not is_isolated,
        NO_NETWORK: is_isolated,
        NOTHING_KEPT: is_isolated,
        CPUS_IGNORED: spec.cpus > 1,
        CPU_FREE: limits.cpu_percent is not None and "cpu" not in held,
        MEMORY_EACH: limits.memory_bytes is not None and "memory" not in held,
        PIDS_FREE: "pids" not in held and not (is_isolated and counts_apart()),
    }
    return tuple(text for text, is_true in told.items() if is_true)


def _memory_mib() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB


def _insufficient(what: str, asked: int, there: int) -> RpcError:
    data = {"what": what, "asked": asked, "available": there}
    return RpcError("insufficient", f"asked for {asked} {what}, but this node has {there}", data)
