"""Which ports of the host lead to a machine: those that were asked for, and free ones for the
rest."""

import contextlib
import itertools
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from edge.vm.model import Port, Spec
from shared.errors import RpcError

KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def resolve_ports(spec: Spec, held: Sequence[Port]) -> tuple[Port, ...]:
    """The ports of all cards, in their order, with the host's numbers.

    One that was left open keeps the number it had, if that is free. Raises RpcError insufficient.
    """
    had = {(port.guest, port.proto, port.bind): port.host for port in held}
    with contextlib.ExitStack() as sockets:  # Held until all are chosen, so that none comes twice.
        return tuple(_resolve(port, had, sockets) for nic in spec.nics for port in nic.ports)


def ports_of(handle: Mapping[str, Any]) -> tuple[Port, ...]:
    """The ports that were chosen for a machine, of all cards in their order."""
    return msgspec.convert(handle.get("ports", []), tuple[Port, ...])


def cards(spec: Spec, ports: Sequence[Port]) -> tuple[tuple[Port, ...], ...]:
    """The same for each card; fewer when the spec has changed since they were chosen."""
    left = iter(ports)
    return tuple(tuple(itertools.islice(left, len(nic.ports))) for nic in spec.nics)


def _resolve(
    port: Port, had: Mapping[tuple[int, Any, str], int], sockets: contextlib.ExitStack
) -> Port:
    if port.host:
        return port
    before = had.get((port.guest, port.proto, port.bind), 0)
    number = (before and _take(port, before, sockets)) or _take(port, 0, sockets)
    if not number:
        raise RpcError("insufficient", f"no port of {port.bind} is free", {"what": "ports"})
    return msgspec.structs.replace(port, host=number)


def _take(port: Port, number: int, sockets: contextlib.ExitStack) -> int:
    holder = sockets.enter_context(socket.socket(socket.AF_INET, KINDS[port.proto]))
    if port.proto == "tcp":  # As QEMU itself will bind it.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind((port.bind, number))
    except OSError:
        return 0
    return int(holder.getsockname()[1])
