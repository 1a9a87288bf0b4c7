"""Commands about what an edge still holds: drain, buffer show."""

import asyncio
import secrets
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from hub.cli.ask import Asker, asking
from hub.cli.client import Caller, Door, local_edges, run
from hub.cli.drain_progress import Show, show_of, watch
from hub.cli.output import PARTIAL, say, show_one, size
from shared import readers
from shared.errors import HeadwaterError, SettingsError, Unreachable

ANSWER_SECONDS_EXTRA = 15.0  # For the way through a peer hub after the deadline.
CANCEL_SECONDS = 3.0  # A person who has pressed Ctrl-C wants the prompt back.
INTERRUPTED = 130  # As shells count a command that SIGINT ended.

Params = Mapping[str, Any]
Work = Callable[[Caller, Params], Coroutine[Any, Any, Any]]

WHERE = {
    "not_on_any_hub": "not on any hub",
    "on_one_hub": "on one hub only",
    "dead_letters": "dead letters",
}


@dataclass(frozen=True, slots=True)
class Order:
    """A drain to begin, or to join where somebody has named the id of one."""

    request_id: str
    deadline_seconds: float
    is_joining: bool

    def params(self, target: Params) -> dict[str, Any]:
        """The parameters of edge.drain."""
        return {
            **target,
            "deadline_s": self.deadline_seconds,
            "request_id": self.request_id,
        }


@click.command()
@click.argument("node", required=False, default="")
@click.option("--deadline", default="10m", show_default=True, help="Give up after this time.")
@click.option("--request-id", default="", help="Join the drain with this id, or begin it.")
@asking
def drain(asker: Asker, /, node: str, deadline: str, request_id: str) -> None:
    """Push all that NODE holds, now; exit 0 means safe to power off, 3 that something is left.

    Without NODE, it is the only edge on this machine, asked itself. Ctrl-C ends the wait; the edge
    pushes on as it always does.
    """
    try:
        deadline_seconds = readers.seconds(deadline)
    except ValueError as error:
        raise click.BadParameter(f"must be {error}") from error
    name = request_id or f"cli-{secrets.token_hex(8)}"
    order = Order(name, deadline_seconds, is_joining=bool(request_id))
    try:
        node, answer = _drain(asker, node, order)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    show_one(asker.form, answer)
    for line in _verdict(node, answer):
        say(line)
    if not answer.get("safe_to_power_off"):
        sys.exit(PARTIAL)


def _drain(asker: Asker, node: str, order: Order) -> tuple[str, Params]:
    """The name of the edge that was drained, and its verdict."""
    if not node:
        node, door = only_edge(asker.data)
        return node, run([door], say, lambda caller: drain_with_progress(caller, {}, order, node))

    async def work(caller: Caller, target: Params) -> Any:
        return await drain_with_progress(caller, target, order, node)

    return node, through_hub_or_socket(asker, node, work)


@click.command("show")
@click.argument("node")
@asking
def show(asker: Asker, /, node: str) -> None:
    """Show what NODE holds and how far it has been pushed."""

    async def work(caller: Caller, target: Params) -> Any:
        return await caller.call("edge.buffer", target)

    show_one(asker.form, through_hub_or_socket(asker, node, work))


def through_hub_or_socket(asker: Asker, node: str, work: Work) -> Any:
    """Do the work through a hub, else through the admin socket of that edge on this machine.

    `work` gets the parameters that name the edge: a hub must be told which one, the socket is it.
    """
    try:
        return run(asker.doors, say, lambda caller: work(caller, {"node": node}))
    except (Unreachable, SettingsError) as error:
        for door in local_edges(asker.data):
            if _is_edge(door, node):
                say(f"no hub answers; asking {node} on this machine instead")
                return run([door], say, lambda caller: work(caller, {}))
        raise error


def _is_edge(door: Door, node: str) -> bool:
    return _node_of(door) == node


def _node_of(door: Door) -> str:
    """Which edge answers at a socket; empty when none does."""
    try:
        held = run([door], lambda _: None, lambda caller: caller.call("edge.buffer"))
    except HeadwaterError:
        return ""  # A socket that a killed edge left behind.
    return str(held.get("node_id") or "")


def only_edge(data: Path) -> tuple[str, Door]:
    """The one edge that answers on this machine; raises SettingsError when it is not one."""
    doors = local_edges(data)
    named = [(name, door) for door in doors if (name := _node_of(door))]
    if len(named) == 1:
        return named[0]
    if named:
        names = ", ".join(sorted(name for name, _ in named))
        raise SettingsError(f"several edges run on this machine: name one of {names}")
    silent = ", ".join(door.name for door in doors)
    found = f"those in {data} do not answer: {silent}" if silent else f"none has a socket in {data}"
    raise SettingsError(f"no edge runs on this machine ({found}): name the node to drain")


async def drain_with_progress(caller: Caller, target: Params, order: Order, node: str) -> Any:
    """The answer of edge.drain, shown while it runs. When cancelled, the edge is told so."""
    try:
        return await _show_wait(caller, target, order, show_of(node))
    except asyncio.CancelledError:
        await _stop_waiting(caller, target, order, node)
        raise


async def _show_wait(caller: Caller, target: Params, order: Order, show: Show) -> Any:
    verdict = None
    try:
        verdict = await _wait(caller, target, order, show)
    finally:
        show.end(verdict)
    return verdict


async def _wait(caller: Caller, target: Params, order: Order, show: Show) -> Any:
    call = caller.call(
        "edge.drain",
        order.params(target),
        timeout_seconds=order.deadline_seconds + ANSWER_SECONDS_EXTRA,
    )
    question = {**target, "request_id": order.request_id}
    try:
        async with asyncio.TaskGroup() as tasks:
            draining = tasks.create_task(call)
            watching = tasks.create_task(watch(caller, question, show))
            draining.add_done_callback(lambda _: watching.cancel())
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    return draining.result()


async def _stop_waiting(caller: Caller, target: Params, order: Order, node: str) -> None:
    if not order.is_joining:  # Another may be waiting for a drain that we have joined.
        question = {**target, "request_id": order.request_id}
        try:
            await caller.call("edge.drain.cancel", question, timeout_seconds=CANCEL_SECONDS)
        except HeadwaterError as error:
            say(f"{node} could not be told, and hurries on until the deadline: {error}")
    say(f"no longer waiting; {node} goes on pushing what it holds, and this is no verdict")


def _verdict(node: str, answer: Params) -> Iterator[str]:
    causes = answer.get("causes") or []
    if answer.get("safe_to_power_off"):
        yield f"{node} is drained: safe to power off"
    else:
        was = "the drain was cancelled: " if answer.get("verdict") == "cancelled" else ""
        yield f"{was}{node} still holds {_amount(answer.get('left') or {})}{_why(answer)}"
    for cause in causes:
        where = WHERE.get(str(cause.get("cause")), cause.get("cause"))
        yield f"  {where}: {_amount(cause)}: {cause.get('why')}"


def _why(answer: Params) -> str:
    if answer.get("causes"):
        return ""  # Told line by line.
    return f": {answer.get('reason') or answer.get('verdict') or 'no reason was given'}"


def _amount(held: Params) -> str:
    chunks, records = held.get("chunks", "?"), held.get("records")
    return f"{chunks} chunks ({'?' if records is None else records} records, {size(held.get('bytes'))})"
