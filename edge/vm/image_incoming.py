"""A file on its way into the store: bounded, counted, hashed, and durable before it has a name.
Blocking."""

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from shared.errors import RpcError

READ_BYTES = 1024 * 1024
SYNC_BYTES = 64 * 1024 * 1024
"""So often what was written is pushed to the disk: the last push, for which a leaving agent waits,
is then a short one, and a large image does not fill the machine's memory with unwritten pages."""


class Incoming:
    """Bytes from somewhere, in their order. `admit` is asked before each piece is written, with the
    size by then and the bytes that are new."""

    def __init__(self, path: Path, admit: Callable[[int, int], None]) -> None:
        self._admit = admit
        self._hash = hashlib.sha256()
        self._descriptor = -1
        self.path = path
        self.size_bytes = 0

    def open(self) -> None:
        """Make the file; raises RpcError driver_error or insufficient."""
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._descriptor = os.open(self.path, flags, 0o600)
        except OSError as error:
            raise unwritable(error) from error

    def write(self, data: bytes) -> None:
        """Append a piece; raises RpcError insufficient or driver_error."""
        self._admit(self.size_bytes + len(data), len(data))
        self._hash.update(data)
        try:
            if data.count(0) == len(data):
                os.lseek(self._descriptor, len(data), os.SEEK_CUR)  # A hole takes no room.
            else:
                write_all(self._descriptor, data)
            sync_sometimes(self._descriptor, self.size_bytes, len(data))
        except OSError as error:
            raise unwritable(error) from error
        self.size_bytes += len(data)

    def finish(self) -> str:
        """Make it durable and return its SHA-256; raises RpcError insufficient or driver_error."""
        try:
            os.ftruncate(self._descriptor, self.size_bytes)
            os.fsync(self._descriptor)
        except OSError as error:
            raise unwritable(error) from error
        self.close()
        return self._hash.hexdigest()

    def close(self) -> None:
        """Let go of the file, whole or not."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write at the descriptor's position; raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_sometimes(descriptor: int, before: int, more: int) -> None:
    """Push to the disk what was written, where a multiple of SYNC_BYTES is passed; raises
    OSError."""
    if before // SYNC_BYTES != (before + more) // SYNC_BYTES:
        os.fdatasync(descriptor)


def free_bytes(folder: Path) -> int:
    """What somebody without privileges may still write on that disk."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def unwritable(error: OSError) -> RpcError:
    """In our words: a full disk has a name of its own."""
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    kind = "insufficient" if is_full else "driver_error"
    return RpcError(kind, f"the folder of images cannot be written: {error.strerror or error}")
