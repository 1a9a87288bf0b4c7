"""`headwater nodes`: the machines, and how they were. Without a sub-command it lists them."""

import click

from hub.cli.list_group import LIST, ListGroup

COMMANDS = {
    LIST: ("hub.cli.fleet:nodes", "List the machines; so does `headwater nodes` alone."),
    "summary": ("hub.cli.uptime:summary", "Show all machines in a few numbers."),
    "uptime": ("hub.cli.uptime:uptime", "Show how well machines were, as bars."),
    "history": ("hub.cli.uptime:history", "Show what each hub observed of a machine, and when."),
    "checks": ("hub.cli.uptime:checks", "List the checks of a machine, and what they say."),
    "check": ("hub.cli.uptime:check", "Run the checks of a machine now."),
    "register": ("hub.cli.enrol:register", "Expect a machine, or let a removed one back."),
    "remove": ("hub.cli.enrol:remove", "Take a machine out of the fleet, on all hubs."),
    "removed": ("hub.cli.enrol:removed", "List the machines that were removed."),
    "label": ("hub.cli.intent:label", "Give a machine labels, or take them away."),
    "drain": ("hub.cli.intent:drain", "Give a machine no new work."),
    "undrain": ("hub.cli.intent:undrain", "Let a machine take new work again."),
    "maintenance": ("hub.cli.intent:maintenance", "Stop the VMs of a machine for work on it."),
    "set-role": ("hub.cli.enrol:set_role", "Give a machine a role."),
    "set-checks": ("hub.cli.uptime:set_checks", "Give a machine the checks of a JSON file."),
}
"""Each sub-command, where it lives, and its line in the help."""


@click.group(cls=ListGroup, commands_by_name=COMMANDS)
def nodes() -> None:
    """List the machines, see how they were, and check them."""
