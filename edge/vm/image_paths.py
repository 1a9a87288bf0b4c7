"""Opens a file below a folder, name by name: no symlink leads out, also not one that is put there
meanwhile. What `openat2` does with RESOLVE_BENEATH, which Python 3.11 cannot call."""

import errno
import os
import stat
from collections import deque
from collections.abc import Sequence

from shared.errors import Refused

LINKS_MAX = 40  # As many as Linux itself follows.
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Opening a pipe must not wait for its other end, and a terminal must not become ours.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def open_below(folder: str, names: Sequence[str]) -> int:
    """A descriptor of the regular file; raises Refused for what leads out or is no file, OSError
    for what cannot be opened."""
    held = [os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
    try:
        return _walk(held, deque(names))
    finally:
        for descriptor in held:
            os.close(descriptor)


def _walk(held: list[int], names: deque[str]) -> int:
    links = 0
    while names:
        name = names.popleft()
        if name in ("", "."):
            continue
        if name == "..":
            _step_up(held)
            continue
        target = _link_target(held[-1], name)
        if target is not None:
            links += 1
            if links > LINKS_MAX:
                raise Refused("the path has too many symbolic links")
            names.extendleft(reversed(_names_of(name, target)))
            continue
        if not any(left not in ("", ".") for left in names):
            return _open_file(held[-1], name)
        held.append(os.open(name, _FOLDER, dir_fd=held[-1]))
    raise Refused("the path is a folder")


def _step_up(held: list[int]) -> None:
    if len(held) == 1:
        raise Refused("the path leads out of the folder that is allowed")
    os.close(held.pop())


def _link_target(folder: int, name: str) -> str | None:
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return None  # No symbolic link.
        raise


def _names_of(name: str, target: str) -> list[str]:
    if target.startswith("/"):
        raise Refused(f"the symbolic link {name!r} leads out of the folder that is allowed")
    return target.split("/")


def _open_file(folder: int, name: str) -> int:
    descriptor = os.open(name, _FILE, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Refused("the path is no regular file")
    return descriptor
