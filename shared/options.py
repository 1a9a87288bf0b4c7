"""Command-line flags made from settings, so that both know the same ones."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click

from shared.settings import as_flag, option_of, settings_class, variables_of

Command = TypeVar("Command", bound=Callable[..., Any])


class RunCommand(click.Command):
    """A command with the settings of a role as flags, which tells whoever gives one as NAME=VALUE, as
    ./start.sh takes it, how it is spelled here."""

    def __init__(self, *args: Any, role: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._role = role

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As any command; raises UsageError for a word that looks like a variable."""
        given = list(args)  # Click empties the other one.
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if hint := next(filter(None, map(self._hint, given)), ""):
                raise click.UsageError(f"{error.format_message()} {hint}", ctx) from error
            raise

    def _hint(self, word: str) -> str:
        name, equals, value = word.partition("=")
        for declared in fields(settings_class(self._role)) if equals else ():
            if name in variables_of(declared):
                flag = as_flag(declared.name)
                how = flag if declared.type is bool else f"{flag} {value}"
                return f"Did you mean {how}? {name}=... goes before the command."
        return ""


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
