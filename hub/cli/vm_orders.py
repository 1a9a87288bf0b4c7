"""`headwater vm start|stop|reboot|pause|resume|delete|clone`: orders to one machine."""

from typing import Any

import click

from hub.cli.ask import Asker, asking
from hub.cli.vm_flags import give_order, one_machine, order_flags, queue_flags


@click.command("start")
@one_machine
@order_flags
@queue_flags
@asking
def start(asker: Asker, /, vm_name: str, **order: Any) -> None:
    """Start a machine, or let a paused one go on.

    \b
    headwater vm start box
    headwater vm start box --queue      # when its node is silent: start it once it is back
    """
    give_order(asker, "vm.start", {"vm": vm_name, **order})


@click.command("stop")
@one_machine
@click.option("--force", is_flag=True, help="Do not ask it, end it.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0, 3600),
    help="Seconds it may take to stop by itself; then the order fails and it runs on.",
)
@click.option(
    "--force-after", type=click.FloatRange(0, 3600), help="End it when it has not within these."
)
@order_flags
@queue_flags
@asking
def stop(asker: Asker, /, vm_name: str, force: bool, **order: Any) -> None:
    """Stop a machine.

    \b
    headwater vm stop box                     # ask it, and wait as long as its spec says
    headwater vm stop box --force-after 20    # ask it, and end it after 20 seconds
    headwater vm stop box --force             # end it now
    """
    mode = "force" if force else "graceful"
    give_order(asker, "vm.stop", {"vm": vm_name, "mode": mode, **order})


@click.command("reboot")
@one_machine
@click.option("--hard", is_flag=True, help="Press the reset button instead of asking it.")
@order_flags
@queue_flags
@asking
def reboot(asker: Asker, /, vm_name: str, hard: bool, **order: Any) -> None:
    """Stop and start a machine.

    \b
    headwater vm reboot box
    headwater vm reboot box --hard
    """
    give_order(asker, "vm.reboot", {"vm": vm_name, "mode": "hard" if hard else "soft", **order})


@click.command("pause")
@one_machine
@order_flags
@queue_flags
@asking
def pause(asker: Asker, /, vm_name: str, **order: Any) -> None:
    """Halt a machine where it is; it keeps its memory.

    \b
    headwater vm pause box
    """
    give_order(asker, "vm.pause", {"vm": vm_name, **order})


@click.command("resume")
@one_machine
@order_flags
@queue_flags
@asking
def resume(asker: Asker, /, vm_name: str, **order: Any) -> None:
    """Let a paused machine go on.

    \b
    headwater vm resume box
    """
    give_order(asker, "vm.resume", {"vm": vm_name, **order})


@click.command("delete")
@one_machine
@click.option("--force", is_flag=True, help="Also while it runs: it is ended first.")
@click.option("--keep-disks", is_flag=True, help="Leave its disks on the node.")
@order_flags
@queue_flags
@asking
def delete(asker: Asker, /, vm_name: str, **order: Any) -> None:
    """Remove a machine with its disks, snapshots and console log.

    \b
    headwater vm delete box
    headwater vm delete box --force --keep-disks
    """
    give_order(asker, "vm.delete", {"vm": vm_name, **order})


@click.command("clone")
@click.argument("vm_name", metavar="VM")
@click.argument("name", metavar="NEW_NAME")
@click.option("--node", help="The node it is on; the copy is made there.")
@click.option("--snapshot", help="Take its disks as they were in this snapshot.")
@order_flags
@asking
def clone(asker: Asker, /, vm_name: str, name: str, **order: Any) -> None:
    """Copy a stopped machine with its disks under another name on its node.

    \b
    headwater vm clone box box-2
    headwater vm clone box box-2 --snapshot before-upgrade
    """
    give_order(asker, "vm.clone", {"vm": vm_name, "name": name, **order})
