"""`headwater op` and `headwater queue`: work that goes on, and orders that wait for their node."""

import secrets
import time
from typing import Any

import click

from hub.cli.ask import Asker, asking
from hub.cli.output import PARTIAL, Column, finish, moment, show_list, show_one
from hub.cli.vm_flags import WAIT_SECONDS_MAX, tell_end, wait_for
from hub.cli.vm_look import show_operations

QUEUE_COLUMNS = (
    Column("QUEUED", "queued_at", moment),
    Column("METHOD", "method"),
    Column("VM", "vm_id"),
    Column("NODE", "node_id"),
    Column("EXPIRES", "expires_at", moment),
    Column("BY", "requested_by"),
    Column("REQUEST", "request_id"),
)

op_argument = click.argument("op_id", metavar="OP")
op_node = click.option("--node", help="The node that does it; found by itself where hubs know.")


@click.group()
def op() -> None:
    """Look at, wait for or cancel the operations of machines and images."""


@op.command("show")
@op_argument
@op_node
@asking
def show(asker: Asker, /, op_id: str, node: str | None) -> None:
    """Show an operation: its state, its log, who ordered it and through which hub.

    \b
    headwater op show 5f2c0d --node edge-1
    """
    show_one(asker.form, asker.ask("op.get", {"op_id": op_id, "node": node}))


@op.command("wait")
@op_argument
@op_node
@click.option(
    "--timeout", type=click.FloatRange(0, WAIT_SECONDS_MAX), default=600.0, show_default=True
)
@asking
def wait(asker: Asker, /, op_id: str, node: str | None, timeout: float) -> None:
    """Wait for the end of an operation; leaves with 1 when it failed, 3 when it is not over.

    \b
    headwater op wait 5f2c0d --timeout 60
    """
    until = time.monotonic() + timeout
    operation = asker.ask("op.get", {"op_id": op_id, "node": node})
    operation = wait_for(asker, operation, until)
    show_one(asker.form, operation)
    tell_end(operation, PARTIAL)


@op.command("cancel")
@op_argument
@op_node
@asking
def cancel(asker: Asker, /, op_id: str, node: str | None) -> None:
    """Ask an operation to end early, where it may be left half done.

    \b
    headwater op cancel 5f2c0d
    """
    request_id = f"cli-{secrets.token_hex(8)}"
    show_one(
        asker.form, asker.ask("op.cancel", {"op_id": op_id, "node": node, "request_id": request_id})
    )


@op.command("list")
@click.option("--vm", help="Only of this machine.")
@click.option("--node", help="Only of this node, asked itself when it can be reached.")
@click.option("--state", type=click.Choice(["queued", "running", "done", "failed", "cancelled"]))
@click.option("--method", help="Only of this method, such as vm.stop.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@asking
def list_(asker: Asker, /, **asked: Any) -> None:
    """List operations, newest first.

    \b
    headwater op list --node edge-1 --state failed
    """
    show_operations(asker, asked)


@click.group()
def queue() -> None:
    """List or cancel the orders that wait for nodes which cannot be reached."""


@queue.command("list")
@click.option("--vm", help="Only for this machine, by id.")
@click.option("--node", help="Only for this node.")
@asking
def list_queue(asker: Asker, /, **asked: Any) -> None:
    """List the orders that wait, oldest first.

    \b
    headwater queue list --node edge-1
    """
    answer = asker.ask("vm.queue.list", asked)
    show_list(asker.form, answer, answer["items"], QUEUE_COLUMNS)
    finish(answer, len(answer["items"]))


@queue.command("cancel")
@click.argument("request_id", metavar="REQUEST")
@click.option("--node", help="The node it waits for.")
@asking
def cancel_queued(asker: Asker, /, request_id: str, node: str | None) -> None:
    """Give up an order that waits, by its request id.

    \b
    headwater queue cancel cli-0123456789abcdef
    """
    show_one(asker.form, asker.ask("vm.queue.cancel", {"request_id": request_id, "node": node}))
