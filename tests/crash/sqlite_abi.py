"""The C interfaces of SQLite that a shim needs: two structures, and the types of their functions."""

import ctypes
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_int64, c_void_p
from pathlib import Path

SQLITE_OK = 0
OPEN_DIRECTORY_NAME = b"openDirectory"  # SQLite opens a folder for one reason only: to sync it.


class IoMethods(ctypes.Structure):
    """sqlite3_io_methods (sqlite.org/c3ref/io_methods.html)."""

    _fields_ = (
        ("version", c_int),
        *(
            (name, c_void_p)
            for name in (
                *("close", "read", "write", "truncate", "sync", "file_size"),
                *("lock", "unlock", "check_reserved_lock", "file_control", "sector_size"),
                *("device_characteristics", "shm_map", "shm_lock", "shm_barrier", "shm_unmap"),
                *("fetch", "unfetch"),
            )
        ),
    )
    close: int
    write: int
    truncate: int
    sync: int


class Vfs(ctypes.Structure):
    """sqlite3_vfs, version 3."""

    _fields_ = (
        ("version", c_int),
        ("file_struct_bytes", c_int),
        ("path_bytes_max", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("app_data", c_void_p),
        *(
            (name, c_void_p)
            for name in (
                *("open", "delete", "access", "full_pathname", "dl_open", "dl_error", "dl_sym"),
                *("dl_close", "randomness", "sleep", "current_time", "get_last_error"),
                *("current_time_int64", "set_system_call", "get_system_call", "next_system_call"),
            )
        ),
    )
    version: int
    name: bytes
    open: int
    delete: int
    set_system_call: int
    get_system_call: int


CLOSE = CFUNCTYPE(c_int, c_void_p)
WRITE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
TRUNCATE = CFUNCTYPE(c_int, c_void_p, c_int64)
SYNC = CFUNCTYPE(c_int, c_void_p, c_int)
OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, POINTER(c_int))
DELETE = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
OPEN_DIRECTORY = CFUNCTYPE(c_int, c_char_p, POINTER(c_int))
SET_SYSTEM_CALL = CFUNCTYPE(c_int, c_void_p, c_char_p, c_void_p)
GET_SYSTEM_CALL = CFUNCTYPE(c_void_p, c_void_p, c_char_p)


def library_path() -> Path | None:
    """The shared library that `sqlite3` uses; None when SQLite is built into Python itself."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    paths = {line.split(maxsplit=5)[5] for line in maps if "libsqlite3" in line}
    return Path(paths.pop()) if paths else None
