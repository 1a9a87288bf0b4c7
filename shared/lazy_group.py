"""Groups of commands that tell where an option belongs, and one that imports its commands only when
they are called, so that help is there at once."""

import importlib
from collections.abc import Collection, Mapping
from typing import Any

import click

from shared.loading import loading

COMMAND_OPTIONS = frozenset({"--hub", "--token", "--data", "--output", "-o"})
"""What most commands take, and no group."""


def load_command(target: str) -> click.Command:
    """The command that is called `module:attribute`."""
    module, _, attribute = target.partition(":")
    with loading():
        command: click.Command = getattr(importlib.import_module(module), attribute)
    return command


class CommandGroup(click.Group):
    """A group that tells whoever puts an option of its commands before the command where it goes."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As any group; raises UsageError for an option of the commands that stands before the command."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name not in COMMAND_OPTIONS:
                raise
            text = f"put {error.option_name} after the command"
            raise click.UsageError(text, ctx) from error


class LazyGroup(CommandGroup):
    """Knows its commands by a table: the name, where the command lives, its line in the help."""

    def __init__(
        self,
        *args: Any,
        commands_by_name: Mapping[str, tuple[str, str]],
        hidden_names: Collection[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._table = commands_by_name
        self._hidden = hidden_names

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order of the table."""
        return [name for name in self._table if name not in self._hidden]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command itself, or None."""
        return load_command(self._table[cmd_name][0]) if cmd_name in self._table else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in the help, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._table[name][1]) for name in self.list_commands(ctx)])
