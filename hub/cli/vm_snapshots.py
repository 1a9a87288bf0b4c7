"""`headwater vm snapshot`: the states that a machine can be set back to."""

from typing import Any

import click

from hub.cli.ask import Asker, asking
from hub.cli.output import Column, finish, moment, show_list, size
from hub.cli.vm_flags import give_order, node_flag, one_machine, order_flags

SNAPSHOT_COLUMNS = (
    Column("SNAPSHOT", "name"),
    Column("CREATED", "created_at", moment),
    Column("MEMORY", "has_memory"),
    Column("SIZE", "size_bytes", size),
)


@click.group()
def snapshot() -> None:
    """List, create, restore or delete the snapshots of a machine."""


@snapshot.command("list")
@one_machine
@asking
def list_(asker: Asker, /, vm_name: str, node: str | None) -> None:
    """List the snapshots of a machine.

    \b
    headwater vm snapshot list box
    """
    answer = asker.ask("vm.snapshot.list", {"vm": vm_name, "node": node})
    show_list(asker.form, answer, answer["items"], SNAPSHOT_COLUMNS)
    finish(answer, len(answer["items"]))


@snapshot.command("create")
@click.argument("vm_name", metavar="VM")
@click.argument("name", metavar="SNAPSHOT")
@node_flag
@click.option("--memory", is_flag=True, help="With its memory: it goes on from there.")
@order_flags
@asking
def create(asker: Asker, /, vm_name: str, name: str, **order: Any) -> None:
    """Take a snapshot of a machine.

    \b
    headwater vm snapshot create box before-upgrade
    headwater vm snapshot create box warm --memory
    """
    give_order(asker, "vm.snapshot.create", {"vm": vm_name, "name": name, **order})


@snapshot.command("restore")
@click.argument("vm_name", metavar="VM")
@click.argument("name", metavar="SNAPSHOT")
@node_flag
@order_flags
@asking
def restore(asker: Asker, /, vm_name: str, name: str, **order: Any) -> None:
    """Set a machine back to a snapshot; what was written since is lost.

    \b
    headwater vm snapshot restore box before-upgrade
    """
    give_order(asker, "vm.snapshot.restore", {"vm": vm_name, "name": name, **order})


@snapshot.command("delete")
@click.argument("vm_name", metavar="VM")
@click.argument("name", metavar="SNAPSHOT")
@node_flag
@order_flags
@asking
def delete(asker: Asker, /, vm_name: str, name: str, **order: Any) -> None:
    """Remove a snapshot; the machine stays as it is.

    \b
    headwater vm snapshot delete box before-upgrade
    """
    give_order(asker, "vm.snapshot.delete", {"vm": vm_name, "name": name, **order})
