"""The layer rule: imports go down only, edge and hub meet in shared, and rules are pure.

tests/tidy/layer_table.py says where each module belongs.
"""

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from tests.tidy.layer_table import LAYERS, TABLE

ROOT = Path(__file__).parents[2]
PACKAGES = ("shared", "edge", "hub")


IMPURE = frozenset(
    {
        "asyncio",
        "time",
        "random",
        "secrets",
        "socket",
        "sqlite3",
        "httpx",
        "threading",
        "subprocess",
    }
)
"""What a rule may not import: it decides, and others act, wait and draw lots."""

PURE_PARTS = frozenset({("random", "Random")})
"""What a rule may take from there all the same: the type of the luck that it is handed."""


def module_name(path: Path) -> str:
    """The dotted name of a file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    """All modules of the three packages."""
    files = (file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    return {module_name(file): file for file in files}


def layer_of(module: str) -> str | None:
    """The layer of a module, None when the table does not know it."""
    return next((layer for pattern, layer in TABLE if fnmatchcase(module, pattern)), None)


def imports_of(path: Path) -> Iterator[tuple[str, str]]:
    """What a file imports, anywhere in it: the module, and the name taken from it or nothing."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute, so that a reader sees the layer"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield (whole, "") if whole in modules() else (node.module or "", alias.name)


def ours(imported: str) -> bool:
    """Whether a module belongs to this project."""
    return imported.partition(".")[0] in PACKAGES


def all_imports() -> Iterator[tuple[str, str, str]]:
    """Every import of the three packages: who, what, and the name taken from it."""
    for module, path in sorted(modules().items()):
        yield from ((module, imported, name) for imported, name in imports_of(path))


def height(module: str) -> int:
    """How high the layer of a module is."""
    layer = layer_of(module)
    return LAYERS.index(layer) if layer else -1


def test_every_module_has_a_layer() -> None:
    """A module that fits nowhere is two modules."""
    assert [module for module in sorted(modules()) if not layer_of(module)] == []


def test_imports_go_down_only() -> None:
    """Nobody knows what is above."""
    up = [
        f"{module} ({layer_of(module)}) imports {imported} ({layer_of(imported)})"
        for module, imported, _ in all_imports()
        if ours(imported) and height(imported) > height(module)
    ]
    assert up == []


def test_edge_and_hub_meet_in_shared_only() -> None:
    """Neither ships with the other, and shared ships with both."""
    known = {"edge": {"edge", "shared"}, "hub": {"hub", "shared"}, "shared": {"shared"}}
    strangers = [
        f"{module} imports {imported}"
        for module, imported, _ in all_imports()
        if ours(imported) and imported.partition(".")[0] not in known[module.partition(".")[0]]
    ]
    assert strangers == []


def test_values_and_rules_are_pure() -> None:
    """A rule can be tried with a table of cases: no clock, luck, thread, file or network in it."""
    impure = [
        f"{module} imports {imported}"
        for module, imported, name in all_imports()
        if height(module) <= LAYERS.index("rules")
        and imported.partition(".")[0] in IMPURE
        and (imported, name) not in PURE_PARTS
    ]
    assert impure == []
