"""What commands that order something of a machine share: flags, and how an order is told."""

import secrets
import sys
import time
from collections.abc import Mapping
from typing import Any

import click

from hub.cli.ask import Asker
from hub.cli.output import Column, say, show_one
from hub.cli.query_flags import Decorator, flags
from hub.machines.params import QUEUE_SECONDS_MAX
from shared.errors import RpcError

Answer = dict[str, Any]

ANSWER_SECONDS_EXTRA = 10.0  # The hub answers a little after the wait that it was asked for.
WAIT_SECONDS_MAX = 24 * 3600.0
WAIT_SECONDS_ONCE = 30.0  # One question waits so long; then it is asked again, of any hub.
NOT_OVER = frozenset({"running"})
WRONG = frozenset({"failed", "cancelled"})

vm_argument = click.argument("vm_name", metavar="VM")
node_flag = click.option("--node", help="The node it is on; needed where its name is not unique.")
one_machine: Decorator = flags(vm_argument, node_flag)

generation_flag = click.option(
    "--if-generation",
    type=click.IntRange(min=1),
    help="Only if its spec is still that of this generation.",
)
request_flags: Decorator = flags(
    click.option("--request-id", help="Repeat an order whose outcome is not known."),
    click.option(
        "--wait",
        "wait_s",
        type=click.FloatRange(0, WAIT_SECONDS_MAX),
        default=30.0,
        show_default=True,
        help="Seconds to wait for the end.",
    ),
)
queue_flags: Decorator = flags(
    click.option("--queue", is_flag=True, help="Let it wait for a node that cannot be reached."),
    click.option(
        "--queue-for",
        "queue_s",
        type=click.FloatRange(1, QUEUE_SECONDS_MAX),
        help="Seconds after which a waiting order is given up.  [default: 23 hours]",
    ),
)
order_flags: Decorator = flags(request_flags, generation_flag)
"""The flags of every order."""


def give_order(asker: Asker, method: str, params: Mapping[str, Any]) -> None:
    """Send an order, show what came of it, and exit 1 when it failed."""
    operation = carry_out(asker, method, params)
    show_one(asker.form, operation)
    tell_end(operation)


def carry_out(asker: Asker, method: str, params: Mapping[str, Any]) -> Answer:
    """The operation of an order at its end, or as it is when the wait is over."""
    request_id = params.get("request_id") or f"cli-{secrets.token_hex(8)}"
    wait_s = float(params.get("wait_s", WAIT_SECONDS_ONCE))
    until = time.monotonic() + wait_s
    once = min(wait_s, WAIT_SECONDS_ONCE)
    sent = {**params, "request_id": request_id, "wait_s": once}
    operation = asker.ask(method, sent, timeout_seconds=once + ANSWER_SECONDS_EXTRA)
    path = operation.get("path")
    operation = wait_for(asker, operation, until)
    return {**operation, "path": path} if path else operation


def wait_for(asker: Asker, operation: Answer, until: float) -> Answer:
    """Ask again and again until it is over or the time has come; says what is done meanwhile."""
    stage = ""
    while operation.get("state") in NOT_OVER and time.monotonic() < until:
        if operation.get("stage") != stage:
            stage = str(operation.get("stage") or "")
            say(progress_words(operation))
        left = min(WAIT_SECONDS_ONCE, max(0.0, until - time.monotonic()))
        asked = {"op_id": operation["op_id"], "timeout_s": left, **_node_of(operation)}
        try:
            operation = asker.ask("op.wait", asked, timeout_seconds=left + ANSWER_SECONDS_EXTRA)
        except RpcError as error:
            say(f"how it goes on cannot be asked now: {error}")
            return operation
    return operation


def _node_of(operation: Answer) -> Answer:
    """A bulk order is the hub's own, and has no node to ask."""
    own = operation.get("method") == "vm.bulk"
    return {} if own or not operation.get("node_id") else {"node": operation["node_id"]}


def progress_words(operation: Mapping[str, Any]) -> str:
    """How far an operation is, in one line."""
    percent = operation.get("progress")
    share = f" ({percent} %)" if isinstance(percent, int) else ""
    stage = operation.get("stage") or operation.get("state")
    return f"{operation.get('method')} {operation.get('vm_name') or ''}: {stage}{share}"


def path_words(answer: Mapping[str, Any]) -> str:
    """By which hubs an answer came, with milliseconds; empty when it does not say."""
    path = answer.get("path")
    hops = path.get("hops") if isinstance(path, Mapping) else None
    return " -> ".join(
        f"{hop.get('hub')} ({hop.get('error') or ''}{'' if hop.get('error') else _ms(hop)})"
        for hop in hops or ()
    )


def _ms(hop: Mapping[str, Any]) -> str:
    taken = hop.get("ms")
    return f"{taken:.1f} ms" if isinstance(taken, int | float) else "no time"


def tell_end(operation: Mapping[str, Any], code_when_going_on: int = 0) -> None:
    """Say what is worth saying beside the data, and leave with the right code."""
    path = path_words(operation)
    if path:
        say(f"path: {path}")
    state = operation.get("state")
    if state == "queued":
        say(f"it waits for {operation.get('node_id')}, until {operation.get('expires_at')}")
    elif state in WRONG:
        error = operation.get("error")
        why = error.get("message") if isinstance(error, Mapping) else None
        say(f"{state}: {why or 'it gives no reason'}")
        sys.exit(1)
    elif state in NOT_OVER:
        say(f"still {state}; go on with: headwater op wait {operation.get('op_id')}")
        sys.exit(code_when_going_on)


OPERATION_COLUMNS = (
    Column("WHEN", "created_at"),
    Column("METHOD", "method"),
    Column("VM", "vm_name"),
    Column("NODE", "node_id"),
    Column("STATE", "state"),
    Column("BY", "requested_by"),
    Column("VIA", "via_hub"),
    Column("WHY", "error.message"),
    Column("OP", "op_id"),
)
