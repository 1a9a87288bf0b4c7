"""Keeps a process from holding memory that was used for a moment and is free since."""

import ctypes
import sys

MIB = 1024 * 1024
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""The numbers of these options in <malloc.h> of the GNU C library; see mallopt(3)."""


def keep_large_apart() -> None:
    """Take blocks of a megabyte and more from the system, to which each goes back when it is free.

    By itself the allocator stops that after the first ones, and tables that grew then leave holes
    between pieces that live on: 10 to 40 MB where 100,000 nodes come. Does nothing where it cannot;
    call it once, early.
    """
    if _library is not None:
        _library.mallopt(M_MMAP_THRESHOLD, MIB)
        _library.mallopt(M_TRIM_THRESHOLD, 8 * MIB)


def give_back() -> None:
    """Return what the allocator of the C library keeps for later; does nothing where it cannot.

    That is memory between pieces that live on. Takes some milliseconds; the lock of Python is free
    meanwhile.
    """
    if _library is not None:
        _library.malloc_trim(0)


def _find_library() -> ctypes.CDLL | None:
    """The GNU C library, which alone has malloc_trim(3) and these options of mallopt(3)."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "malloc_trim") else None


_library = _find_library()
