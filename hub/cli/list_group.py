"""A group of commands about things of one kind, which lists them when no command is named."""

import click

from shared.lazy_group import LazyGroup

LIST = "list"


class ListGroup(LazyGroup):
    """Flags without a sub-command before them are those of `list`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the list where no sub-command is named, but for the help."""
        is_named = args and (not args[0].startswith("-") or args[0] in ctx.help_option_names)
        if not is_named:
            self._check_no_late_command(ctx, args)
        return super().parse_args(ctx, args if is_named else [LIST, *args])

    def _check_no_late_command(self, ctx: click.Context, args: list[str]) -> None:
        listing = self.get_command(ctx, LIST)
        if listing is None:
            return
        # What else is wrong is told when the list is called.
        apart = click.Context(listing, parent=ctx, resilient_parsing=True)
        _, left, _ = listing.make_parser(apart).parse_args(list(args))
        if left and left[0] in self.list_commands(ctx):
            ctx.fail(f"put {left[0]} before the options")
