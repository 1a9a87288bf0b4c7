"""The settings of the owner with those of the hubs over them, checked like any other settings."""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar, cast

from shared.conf_scope import EDGES
from shared.conf_table import PAIRS, TABLES, check_together
from shared.errors import SettingsError
from shared.settings import nearest, option_of

Settings = TypeVar("Settings")


def overlay(own: Settings) -> Callable[[Mapping[str, Any]], Settings]:
    """A function from what hubs want to the whole settings; it raises SettingsError that says what is
    unknown, wrong, or contradicts something. Only what stands in the table can be changed by hubs."""
    options = {item.name: option_of(item) for item in fields(cast(Any, own))}

    def settle(wanted: Mapping[str, Any]) -> Settings:
        _check(wanted)
        values = {key: _read(options[key].read, key, value) for key, value in wanted.items()}
        try:
            settings = cast(Settings, replace(cast(Any, own), **values))
            _check_with_own(settings, wanted)
        except ValueError as error:
            raise SettingsError(str(error)) from error
        return settings

    return settle


def _check_with_own(settings: object, wanted: Mapping[str, Any]) -> None:
    """Raise ValueError for a setting of hubs that contradicts one of the owner, which they do not know.

    Two of the owner that contradict each other are no fault of the hubs.
    """
    for pair in PAIRS:
        if wanted.keys() & set(pair):
            check_together({key: getattr(settings, key) for key in pair})


def _check(wanted: Mapping[str, Any]) -> None:
    table = TABLES[EDGES]
    for key, value in wanted.items():
        if key not in table:
            raise SettingsError(
                f"{key[:64]} is not a setting that hubs can give to this version: "
                f"{nearest(key[:64], table)}"
            )
        _read(table[key].read, key, value)
    try:
        check_together(wanted)
    except ValueError as error:
        raise SettingsError(str(error)) from error


def _read(read: Callable[[object], Any], key: str, value: object) -> Any:
    try:
        return read(value)
    except ValueError as error:
        raise SettingsError(f"{key} must be {error}; it is {value!r:.100}") from error
