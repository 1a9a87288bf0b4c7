"""`headwater peers`: the hubs, and what they agree on. Without a sub-command it lists the hubs."""

import click

from hub.cli.list_group import LIST, ListGroup

COMMANDS = {
    LIST: ("hub.cli.fleet:hubs", "List the hubs; so does `headwater peers` alone."),
    "leader": ("hub.cli.lead:leader", "Show who leads, and with which term."),
    "step-down": ("hub.cli.lead:step_down", "Let the hub that leads hand over."),
    "drill": ("hub.cli.lead:drill", "Fail over on purpose, and measure it."),
    "matrix": ("hub.cli.matrix:matrix", "Show which hub reaches which, and what is wrong."),
    "clocks": ("hub.cli.clocks:clocks", "Show how far the clocks of hubs and edges are off."),
    "remove": ("hub.cli.farewell:remove", "Send a hub away for good."),
    "admit": ("hub.cli.farewell:admit", "Let a hub take part again that was removed."),
    "views": ("hub.cli.views:views", "Show what each hub believes, and where they differ."),
    "incidents": ("hub.cli.views:incidents", "List the times during which hubs were apart."),
    "parked": ("hub.cli.parked:parked", "List records of peers that a hub set aside."),
    "members": ("hub.cli.lead:members", "Name all hubs that vote."),
}
"""Each sub-command, where it lives, and its line in the help."""


@click.group(cls=ListGroup, commands_by_name=COMMANDS)
def peers() -> None:
    """List the hubs as one of them sees them, and see who leads."""
