"""Entering the namespaces of a sandbox from outside, as the user who owns them and never as root.

The owner of a user namespace may do everything in it (user_namespaces(7)), so no privilege of the
host is needed. bubblewrap may have put the payload into a second user namespace inside the first;
what owns the other namespaces is asked of the kernel (ioctl_ns(2)). Only the standard library.
"""

import fcntl
import os
from typing import Any

from edge.vm.payload import drop_to

NS_GET_USERNS = 0xB701
OTHERS = ("mnt", "uts", "ipc", "net", "cgroup", "pid")
PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 4, 24, 38
CAPABILITIES_MAX = 64


def enter(pid: int, uid: int | None, library: Any) -> None:
    """Become the user and enter the namespaces of a process; the caller's next child is in its pid
    namespace too. Raises OSError.

    `library` is the C library by ctypes with errno kept. Nobody inside may look into us: what a
    process holds that came from outside would else be the way out.
    """
    inner = _namespace(pid, "user")
    others = [_namespace(pid, name) for name in OTHERS if _is_another(pid, name)]
    owner = fcntl.ioctl(_namespace(pid, "pid"), NS_GET_USERNS)
    drop_to(uid)
    library.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    _set(library, owner)
    for namespace in others:
        _set(library, namespace)
    if os.fstat(owner).st_ino != os.fstat(inner).st_ino:
        _set(library, inner)
    library.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)  # Changing what we may do has set it anew.


def renounce(library: Any) -> None:
    """No program that is started from here gets more rights than it is born with."""
    for capability in range(CAPABILITIES_MAX):
        library.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    if library.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError("no_new_privs cannot be set")


def _namespace(pid: int, name: str) -> int:
    return os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)


def _is_another(pid: int, name: str) -> bool:
    """Entering the one we are in would ask for rights that we do not have."""
    try:
        return os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}")
    except FileNotFoundError:  # A kernel without this kind.
        return False


def _set(library: Any, namespace: int) -> None:
    import ctypes  # The slowest import of a shim, which only its children pay for.

    if library.setns(namespace, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"a namespace cannot be entered: {os.strerror(number)}")
