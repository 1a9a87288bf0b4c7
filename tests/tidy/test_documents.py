"""Documents that cannot go stale: what they say is compared with the code."""

import re
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

import pytest

from shared.main import COMMANDS, HIDDEN
from shared.settings import ROLES, option_of, settings_class, variables_of
from shared.start import MODES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")

HEAD = ["| Setting | Mode | Default | Meaning |", "| --- | --- | --- | --- |"]
# A default that depends on the machine is told in words.
TOLD = {
    "hub_id": "`hub-` and the host name",
    "node_id": "the host name",
    "templates": "none",
    "buffer_floors": "`events=0.02`",
    "buffer_ceilings": "none",
    "alerts": "on",
    "max_skew": "`500ms`",
}


def shown_default(declared: "Field[Any]") -> str:
    """The default of a setting as the README shows it."""
    if declared.name in TOLD:
        return TOLD[declared.name]
    assert declared.default is not MISSING, f"say in TOLD what the default of {declared.name} is"
    value = declared.default
    if isinstance(value, bool):
        return "`1`" if value else "`0`"
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in value) or "none"
    if isinstance(value, int) and declared.name.endswith("_bytes_max"):
        return f"`{value // 2**20}MiB`"
    return "none" if value in ("", None) else f"`{value}`"


def settings_table() -> list[str]:
    """The table of settings, made from the code; equal settings of several modes share a row."""
    modes_of: dict[tuple[str, str, str], list[str]] = {}
    for mode, role in MODES.items():
        for declared in fields(settings_class(role)):
            names = ", ".join(
                f"`{name}`" for name in (*variables_of(declared)[1:], declared.name.upper())
            )
            distinct = ", ".join(dict.fromkeys(names.split(", ")))
            row = (distinct, shown_default(declared), option_of(declared).meaning)
            modes_of.setdefault(row, []).append(mode)
    rows = [
        f"| {names} | {', '.join(modes)} | {default} | {meaning} |"
        for (names, default, meaning), modes in modes_of.items()
    ]
    return [*HEAD, *rows]


def test_the_table_of_settings_is_that_of_the_code() -> None:
    """Names, defaults and meanings; a difference prints the table to paste."""
    wanted = settings_table()
    written = README[README.index(HEAD[0]) :].partition("\n\n")[0].splitlines()
    assert written == wanted, "README.md needs this table of settings:\n" + "\n".join(wanted)


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - HIDDEN))
def test_every_command_is_in_the_readme(command: str) -> None:
    """What can be called can be found."""
    assert re.search(rf"headwater {command}\b", README), command


def test_every_command_in_the_readme_exists() -> None:
    """What can be found can be called."""
    called = set(re.findall(r"(?:^|`|/)headwater ([a-z-]+)", README, re.MULTILINE))
    assert called <= set(COMMANDS), called - set(COMMANDS)


def test_every_make_target_in_the_readme_exists() -> None:
    """And the Makefile has one line for each."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    asked = set(re.findall(r"(?:^|`)make (?:-s )?([a-z]+)", README, re.MULTILINE))
    assert asked <= targets, asked - targets
    assert {"start", "stop", "test", "check", "sim", "bench"} <= targets


def test_the_integration_runs_the_test_command_of_the_readme() -> None:
    """What is proven there is what a newcomer runs."""
    last = (ROOT / ".ci" / "run").read_text(encoding="utf-8").rstrip().splitlines()[-1]
    assert last == "exec make test"
    assert "\nmake test\n" in README


def test_every_role_has_settings() -> None:
    """The names by which the roles are found are right."""
    for role in ROLES:
        assert fields(settings_class(role))
