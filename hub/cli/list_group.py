"""A group of commands about things of one kind, which lists them when no command is named."""

import click

from shared.lazy_group import LazyGroup

LIST = "list"


class ListGroup(LazyGroup):
    """Flags without a sub-command before them are those of `list`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the list where no sub-command is named, but for the help."""
        is_named = args and (not args[0].startswith("-") or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if is_named else [LIST, *args])
