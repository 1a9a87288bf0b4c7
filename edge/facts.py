"""Who and what this machine is, and how busy it is, for heartbeats."""

import os
import platform
import socket
from typing import Any

import psutil

from shared import __version__


def host_facts() -> dict[str, Any]:
    """What changes rarely. Memory in bytes, boot time in Unix seconds."""
    return {
        "hostname": socket.gethostname(),
        "os": _os_name(),
        "kernel": platform.release(),
        "arch": platform.machine(),
        "cpus": psutil.cpu_count() or 1,
        "memory_bytes": psutil.virtual_memory().total,
        "boot_time": int(psutil.boot_time()),
        "python": platform.python_version(),
        "version": __version__,
    }


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def host_load() -> dict[str, Any]:
    """What changes all the time; CPU is measured since the call before. Ratios are 0 to 1."""
    load1, load5, load15 = os.getloadavg()
    return {
        "cpu_ratio": round(psutil.cpu_percent() / 100, 4),
        "memory_ratio": round(psutil.virtual_memory().percent / 100, 4),
        "load1": round(load1, 2),
        "load5": round(load5, 2),
        "load15": round(load15, 2),
    }
