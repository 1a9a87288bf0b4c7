"""What SQLite does to its files, told to a witness: a shim around SQLite's own "unix" VFS.

The shim is a copy of the default sqlite3_vfs (sqlite.org/c3ref/vfs.html) in which opening and deleting
are ours; the methods of a file that it opens are a copy in which writing, truncating, syncing and
closing are ours. All of them call the original. It is registered with the very library that the
`sqlite3` module uses, from Python alone. Shared memory is not told of: SQLite makes it anew.
"""

import ctypes
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from ctypes import POINTER, c_int, c_void_p
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from tests.crash.sqlite_abi import (
    CLOSE,
    DELETE,
    GET_SYSTEM_CALL,
    OPEN,
    OPEN_DIRECTORY,
    OPEN_DIRECTORY_NAME,
    SET_SYSTEM_CALL,
    SQLITE_OK,
    SYNC,
    TRUNCATE,
    WRITE,
    IoMethods,
    Vfs,
    library_path,
)


class Witness(Protocol):
    """Who is told. What `turn` guards happens one after the other."""

    @property
    def turn(self) -> AbstractContextManager[Any]: ...
    def name_of(self, path: str) -> str | None: ...
    def opened(self, name: str, *, is_new: bool) -> int: ...
    def wrote(self, file: int, offset: int, data: bytes) -> None: ...
    def truncated(self, file: int, size_bytes: int) -> None: ...
    def synced(self, file: int) -> None: ...
    def folder_synced(self, name: str) -> None: ...
    def unlinked(self, name: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Original:
    """The functions of one kind of file, before ours; `methods` is where their table lies."""

    methods: int
    close: Callable[..., int]
    write: Callable[..., int]
    truncate: Callable[..., int]
    sync: Callable[..., int]


@dataclass(frozen=True, slots=True)
class _Handle:
    """An open file that somebody is told about, by the address of its sqlite3_file."""

    witness: Witness
    file: int
    original: _Original


class Shim:
    """The VFS. Connections that outlive a recording still use it, as an exact copy of SQLite's own."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        library.sqlite3_vfs_find.restype = POINTER(Vfs)
        library.sqlite3_vfs_register.argtypes = [POINTER(Vfs), c_int]
        self._unix = library.sqlite3_vfs_find(None)
        self._vfs = self._copy_that_stays()
        self._handles: dict[int, _Handle] = {}
        self._methods: dict[int, tuple[IoMethods, _Original]] = {}
        self._witness: Witness | None = None
        self._folders_synced = threading.local()
        self._original = self._vfs.open, self._vfs.delete
        self._open, self._delete = OPEN(self._vfs.open), DELETE(self._vfs.delete)
        self._ours: dict[str, Any] = {
            "open": OPEN(self._on_open),
            "delete": DELETE(self._on_delete),
            "close": CLOSE(self._on_close),
            "write": WRITE(self._on_write),
            "truncate": TRUNCATE(self._on_truncate),
            "sync": SYNC(self._on_sync),
            "open_directory": OPEN_DIRECTORY(self._on_open_directory),
        }
        get_system_call = GET_SYSTEM_CALL(self._vfs.get_system_call)
        address = get_system_call(ctypes.byref(self._vfs), OPEN_DIRECTORY_NAME)
        self._open_directory = OPEN_DIRECTORY(address)

    def _copy_that_stays(self) -> Vfs:
        """SQLite keeps pointers to it, even while the interpreter goes down: it is never freed."""
        allocate = self._library.sqlite3_malloc
        allocate.restype = c_void_p
        address = allocate(ctypes.sizeof(Vfs))
        ctypes.memmove(address, self._unix, ctypes.sizeof(Vfs))
        vfs = Vfs.from_address(address)
        vfs.name = b"unix-told"
        return vfs

    def _address(self, name: str) -> int:
        address = ctypes.cast(self._ours[name], c_void_p).value
        assert address is not None
        return address

    @contextmanager
    def telling(self, witness: Witness) -> Iterator[None]:
        """Tell a witness of the files below its folder; connections end before this does."""
        assert self._witness is None, "one recording at a time"
        self._witness = witness
        self._put_ours_in()
        try:
            yield
        finally:
            self._take_ours_out()
            self._witness = None

    def _put_ours_in(self) -> None:
        self._vfs.open, self._vfs.delete = self._address("open"), self._address("delete")
        self._set_open_directory(self._address("open_directory"))
        self._library.sqlite3_vfs_register(ctypes.byref(self._vfs), 1)

    def _take_ours_out(self) -> None:
        """What a failed test leaves open must not call into an interpreter that is gone."""
        self._library.sqlite3_vfs_register(self._unix, 1)
        self._library.sqlite3_vfs_unregister(ctypes.byref(self._vfs))
        self._set_open_directory(None)
        self._vfs.open, self._vfs.delete = self._original
        while self._handles:
            file, handle = self._handles.popitem()
            c_void_p.from_address(file).value = handle.original.methods

    def _set_open_directory(self, address: int | None) -> None:
        set_system_call = SET_SYSTEM_CALL(self._vfs.set_system_call)
        set_system_call(ctypes.byref(self._vfs), OPEN_DIRECTORY_NAME, address)

    def _on_open(self, vfs: int, path: int | None, file: int, flags: int, out: Any) -> int:
        witness = self._witness
        text = os.fsdecode(ctypes.string_at(path)) if path else ""
        name = witness.name_of(text) if witness and text else None
        if witness is None or name is None:
            return int(self._open(vfs, path, file, flags, out))
        with witness.turn:
            is_new = not os.path.exists(text)
            outcome = int(self._open(vfs, path, file, flags, out))
            if outcome == SQLITE_OK:
                number = witness.opened(name, is_new=is_new)
                self._handles[file] = _Handle(witness, number, self._swap_methods(file))
        return outcome

    def _swap_methods(self, file: int) -> _Original:
        place = c_void_p.from_address(file)  # pMethods is the first field of a sqlite3_file.
        address = place.value
        assert address is not None
        if address not in self._methods:
            self._methods[address] = self._ours_over(address)
        methods, original = self._methods[address]
        place.value = ctypes.addressof(methods)
        return original

    def _ours_over(self, address: int) -> tuple[IoMethods, _Original]:
        theirs = IoMethods.from_address(address)
        original = _Original(
            address,
            CLOSE(theirs.close),
            WRITE(theirs.write),
            TRUNCATE(theirs.truncate),
            SYNC(theirs.sync),
        )
        methods = IoMethods.from_buffer_copy(theirs)
        for name in ("close", "write", "truncate", "sync"):
            setattr(methods, name, self._address(name))
        return methods, original

    def _on_write(self, file: int, data: int, size_bytes: int, offset: int) -> int:
        handle = self._handles[file]
        with handle.witness.turn:
            outcome = handle.original.write(file, data, size_bytes, offset)
            if outcome == SQLITE_OK:
                handle.witness.wrote(handle.file, offset, ctypes.string_at(data, size_bytes))
        return outcome

    def _on_truncate(self, file: int, size_bytes: int) -> int:
        handle = self._handles[file]
        with handle.witness.turn:
            outcome = handle.original.truncate(file, size_bytes)
            if outcome == SQLITE_OK:
                handle.witness.truncated(handle.file, size_bytes)
        return outcome

    def _on_sync(self, file: int, flags: int) -> int:
        handle = self._handles[file]
        with handle.witness.turn, self._noting_folders() as folders:
            outcome = handle.original.sync(file, flags)
            if outcome == SQLITE_OK:
                handle.witness.synced(handle.file)
                self._tell_of(folders, handle.witness)
        return outcome

    def _on_close(self, file: int) -> int:
        handle = self._handles.pop(file)
        return handle.original.close(file)

    def _on_delete(self, vfs: int, path: bytes, sync_folder: int) -> int:
        witness = self._witness
        name = witness.name_of(os.fsdecode(path)) if witness else None
        if witness is None or name is None:
            return int(self._delete(vfs, path, sync_folder))
        with witness.turn, self._noting_folders() as folders:
            outcome = int(self._delete(vfs, path, sync_folder))
            if outcome == SQLITE_OK:
                witness.unlinked(name)
                self._tell_of(folders, witness)
        return outcome

    @contextmanager
    def _noting_folders(self) -> Iterator[list[str]]:
        folders: list[str] = []
        self._folders_synced.paths = folders
        yield folders
        self._folders_synced.paths = []

    def _on_open_directory(self, path: bytes, out: Any) -> int:
        outcome = int(self._open_directory(path, out))
        if outcome == SQLITE_OK:  # What is handed in is the path of a file in that folder.
            self._folders_synced.paths.append(os.path.dirname(os.fsdecode(path)))
        return outcome

    @staticmethod
    def _tell_of(folders: list[str], witness: Witness) -> None:
        for folder in folders:
            name = witness.name_of(folder)
            if name is not None:
                witness.folder_synced(name)


@cache
def shim() -> Shim | None:
    """The one shim of this process; None where SQLite is not a library of its own."""
    sqlite3.connect(":memory:").close()  # The library sets itself up with its first connection.
    path = library_path()
    return Shim(ctypes.CDLL(str(path))) if path else None
