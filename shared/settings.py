"""Settings: flags before environment before TOML file before defaults, each with its source.

A role's settings are one frozen dataclass whose fields are made with `option`. Only the standard
library is needed here, since start.sh checks settings before anything is installed.
"""

import difflib
import importlib
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from shared.errors import SettingsError

Value = TypeVar("Value")
Settings = TypeVar("Settings")

PREFIX = "HEADWATER_"
LISTED_MAX = 8  # More than these nobody reads in an error message.
SECRET_SHOWN_AS = "(secret)"  # noqa: S105  # What is shown in its place.

ROLES = {
    "demo": "shared.demo:DemoSettings",
    "hub": "hub.settings:HubSettings",
    "edge": "edge.settings:EdgeSettings",
}
"""Where each role declares its settings; by name, since edge and hub must not know each other."""

COMMAND_VARIABLES = frozenset({"HEADWATER_CONFIG", "HEADWATER_HUB", "HEADWATER_TOKEN"})
"""Variables of the command line that are settings of no role."""


@dataclass(frozen=True, slots=True)
class Option:
    """What is known of a setting beside its type and default."""

    meaning: str
    read: Callable[[object], Any]
    env: tuple[str, ...]
    folder: str
    secret: bool


@dataclass(frozen=True, slots=True)
class Loaded(Generic[Settings]):
    """Settings, and for each of them where its value came from."""

    settings: Settings
    sources: dict[str, str]


def option(
    default: Value | Callable[[], Value],
    meaning: str,
    read: Callable[[object], Value],
    *,
    env: tuple[str, ...] = (),
    folder: str = "",
    secret: bool = False,
) -> Value:
    """Declare a setting. `env` lists its names in the environment beside HEADWATER_<FIELD>.

    With `folder`, a value from the environment is the folder of all roles; this one's lies inside.
    """
    metadata = {"option": Option(meaning, read, env, folder, secret)}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def option_of(declared: "Field[Any]") -> Option:
    """What `option` declared for a field."""
    return cast(Option, declared.metadata["option"])


def variables_of(declared: "Field[Any]") -> tuple[str, ...]:
    """The environment variables of a field, the strongest first."""
    return (PREFIX + declared.name.upper(), *option_of(declared).env)


def settings_class(role: str) -> type[Any]:
    """The dataclass of a role's settings."""
    module, _, name = ROLES[role].partition(":")
    return cast(type[Any], getattr(importlib.import_module(module), name))


def nearest(word: str, known: Collection[str]) -> str:
    """A hint that names the known word most like the given one, or all of a short list."""
    listed = len(known) <= LISTED_MAX
    folded = {item.casefold(): item for item in sorted(known)}
    near = difflib.get_close_matches(word.casefold(), folded, 1, 0.6 if listed else 0.0)
    return f"did you mean {folded[near[0]]}?" if near else f"known are {', '.join(sorted(known))}"


def as_flag(name: str) -> str:
    """How a field is spelled as a flag."""
    return "--" + name.replace("_", "-")


def load(
    kind: type[Settings],
    role: str,
    *,
    environ: Mapping[str, str],
    flags: Mapping[str, object] | None = None,
    file: Path | None = None,
    spelled: Callable[[str], str] = as_flag,
) -> Loaded[Settings]:
    """The settings of a role; raises SettingsError naming the setting, its source and the remedy.

    `flags` holds what the command line gave, by field, None for what it did not; `spelled` tells
    how the command line calls a field.
    """
    _refuse_unknown_variables(environ)
    written = _read_file(file, role) if file else {}
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for declared in fields(cast(Any, kind)):
        found = _from_flag(declared, flags or {}, spelled) or _from_environment(declared, environ)
        if not found and declared.name in written:
            found = f"file {file}", written[declared.name]
        sources[declared.name] = found[0] if found else "default"
        if found:
            values[declared.name] = _read(declared, *found)
    try:
        return Loaded(kind(**values), sources)
    except ValueError as error:
        raise SettingsError(str(error)) from error


def _from_flag(
    declared: "Field[Any]", flags: Mapping[str, object], spelled: Callable[[str], str]
) -> tuple[str, object] | None:
    value = flags.get(declared.name)
    return None if value is None else (spelled(declared.name), value)


def _from_environment(
    declared: "Field[Any]", environ: Mapping[str, str]
) -> tuple[str, object] | None:
    folder = option_of(declared).folder
    for variable in variables_of(declared):
        value = environ.get(variable)
        if value:  # An empty variable is an unset one, as in `PEER_MASTERS= ./start.sh`.
            return f"environment {variable}", str(Path(value) / folder) if folder else value
    return None


def _read(declared: "Field[Any]", source: str, value: object) -> object:
    known = option_of(declared)
    try:
        return known.read(value)
    except ValueError as error:
        shown = SECRET_SHOWN_AS if known.secret else repr(value)
        raise SettingsError(f"{declared.name} ({source}) must be {error}; it is {shown}") from error


def known_variables() -> frozenset[str]:
    """Every HEADWATER_ variable that some role or the command line reads."""
    declared = (item for role in ROLES for item in fields(settings_class(role)))
    return COMMAND_VARIABLES.union(PREFIX + item.name.upper() for item in declared)


def _refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    given = {name for name in environ if name.startswith(PREFIX)}
    known = known_variables() if given else frozenset()
    for name in sorted(given - known):
        raise SettingsError(f"the environment variable {name} is not known: {nearest(name, known)}")


def _read_file(file: Path, role: str) -> dict[str, object]:
    tables = _parse(file)
    for table, entries in tables.items():
        if table not in ROLES:
            raise SettingsError(f"{file}: [{table}] is not known: {nearest(table, ROLES)}")
        if not isinstance(entries, dict):
            raise SettingsError(f"{file}: {table} must be a table, as in [{table}]")
        known = {item.name for item in fields(settings_class(table))}
        for name in entries:
            if name not in known:
                raise SettingsError(
                    f"{file}: {name} in [{table}] is not known: {nearest(name, known)}"
                )
    return cast("dict[str, object]", tables.get(role, {}))


def _parse(file: Path) -> dict[str, object]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not valid TOML: {error}") from error
