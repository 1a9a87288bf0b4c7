"""One look at this machine: what psutil says now, as plain values."""

import logging
import os
import platform
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import psutil

log = logging.getLogger(__name__)

Result = TypeVar("Result")

DEVICES_MAX = 64
"""A container host may have a thousand virtual interfaces; the first by name are enough."""

_NOT_DISKS = re.compile(r"^(loop|ram|zram|fd|sr)\d")


@dataclass(frozen=True, slots=True)
class DiskSample:
    """Totals of one disk since boot."""

    device: str
    read_bytes: int
    write_bytes: int
    reads: int
    writes: int


@dataclass(frozen=True, slots=True)
class NetworkSample:
    """Totals of one interface since it came up."""

    interface: str
    received_bytes: int
    sent_bytes: int
    received_packets: int
    sent_packets: int
    receive_errors: int
    send_errors: int
    receive_drops: int
    send_drops: int


@dataclass(frozen=True, slots=True)
class FilesystemSample:
    """The space of one mounted filesystem, in bytes."""

    device: str
    mountpoint: str
    kind: str
    used_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Sample:
    """Everything in one look. What this machine does not tell is empty or None."""

    time_ns: int
    boot_ns: int
    cpu_seconds: dict[str, float]
    """Busy and idle seconds since boot by cpu.mode, summed over all CPUs."""
    cpus: int
    load: tuple[float, float, float] | None
    memory_bytes: dict[str, int]
    """By system.memory.state; the states add up to memory_total_bytes."""
    memory_total_bytes: int
    swap_bytes: dict[str, int]
    disks: tuple[DiskSample, ...]
    networks: tuple[NetworkSample, ...]
    filesystems: tuple[FilesystemSample, ...]
    processes: int


def take_sample(time_ns: int) -> Sample:
    """Look at this machine; blocks for about a millisecond, longer when a disk hangs."""
    unknown: tuple[int, dict[str, int]] = (0, {})
    memory_total_bytes, memory_bytes = _try("memory", _memory, unknown)
    return Sample(
        time_ns=time_ns,
        boot_ns=_try("boot time", lambda: int(psutil.boot_time() * 1e9), 0),
        cpu_seconds=_try("cpu", _cpu_seconds, {}),
        cpus=psutil.cpu_count() or 1,
        load=_try("load", lambda: psutil.getloadavg(), None),
        memory_bytes=memory_bytes,
        memory_total_bytes=memory_total_bytes,
        swap_bytes=_try("swap", _swap, {}),
        disks=_try("disks", _disks, ()),
        networks=_try("networks", _networks, ()),
        filesystems=_try("filesystems", _filesystems, ()),
        processes=_try("processes", lambda: len(psutil.pids()), 0),
    )


def host_facts() -> dict[str, str]:
    """The resource attributes that say which machine this is."""
    return {
        "host.name": platform.node(),
        "host.arch": platform.machine(),
        "os.type": platform.system().lower(),
    }


def _try(what: str, look: Callable[[], Result], otherwise: Result) -> Result:
    """A sandbox or a container may hide any one of these; the others still count."""
    try:
        return look()
    except (psutil.Error, OSError, NotImplementedError, RuntimeError) as error:
        log.debug("this machine does not tell its %s: %s", what, error)
        return otherwise


def _cpu_seconds() -> dict[str, float]:
    times = psutil.cpu_times()
    # On Linux the time of guests is contained in user and nice already.
    names = {"irq": "interrupt", "softirq": "softirq", "guest": "", "guest_nice": ""}
    modes = {names.get(field, field): getattr(times, field) for field in times._fields}
    modes.pop("", None)
    return modes


def _memory() -> tuple[int, dict[str, int]]:
    seen: Any = psutil.virtual_memory()
    cached, buffers = getattr(seen, "cached", 0), getattr(seen, "buffers", 0)
    used = max(0, seen.total - seen.free - cached - buffers)
    states = {"used": used, "free": seen.free, "cached": cached, "buffers": buffers}
    return seen.total, states


def _swap() -> dict[str, int]:
    seen = psutil.swap_memory()
    return {"used": seen.used, "free": seen.free} if seen.total else {}


def _disks() -> tuple[DiskSample, ...]:
    counters = psutil.disk_io_counters(perdisk=True) or {}
    names = [name for name in sorted(counters) if not _NOT_DISKS.match(name)][:DEVICES_MAX]
    return tuple(_disk(name, counters[name]) for name in names)


def _disk(name: str, seen: Any) -> DiskSample:
    return DiskSample(name, seen.read_bytes, seen.write_bytes, seen.read_count, seen.write_count)


def _networks() -> tuple[NetworkSample, ...]:
    counters = psutil.net_io_counters(pernic=True)
    every = (_network(name, counters[name]) for name in sorted(counters))
    used = [seen for seen in every if seen.received_packets or seen.sent_packets]
    return tuple(used[:DEVICES_MAX])


def _network(name: str, seen: Any) -> NetworkSample:
    return NetworkSample(
        name,
        seen.bytes_recv,
        seen.bytes_sent,
        seen.packets_recv,
        seen.packets_sent,
        seen.errin,
        seen.errout,
        seen.dropin,
        seen.dropout,
    )


def _filesystems() -> tuple[FilesystemSample, ...]:
    seen: dict[str, FilesystemSample] = {}
    for device, mountpoint, kind in sorted(_mounts(), key=lambda mount: len(mount[1])):
        if device in seen or len(seen) >= DEVICES_MAX:
            continue  # Bind mounts show the same filesystem again; the shortest path stands for it.
        look = partial(_filesystem, device, mountpoint, kind)
        filesystem = _try(f"filesystem {mountpoint}", look, None)
        if filesystem is not None:
            seen[device] = filesystem
    return tuple(seen.values())


def _mounts() -> list[tuple[str, str, str]]:
    mounts = [
        (mount.device, mount.mountpoint, mount.fstype)
        for mount in psutil.disk_partitions(all=False)
        if os.path.isdir(mount.mountpoint)  # Containers mount single files.
    ]
    if not any(mountpoint == "/" for _, mountpoint, _ in mounts):
        mounts.append(("rootfs", "/", "rootfs"))  # An overlay, which psutil takes for no device.
    return mounts


def _filesystem(device: str, mountpoint: str, kind: str) -> FilesystemSample | None:
    space = os.statvfs(mountpoint)
    if not space.f_blocks:
        return None
    used_bytes = (space.f_blocks - space.f_bfree) * space.f_frsize
    return FilesystemSample(device, mountpoint, kind, used_bytes, space.f_bavail * space.f_frsize)
