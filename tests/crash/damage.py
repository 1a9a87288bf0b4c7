"""Damage as disks, file systems and people do it: a bit that flips, a file cut short, a file gone."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random


@dataclass(frozen=True, slots=True)
class Flip:
    """One bit of a file is another."""

    name: str
    offset: int
    bit: int

    def apply(self, folder: Path) -> None:
        """Do it."""
        with (folder / self.name).open("r+b") as file:
            file.seek(self.offset)
            (byte,) = file.read(1)
            file.seek(self.offset)
            file.write(bytes([byte ^ 1 << self.bit]))


@dataclass(frozen=True, slots=True)
class Blank:
    """A stretch of a file reads as zeros, as a sector that was never written does."""

    name: str
    offset: int
    size_bytes: int

    def apply(self, folder: Path) -> None:
        """Do it."""
        with (folder / self.name).open("r+b") as file:
            file.seek(self.offset)
            file.write(bytes(self.size_bytes))


@dataclass(frozen=True, slots=True)
class Cut:
    """A file ends too early."""

    name: str
    size_bytes: int

    def apply(self, folder: Path) -> None:
        """Do it."""
        with (folder / self.name).open("r+b") as file:
            file.truncate(self.size_bytes)


@dataclass(frozen=True, slots=True)
class Removal:
    """A file is gone."""

    name: str

    def apply(self, folder: Path) -> None:
        """Do it."""
        (folder / self.name).unlink()


Damage = Flip | Blank | Cut | Removal

SECTOR_BYTES = 512


def damages(folder: Path, rng: Random, each: int) -> Iterator[Damage]:
    """For every file below a folder: `each` flipped bits, cuts and blanks, and its removal."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield from _to_file(str(path.relative_to(folder)), path.stat().st_size, rng, each)


def _to_file(name: str, size_bytes: int, rng: Random, each: int) -> Iterator[Damage]:
    yield Removal(name)
    if size_bytes:
        yield Cut(name, 0)
        for _ in range(each):
            yield Flip(name, rng.randrange(size_bytes), rng.randrange(8))
            yield Cut(name, rng.randrange(size_bytes))
            start = rng.randrange(0, size_bytes, SECTOR_BYTES)
            yield Blank(name, start, min(SECTOR_BYTES, size_bytes - start))
        # The first bytes say what a file is: damage there hurts most.
        yield Flip(name, rng.randrange(min(100, size_bytes)), rng.randrange(8))
