"""What the rules of the file tail find now: files by wildcards, each once, the newest first.

Wildcards are those of the shell: `*`, `?`, `[a-z]`, and `**` for folders at any depth.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from edge.receive.place import ROTATED
from edge.receive.tail_rule import TailRule

DEPTH_MAX = 32
LOOKS_MAX = 200_000
"""So many names are looked at in one search: `/**` must not keep the disk busy for ever."""

_WILD = re.compile(r"[*?\[]")
_PACKED = (".gz", ".xz", ".bz2", ".zst", ".zip", ".lz4")


@dataclass(frozen=True, slots=True)
class Found:
    """A file that a rule names. `identity` is (device, inode), None while it does not exist."""

    path: Path
    rule: TailRule
    identity: tuple[int, int] | None = None
    modified_ns: int = 0


@dataclass(slots=True)
class _Budget:
    """How many more names this search may look at."""

    looks: int
    seen: set[Path] = field(default_factory=set)


def find_files(rules: Iterable[TailRule]) -> list[Found]:
    """What the rules name now, in the order of worth: named files first, then the newest.

    A named file is in it whether it exists or not; of several names of one file the first is. The
    older generations of a file that is found (`app.log.1`) are left out: they are read with it.
    Blocks while it looks into folders; what may not be looked into is passed over.
    """
    budget = _Budget(LOOKS_MAX)
    found = [file for rule in rules for file in _find(rule, budget)]
    named = {file.path for file in found}
    alone = [file for file in found if not _is_older(file, named)]
    alone.sort(key=lambda file: (is_wild(file.rule.pattern), -file.modified_ns, file.path))
    seen: set[tuple[int, int]] = set()
    return [file for file in alone if _is_new(file, seen)]


def is_wild(pattern: str) -> bool:
    """Whether a pattern has wildcards."""
    return _WILD.search(pattern) is not None


def _is_new(file: Found, seen: set[tuple[int, int]]) -> bool:
    if file.identity is None:
        return True
    if file.identity in seen:
        return False
    seen.add(file.identity)
    return True


def _is_older(file: Found, named: set[Path]) -> bool:
    if not is_wild(file.rule.pattern):
        return False
    name = file.path.name
    if name.endswith(_PACKED):
        return True  # No lines in there.
    starts = (place for place, mark in enumerate(name) if mark in "._-" and place)
    return any(
        ROTATED.match(name[place:]) and file.path.with_name(name[:place]) in named
        for place in starts
    )


def _find(rule: TailRule, budget: _Budget) -> Iterator[Found]:
    pattern = os.path.abspath(rule.pattern)
    for path in _paths(pattern, rule, budget):
        if path in budget.seen:
            continue
        budget.seen.add(path)
        found = _look(path, rule)
        if found is not None:
            yield found


def _paths(pattern: str, rule: TailRule, budget: _Budget) -> Iterator[Path]:
    parts = pattern.strip("/").split("/")
    if not is_wild(pattern):
        yield Path(pattern)
        return
    for path in _walk(Path("/"), parts, budget, 0):
        if not _is_excluded(path, rule.exclude):
            yield path


def _look(path: Path, rule: TailRule) -> Found | None:
    try:
        seen = path.stat()
    except OSError:
        return None if is_wild(rule.pattern) else Found(path, rule)
    if not stat.S_ISREG(seen.st_mode):
        # A named one is waited for, and said to be no file by whoever follows it.
        return None if is_wild(rule.pattern) else Found(path, rule)
    return Found(path, rule, (seen.st_dev, seen.st_ino), seen.st_mtime_ns)


def _walk(folder: Path, parts: Sequence[str], budget: _Budget, depth: int) -> Iterator[Path]:
    part, rest = parts[0], parts[1:]
    if part == "**":
        yield from _walk_any_depth(folder, rest or ["*"], budget, depth)
    elif not is_wild(part):
        yield from _walk(folder / part, rest, budget, depth) if rest else [folder / part]
    else:
        for entry in _entries(folder, budget):
            if not _fits(entry.name, part):
                continue
            if not rest:
                yield folder / entry.name
            elif _is_folder(entry, follow_symlinks=True):
                yield from _walk(folder / entry.name, rest, budget, depth)


def _walk_any_depth(
    folder: Path, rest: Sequence[str], budget: _Budget, depth: int
) -> Iterator[Path]:
    yield from _walk(folder, rest, budget, depth)
    if depth >= DEPTH_MAX:
        return
    for entry in _entries(folder, budget):
        # Links to folders may lead back up, so they are not followed here.
        if not entry.name.startswith(".") and _is_folder(entry, follow_symlinks=False):
            yield from _walk_any_depth(folder / entry.name, rest, budget, depth + 1)


def _entries(folder: Path, budget: _Budget) -> list["os.DirEntry[str]"]:
    entries: list[os.DirEntry[str]] = []
    try:
        with os.scandir(folder) as names:
            for entry in names:
                if budget.looks <= 0:
                    break
                budget.looks -= 1
                entries.append(entry)
    except OSError:
        return []  # Gone by now, no folder, or not ours to read: nothing to follow in there.
    return entries


def _is_folder(entry: "os.DirEntry[str]", *, follow_symlinks: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow_symlinks)
    except OSError:
        return False


def _fits(name: str, part: str) -> bool:
    return fnmatchcase(name, part) and (part.startswith(".") or not name.startswith("."))


def _is_excluded(path: Path, patterns: Iterable[str]) -> bool:
    return any(
        _fits_path(path.parts[1:], os.path.abspath(pattern).strip("/").split("/"))
        if "/" in pattern
        else fnmatchcase(path.name, pattern)
        for pattern in patterns
    )


def _fits_path(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return _fits_path(parts, pattern[1:]) or (bool(parts) and _fits_path(parts[1:], pattern))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _fits_path(parts[1:], pattern[1:])
