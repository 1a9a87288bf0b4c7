"""Commands about virtual machines and sandboxes: vms, vm show|create|start|stop|delete."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

import click

from hub.cli.ask import Asker, asking
from hub.cli.list_pages import ListQuestion, show_whole_list
from hub.cli.output import Column, say, show_one
from hub.rest_pages import ITEMS_MAX
from shared.lazy_group import CommandGroup

ANSWER_SECONDS_EXTRA = 10.0  # The hub answers a little after the wait that it was asked for.

VM_COLUMNS = (
    Column("VM", "name"),
    Column("ID", "id"),
    Column("NODE", "node_id"),
    Column("STATE", "state"),
    Column("IMAGE", "image"),
    Column("KIND", "kind"),
)


@click.command()
@click.option("--node", help="Only those on this node.")
@click.option("--text", default="", help="Only with this in name, id, node, status or image.")
@click.option("--limit", type=click.IntRange(1, ITEMS_MAX), help="About so many.  [default: all]")
@click.option("--after", "--cursor", "cursor", default="", help="Go on after this machine.")
@asking
def vms(asker: Asker, /, limit: int | None, **params: Any) -> None:
    """List the virtual machines and sandboxes, by node and name."""
    show_whole_list(asker, ListQuestion("vm.list", params, VM_COLUMNS, limit, "VMs"))


@click.group(cls=CommandGroup)
def vm() -> None:
    """Look at, create, start, stop or delete a virtual machine or sandbox."""


def order_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Add the flags of every order."""
    for decorate in (
        click.option("--request-id", help="Repeat an order whose outcome is not known."),
        click.option(
            "--wait",
            "wait_s",
            type=click.FloatRange(0, 600),
            default=30.0,
            show_default=True,
            help="Seconds to wait for the end.",
        ),
    ):
        command = decorate(command)
    return command


def give_order(asker: Asker, method: str, params: Mapping[str, Any]) -> None:
    """Send an order, show its operation, and exit 1 when it failed."""
    timeout = params["wait_s"] + ANSWER_SECONDS_EXTRA
    operation = asker.ask(method, params, timeout_seconds=timeout)
    show_one(asker.form, operation)
    state = operation.get("state")
    if state == "failed":
        sys.exit(1)
    if state not in {"done", None}:
        say(f"still {state}; ask again with: headwater rpc op.get op_id={operation.get('op_id')}")


@vm.command("show")
@click.argument("vm_name", metavar="VM")
@click.option("--node", help="The node it is on.")
@asking
def show(asker: Asker, /, vm_name: str, node: str | None) -> None:
    """Show all that is known of one."""
    show_one(asker.form, asker.ask("vm.get", {"vm": vm_name, "node": node}))


@vm.command("create")
@click.argument("name")
@click.option("--node", required=True, help="The node to put it on.")
@click.option("--image", default="builtin:shell", show_default=True, help="What to run.")
@click.option("--start/--no-start", default=True, show_default=True, help="Start it at once.")
@order_flags
@asking
def create(asker: Asker, /, name: str, node: str, image: str, start: bool, **order: Any) -> None:
    """Create one."""
    spec = {"name": name, "image": image}
    give_order(asker, "vm.create", {"spec": spec, "node": node, "start": start, **order})


@vm.command("start")
@click.argument("vm_name", metavar="VM")
@click.option("--node", help="The node it is on.")
@order_flags
@asking
def start(asker: Asker, /, vm_name: str, node: str | None, **order: Any) -> None:
    """Start one."""
    give_order(asker, "vm.start", {"vm": vm_name, "node": node, **order})


@vm.command("stop")
@click.argument("vm_name", metavar="VM")
@click.option("--node", help="The node it is on.")
@click.option("--force", is_flag=True, help="Do not ask it, end it.")
@click.option("--timeout", "timeout_s", type=float, help="Seconds it may take to stop by itself.")
@order_flags
@asking
def stop(
    asker: Asker,
    /,
    vm_name: str,
    node: str | None,
    force: bool,
    timeout_s: float | None,
    **order: Any,
) -> None:
    """Stop one."""
    mode = "force" if force else "graceful"
    stopping = {"mode": mode, "timeout_s": timeout_s}
    give_order(asker, "vm.stop", {"vm": vm_name, "node": node, **stopping, **order})


@vm.command("delete")
@click.argument("vm_name", metavar="VM")
@click.option("--node", help="The node it is on.")
@order_flags
@asking
def delete(asker: Asker, /, vm_name: str, node: str | None, **order: Any) -> None:
    """Delete one that is stopped."""
    give_order(asker, "vm.delete", {"vm": vm_name, "node": node, **order})
