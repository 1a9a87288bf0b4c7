"""Unix sockets in deep folders: a socket's address holds 107 bytes, a path may be longer."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

ADDRESS_BYTES_MAX = 107  # sockaddr_un on Linux, without the closing zero byte (unix(7)).


@contextlib.contextmanager
def short_path(path: Path) -> Iterator[str]:
    """An address for the socket at `path` that is short enough while the context lasts.

    A long one leads through the open folder, by Linux's /proc. Raises OSError when there is no folder.
    """
    if len(os.fsencode(path)) <= ADDRESS_BYTES_MAX:
        yield str(path)
        return
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)
