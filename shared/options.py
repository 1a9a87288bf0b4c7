"""Command-line flags made from settings, so that both know the same ones."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click

from shared.settings import as_flag, option_of, settings_class

Command = TypeVar("Command", bound=Callable[..., Any])


def settings_flags(role: str) -> Callable[[Command], Command]:
    """Add --config and a flag for each setting of the role; what is not given arrives as None."""

    def decorate(command: Command) -> Command:
        for declared in reversed(fields(settings_class(role))):
            known = option_of(declared)
            is_switch = declared.type is bool
            command = click.option(
                as_flag(declared.name),
                declared.name,
                is_flag=is_switch,
                default=None,
                help=known.meaning[0].upper() + known.meaning[1:] + ".",
            )(command)
        return click.option(
            "--config",
            type=click.Path(path_type=Path, dir_okay=False),
            envvar="HEADWATER_CONFIG",
            help="TOML file with settings in the tables [hub], [edge] and [demo].",
        )(command)

    return decorate
