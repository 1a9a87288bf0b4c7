"""`headwater peers`: the hubs, and what they agree on. Without a sub-command it lists the hubs."""

import click

from shared.lazy_group import LazyGroup

LIST = "list"

COMMANDS = {
    LIST: ("hub.cli.fleet:hubs", "List the hubs; so does `headwater peers` alone."),
    "leader": ("hub.cli.lead:leader", "Show who leads, and with which term."),
    "step-down": ("hub.cli.lead:step_down", "Let the hub that leads hand over."),
    "drill": ("hub.cli.lead:drill", "Fail over on purpose, and measure it."),
    "matrix": ("hub.cli.matrix:matrix", "Show which hub reaches which, and what is wrong."),
    "clocks": ("hub.cli.clocks:clocks", "Show how far the clocks of hubs and edges are off."),
    "members": ("hub.cli.lead:members", "Name all hubs that vote."),
}
"""Each sub-command, where it lives, and its line in the help."""


class PeersGroup(LazyGroup):
    """Flags without a sub-command before them are those of the list."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the list where no sub-command is named, but for the help."""
        is_named = args and (not args[0].startswith("-") or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if is_named else [LIST, *args])


@click.group(cls=PeersGroup, commands_by_name=COMMANDS)
def peers() -> None:
    """List the hubs as one of them sees them, and see who leads."""
