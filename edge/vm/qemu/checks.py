"""What of a spec this driver cannot run here, and what a person should know before."""

import ipaddress
import os

from edge.vm.model import MIB, Spec
from edge.vm.qemu.argv import MEMORY_MIB_DEFAULT
from edge.vm.tiny import MEMORY_MIB, TINY
from shared.errors import RpcError

LINUX_MEMORY_MIB_MIN = 128


def memory_mib_of(spec: Spec) -> int:
    """The guest's memory."""
    default = MEMORY_MIB if spec.image == TINY else MEMORY_MIB_DEFAULT
    return spec.memory_mib or spec.limits.memory_mib or default


def host_memory_mib() -> int:
    """What the host has in all."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB


def check_host(spec: Spec) -> None:
    """Refuse what this host is too small or of the wrong kind for: RpcError not_supported,
    insufficient."""
    if spec.arch not in ("auto", "x86_64"):
        raise RpcError("not_supported", f"this driver runs x86_64 guests, not {spec.arch}")
    asked = {"cpus": spec.cpus, "memory_mib": memory_mib_of(spec)}
    there = {"cpus": os.cpu_count() or 1, "memory_mib": host_memory_mib()}
    for what, amount in asked.items():
        if amount > there[what]:
            data = {"what": what, "asked": amount, "available": there[what]}
            message = f"asked for {amount} {what}, but this node has {there[what]}"
            raise RpcError("insufficient", message, data)


def check_ports(spec: Spec) -> None:
    """Refuse ports that QEMU cannot forward: RpcError invalid_params, not_supported."""
    taken: set[tuple[str, str, int]] = set()
    for nic in spec.nics:
        if nic.ports and nic.mode != "user":
            raise RpcError("invalid_params", "a card of mode 'none' has no ports")
        for port in nic.ports:
            _check_bind(port.bind)
            place = (port.proto, port.bind, port.host)
            if port.host and place in taken:
                raise RpcError("invalid_params", f"port {port.host} is asked for twice")
            taken.add(place)


def warnings_of(spec: Spec, is_emulated: bool) -> list[str]:
    """One sentence each."""
    reachable = any(
        not ipaddress.ip_address(port.bind).is_loopback for nic in spec.nics for port in nic.ports
    )
    said = {
        "this node emulates the processor: ten times slower than hardware, or more": is_emulated,
        "the share of the processor is not limited by this driver": spec.limits.cpu_percent,
        "variables are for sandboxes; a VM does not see them": spec.env,
        f"Linux needs {LINUX_MEMORY_MIB_MIN} MiB of memory to start": (
            spec.image != TINY and memory_mib_of(spec) < LINUX_MEMORY_MIB_MIN
        ),
        "ports are bound to an address that others than this host can reach": reachable,
    }
    return [text for text, is_so in said.items() if is_so]


def _check_bind(text: str) -> None:
    try:
        version = ipaddress.ip_address(text).version
    except ValueError as error:
        raise RpcError("invalid_params", f"{text!r} is no address to bind to") from error
    if version != 4:
        raise RpcError("not_supported", "QEMU forwards ports of IPv4 addresses only")
