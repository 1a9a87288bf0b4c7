"""`headwater vms` lists machines; `headwater vm` is the table of what can be asked of one."""

from typing import Any

import click

from hub.cli.ask import Asker, asking
from hub.cli.list_pages import ListQuestion, show_whole_list
from hub.cli.output import Column, age
from hub.rest_pages import ITEMS_MAX
from shared.lazy_group import LazyGroup

VM_COLUMNS = (
    Column("VM", "name"),
    Column("NODE", "node_id"),
    Column("STATUS", "status"),
    Column("KIND", "kind"),
    Column("IMAGE", "image"),
    Column("SEEN", "freshness"),
    Column("AGE", "age_s", age),
    Column("ID", "id"),
)

STATES = ("running", "stopped", "paused", "failed", "unknown")

COMMANDS = {
    "show": ("hub.cli.vm_look:show", "Show all that is known of one."),
    "create": ("hub.cli.vm_create:create", "Create one, by flags or from a file."),
    "validate": ("hub.cli.vm_create:validate", "Say what would come of a spec on a node."),
    "discover": ("hub.cli.vm_adopt:discover", "List what lies on a node and is in no record."),
    "adopt": ("hub.cli.vm_adopt:adopt", "Take up one of those, as it is."),
    "update": ("hub.cli.vm_create:update", "Change the spec of one."),
    "start": ("hub.cli.vm_orders:start", "Start one, or let a paused one go on."),
    "stop": ("hub.cli.vm_orders:stop", "Stop one: gracefully, or by force."),
    "reboot": ("hub.cli.vm_orders:reboot", "Stop and start one."),
    "pause": ("hub.cli.vm_orders:pause", "Halt one where it is."),
    "resume": ("hub.cli.vm_orders:resume", "Let a paused one go on."),
    "delete": ("hub.cli.vm_orders:delete", "Remove one."),
    "clone": ("hub.cli.vm_orders:clone", "Copy one under another name."),
    "snapshot": ("hub.cli.vm_snapshots:snapshot", "List, create, restore or delete snapshots."),
    "exec": ("hub.cli.vm_exec:execute", "Run a command inside one."),
    "console": ("hub.cli.console:console", "Open the console of one."),
    "log": ("hub.cli.vm_log:log", "Show what one wrote to its console."),
    "logs": ("hub.cli.vm_logs:logs", "Show what the agent, the driver or orders did with one."),
    "stats": ("hub.cli.vm_look:stats", "Show what one uses, now or over time."),
    "events": ("hub.cli.vm_look:events", "Show what happened to one, or to all."),
    "ops": ("hub.cli.vm_look:ops", "Show who ordered what of one, through which hub."),
    "route": ("hub.cli.vm_look:route", "Show by which ways a hub would reach one."),
    "bulk": ("hub.cli.vm_bulk:bulk", "Do one thing to many."),
}
"""Each command, where it lives, and its line in the help; by name, so that help loads none."""


@click.command()
@click.option("--name", default="", help="Only of this name, or pattern with * and ?.")
@click.option(
    "--state",
    multiple=True,
    type=click.Choice(STATES),
    help="Only in this state; may be repeated, for any of them. On a silent node it is unknown.",
)
@click.option("--node", help="Only those on this node.")
@click.option("--kind", type=click.Choice(["vm", "sandbox"]), help="Only of this kind.")
@click.option(
    "--label",
    multiple=True,
    metavar="KEY=VALUE",
    help="Only with this label: KEY=VALUE, KEY!=VALUE, or KEY; may be repeated, for all.",
)
@click.option("--text", default="", help="Only with this in name, id, node, status or image.")
@click.option(
    "--since-seq", type=click.IntRange(min=0), help="Only what changed after this; with --node."
)
@click.option("--limit", type=click.IntRange(1, ITEMS_MAX), help="About so many.  [default: all]")
@click.option("--after", "--cursor", "cursor", default="", help="Go on after this node.")
@asking
def vms(asker: Asker, /, limit: int | None, **params: Any) -> None:
    """List the virtual machines and sandboxes, by node and name.

    \b
    headwater vms --state failed --state unknown
    headwater vms --node edge-1 --kind vm --label site=north
    headwater vms --name 'web-*' -o json
    """
    show_whole_list(asker, ListQuestion("vm.list", params, VM_COLUMNS, limit, "VMs"))


@click.group(cls=LazyGroup, commands_by_name=COMMANDS)
def vm() -> None:
    """Look at, create, order or delete a virtual machine or sandbox.

    VM is a name or an id. Every order has one effect, however often and through whichever hub it is
    repeated with its --request-id. Exit codes: 0 done, queued or still going on when the wait was
    over, 1 failed, 2 wrong use, 4 no such machine, 5 refused.
    """
