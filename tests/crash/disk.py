"""What a disk may hold after the power is cut: a model of a file system, without any file.

The model forgets what was not synced, as ext4, XFS and the like may: any of the writes to a file since
its last sync, in part where the last one was torn, and the last changes to folders. Changes to folders
reach the disk in order (a journal sees to that), so that what survives of them is a beginning.
See "All File Systems Are Not Created Equal" (Pillai and others, OSDI 2014).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from os.path import dirname
from random import Random

from tests.crash.trace import (
    Create,
    MakeFolder,
    Naming,
    Operation,
    RemoveFolder,
    Rename,
    Sync,
    SyncFolder,
    Trace,
    Truncate,
    Unlink,
    Write,
)

SECTOR_BYTES = 512


@dataclass(slots=True)
class Content:
    """The bytes of a file; beyond `data` there are zeros."""

    data: bytearray = field(default_factory=bytearray)
    size_bytes: int = 0

    def copy(self) -> "Content":
        """The same bytes, to be changed on their own."""
        return Content(bytearray(self.data), self.size_bytes)

    def apply(self, change: Write | Truncate) -> None:
        """Do to these bytes what was done to the file."""
        if isinstance(change, Truncate):
            del self.data[change.size_bytes :]
            self.size_bytes = change.size_bytes
            return
        missing = change.offset - len(self.data)
        if missing > 0:
            self.data.extend(bytes(missing))
        end = change.offset + len(change.data)
        self.data[change.offset : end] = change.data
        self.size_bytes = max(self.size_bytes, end)


@dataclass(frozen=True, slots=True)
class State:
    """What a person finds after the power cut."""

    files: dict[str, Content]
    folders: frozenset[str]

    def digest(self) -> int:
        """Tells states apart within one process."""
        files = sorted(
            (name, content.size_bytes, bytes(content.data)) for name, content in self.files.items()
        )
        return hash((tuple(files), self.folders))

    def __str__(self) -> str:
        sizes = (f"{name} ({self.files[name].size_bytes})" for name in sorted(self.files))
        return ", ".join([*sorted(f"{folder}/" for folder in self.folders), *sizes])


@dataclass(slots=True)
class _File:
    """One file: as it is on the disk for sure, as programs see it, and what lies between."""

    durable: Content = field(default_factory=Content)
    latest: Content = field(default_factory=Content)
    unsynced: list[Write | Truncate] = field(default_factory=list)

    def change(self, change: Write | Truncate) -> None:
        self.latest.apply(change)
        self.unsynced.append(change)

    def sync(self) -> None:
        if self.unsynced:
            self.durable = self.latest.copy()
            self.unsynced = []


@dataclass(slots=True)
class _Folders:
    """The names, and which file each stands for."""

    names: dict[str, int]
    folders: set[str]

    def apply(self, change: Naming) -> None:
        match change:
            case Create(file, name):
                self.names[name] = file
            case Unlink(name):
                self.names.pop(name, None)
            case Rename(name, target):
                self._rename(name, target)
            case MakeFolder(name):
                self.folders.add(name)
            case RemoveFolder(name):
                self.folders.discard(name)

    def _rename(self, name: str, target: str) -> None:
        for old in [old for old in self.names if old == name or old.startswith(f"{name}/")]:
            self.names[target + old[len(name) :]] = self.names.pop(old)
        for old in [old for old in self.folders if old == name or old.startswith(f"{name}/")]:
            self.folders.remove(old)
            self.folders.add(target + old[len(name) :])


Survivors = Callable[[Sequence[Write | Truncate]], Sequence[Write | Truncate]]
"""Chooses which of the unsynced changes to one file reached the disk."""


class Disk:
    """The disk as a trace goes on. `strict` is a file system on which only the sync of a folder keeps
    its names; otherwise syncing a file keeps the names that it got, and all changes before those."""

    def __init__(self, trace: Trace, *, strict: bool = False) -> None:
        beginning = trace.beginning
        self._strict = strict
        self._files: dict[int, _File] = {}
        for number, data in beginning.files.items():
            content = Content(bytearray(data), len(data))
            self._files[number] = _File(content, content.copy())
        self._durable = _Folders(dict(beginning.names), set(beginning.folders))
        self._unsynced: list[Naming] = []

    def apply(self, operation: Operation) -> None:
        """The next operation of the trace is done."""
        match operation:
            case Write() | Truncate():
                self._files[operation.file].change(operation)
            case Sync(file):
                self._files[file].sync()
                if not self._strict:
                    self._keep_up_to(lambda change: self._is_of(change, file))
            case SyncFolder(name):
                self._sync_folder(name)
            case Create(file, _):
                self._files[file] = _File()
                self._unsynced.append(operation)
            case _:
                self._unsynced.append(operation)

    def _is_of(self, change: Naming, file: int) -> bool:
        if isinstance(change, Rename):
            return self._names_after(len(self._unsynced)).names.get(change.target) == file
        return isinstance(change, Create) and change.file == file

    def _keep_up_to(self, wanted: Callable[[Naming], bool]) -> None:
        last = max((at for at, each in enumerate(self._unsynced) if wanted(each)), default=-1)
        for change in self._unsynced[: last + 1]:
            self._durable.apply(change)
        del self._unsynced[: last + 1]

    def _sync_folder(self, folder: str) -> None:
        def is_inside(change: Naming) -> bool:
            targets = [change.target] if isinstance(change, Rename) else []
            return folder in [dirname(name) for name in (change.name, *targets)]

        if not self._strict:
            self._keep_up_to(lambda each: is_inside(each) or each == MakeFolder(folder))
            return
        for change in [each for each in self._unsynced if is_inside(each)]:
            self._durable.apply(change)
            self._unsynced.remove(change)

    def _names_after(self, changes: int) -> _Folders:
        names = _Folders(dict(self._durable.names), set(self._durable.folders))
        for change in self._unsynced[:changes]:
            names.apply(change)
        return names

    def _state(self, names_kept: int, survivors: Survivors) -> State:
        names = self._names_after(names_kept)
        files = {
            name: self._content(self._files[file], survivors)
            for name, file in names.names.items()
            if _is_reachable(name, names.folders)
        }
        return State(files, frozenset(f for f in names.folders if _is_reachable(f, names.folders)))

    @staticmethod
    def _content(file: _File, survivors: Survivors) -> Content:
        kept = survivors(file.unsynced) if file.unsynced else file.unsynced
        if kept is file.unsynced:
            return file.latest.copy()
        content = file.durable.copy()
        for change in kept:
            content.apply(change)
        return content

    def after_power_cut(self, rng: Random, draws: int) -> Iterator[tuple[str, State]]:
        """Ways that it may go, by name: the extremes, and some that are drawn."""
        changes = len(self._unsynced)
        yield "all kept", self._state(changes, _all_of)
        if changes or any(file.unsynced for file in self._files.values()):
            yield "nothing unsynced kept", self._state(0, _none_of)
            yield "names kept, data lost", self._state(changes, _none_of)
            yield "data kept, names lost", self._state(0, _all_of)
            yield "last write torn", self._state(changes, lambda each: _with_last_torn(each, rng))
            for draw in range(draws):
                luck = rng.choice((0.2, 0.5, 0.9))
                kept = rng.randint(0, changes)
                state = self._state(kept, lambda each, luck=luck: _some_of(each, rng, luck))  # type: ignore[misc]
                yield f"draw {draw}: {kept} of {changes} names, writes by chance {luck}", state


def _is_reachable(name: str, folders: set[str]) -> bool:
    parent = dirname(name)
    return not parent or (parent in folders and _is_reachable(parent, folders))


def _all_of(changes: Sequence[Write | Truncate]) -> Sequence[Write | Truncate]:
    return changes


def _none_of(_: Sequence[Write | Truncate]) -> Sequence[Write | Truncate]:
    return ()


def _with_last_torn(changes: Sequence[Write | Truncate], rng: Random) -> Sequence[Write | Truncate]:
    return [*changes[:-1], *_torn(changes[-1], rng)]


def _some_of(
    changes: Sequence[Write | Truncate], rng: Random, luck: float
) -> Sequence[Write | Truncate]:
    kept = [change for change in changes if rng.random() < luck]
    return _with_last_torn(kept, rng) if kept else kept


def _torn(change: Write | Truncate, rng: Random) -> Iterator[Write | Truncate]:
    """Some of the sectors of a write; a disk writes a sector whole or not at all."""
    if isinstance(change, Truncate):
        yield change
        return
    end = change.offset + len(change.data)
    start = change.offset
    while start < end:
        stop = min(end, (start // SECTOR_BYTES + 1) * SECTOR_BYTES)
        if rng.random() < 0.5:
            part = change.data[start - change.offset : stop - change.offset]
            yield Write(change.file, start, part)
        start = stop
