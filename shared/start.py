"""What `make start` does: read KEY=VALUE words, choose the mode, and hand over to what runs it.

Only the standard library is imported here, since start.sh checks the words before it installs.
"""

import importlib
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from shared.errors import HeadwaterError, SettingsError
from shared.loading import loading
from shared.settings import PREFIX, load, nearest, option_of, settings_class, variables_of

MODES = {"demo": "demo", "master": "hub", "worker": "edge"}
"""Each mode and the role whose settings it takes."""

RUNNERS = {
    "demo": "shared.supervisor:run_demo",
    "master": "hub.cli.run:run_hub",
    "worker": "edge.cli:run_edge",
}
"""What runs each mode, given its settings and whether to greet; by name, as all are heavy."""

OWN_WORDS = frozenset({"MODE", "VENV", "CONFIG"})
"""Words that are no setting of a role: the mode, the virtual environment, and a TOML file."""


def words_of(role: str) -> dict[str, str]:
    """Every KEY that a role knows, and the field it sets: PORT, HEADWATER_PORT and the like."""
    words: dict[str, str] = {}
    for declared in fields(settings_class(role)):
        for word in (declared.name.upper(), *variables_of(declared)):
            words[word] = declared.name
    return words


def read_words(arguments: Iterable[str]) -> dict[str, str]:
    """The KEY=VALUE words; raises SettingsError for unknown keys, naming the nearest known one."""
    known = OWN_WORDS.union(*(words_of(role) for role in MODES.values()))
    given: dict[str, str] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals:
            raise SettingsError(f"{argument!r} is not of the form KEY=VALUE, as in MODE=master")
        if key not in known:
            short = {word for word in known if not word.startswith(PREFIX)}
            raise SettingsError(f"the setting {key} is not known: {nearest(key, short)}")
        given[key] = value
    return given


def choose(arguments: Sequence[str], environ: Mapping[str, str]) -> tuple[str, Any]:
    """The mode and its settings; raises SettingsError."""
    given = read_words(arguments)
    mode = given.get("MODE") or environ.get("MODE") or "demo"
    if mode not in MODES:
        raise SettingsError(f"MODE={mode} is not known: {nearest(mode, MODES)}")
    role = MODES[mode]
    file = given.get("CONFIG") or environ.get(f"{PREFIX}CONFIG")
    loaded = load(
        settings_class(role),
        role,
        environ=environ,
        flags=_fields_given(given, mode),
        file=Path(file) if file else None,
        spelled=str.upper,
    )
    return mode, loaded.settings


def _fields_given(given: Mapping[str, str], mode: str) -> dict[str, object]:
    words = words_of(MODES[mode])
    folders = {item.name: option_of(item).folder for item in fields(settings_class(MODES[mode]))}
    values: dict[str, object] = {}
    for key, value in given.items():
        if key in OWN_WORDS or not value:
            continue
        if key not in words:
            others = [f"MODE={other}" for other, role in MODES.items() if key in words_of(role)]
            raise SettingsError(f"{key} is a setting of {' and '.join(others)}, not of MODE={mode}")
        folder = folders[words[key]]
        values[words[key]] = str(Path(value) / folder) if folder else value
    return values


def start(arguments: Sequence[str]) -> int:
    """Run the chosen mode until it ends; returns its exit code. Raises SettingsError."""
    mode, settings = choose(arguments, os.environ)
    file = read_words(arguments).get("CONFIG")
    if file:  # For the processes that a demo starts.
        os.environ[f"{PREFIX}CONFIG"] = str(Path(file).absolute())
    module, _, name = RUNNERS[mode].partition(":")
    with loading():
        run = getattr(importlib.import_module(module), name)
    code: int = run(settings, greet=True)
    return code


def main() -> int:
    """`python -m shared.start --check KEY=VALUE ...`: say what is wrong with the words."""
    try:
        choose(sys.argv[2:], os.environ)
    except HeadwaterError as error:
        sys.stderr.write(f"start.sh: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
