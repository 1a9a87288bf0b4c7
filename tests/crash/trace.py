"""What a run did to its files, in order: the trace that power cuts are derived from.

A name and what it stands for are two things: data belongs to a file (a number, as an inode is), names
come and go. All names are relative to the recorded folder, which itself is "".
"""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Create:
    """A new, empty file under a new name."""

    file: int
    name: str


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes handed to the operating system."""

    file: int
    offset: int
    data: bytes

    def __repr__(self) -> str:
        return f"Write(file={self.file}, {self.offset}..{self.offset + len(self.data)})"


@dataclass(frozen=True, slots=True)
class Truncate:
    """A file made shorter, or longer with zeros."""

    file: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Sync:
    """fsync or fdatasync of a file has returned."""

    file: int


@dataclass(frozen=True, slots=True)
class SyncFolder:
    """fsync of a folder has returned."""

    name: str


@dataclass(frozen=True, slots=True)
class Rename:
    """A name that stands in the place of another from now on."""

    name: str
    target: str


@dataclass(frozen=True, slots=True)
class Unlink:
    """A name that is gone."""

    name: str


@dataclass(frozen=True, slots=True)
class MakeFolder:
    """A new folder."""

    name: str


@dataclass(frozen=True, slots=True)
class RemoveFolder:
    """An empty folder that is gone."""

    name: str


Naming = Create | Rename | Unlink | MakeFolder | RemoveFolder
"""What changes a folder."""

Operation = Naming | Write | Truncate | Sync | SyncFolder


@dataclass(frozen=True, slots=True)
class Beginning:
    """What was in the folder, safe on the disk, before the recording began."""

    files: dict[int, bytes] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    folders: frozenset[str] = frozenset()


@dataclass(slots=True)
class Trace:
    """All operations of a run; `marks` are the lengths of the trace at which something was promised."""

    beginning: Beginning
    operations: list[Operation] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.operations)

    def mark(self) -> int:
        """Note that from here on a power cut has more to keep; returns the length so far."""
        self.marks.append(len(self.operations))
        return self.marks[-1]

    def marks_before(self, length: int) -> int:
        """How many promises had been made when the trace was this long."""
        return sum(mark <= length for mark in self.marks)


def beginning_of(folder: Path) -> Beginning:
    """The folder as it is now."""
    inside = sorted(folder.rglob("*"))
    paths = [path for path in inside if path.is_file()]
    return Beginning(
        {number: path.read_bytes() for number, path in enumerate(paths)},
        {str(path.relative_to(folder)): number for number, path in enumerate(paths)},
        frozenset(str(path.relative_to(folder)) for path in inside if path.is_dir()),
    )
