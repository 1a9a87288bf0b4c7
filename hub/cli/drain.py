"""Commands about what an edge still holds: drain, buffer show."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import click

from hub.cli.ask import Asker, asking
from hub.cli.client import Caller, Door, local_edges, run
from hub.cli.output import PARTIAL, say, show_one, size
from shared import readers
from shared.errors import HeadwaterError, SettingsError, Unreachable

POLL_SECONDS = 0.5  # Moves before the eye, and costs the edge next to nothing.
ANSWER_SECONDS_EXTRA = 15.0  # For the way through a peer hub after the deadline.

Params = Mapping[str, Any]
Work = Callable[[Caller, Params], Coroutine[Any, Any, Any]]


@click.command()
@click.argument("node")
@click.option("--deadline", default="10m", show_default=True, help="Give up after this time.")
@asking
def drain(asker: Asker, /, node: str, deadline: str) -> None:
    """Push all that NODE holds, now; exit 0 means safe to power off, 3 that something is left."""
    try:
        deadline_s = readers.seconds(deadline)
    except ValueError as error:
        raise click.BadParameter(f"must be {error}") from error

    async def work(caller: Caller, target: Params) -> Any:
        return await drain_with_progress(caller, target, deadline_s, _progress(node))

    answer = through_hub_or_socket(asker, node, work)
    show_one(asker.form, answer)
    say(_verdict(node, answer))
    if not answer.get("safe_to_power_off"):
        sys.exit(PARTIAL)


@click.group()
def buffer() -> None:
    """Look at what an edge holds."""


@buffer.command("show")
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
    try:
        held = run([door], lambda _: None, lambda caller: caller.call("edge.buffer"))
    except HeadwaterError:
        return False  # A socket that a killed edge left behind.
    return bool(held.get("node_id") == node)


@dataclass(frozen=True, slots=True)
class Progress:
    """How a drain is shown while it runs."""

    update: Callable[[int, int], None]
    close: Callable[[], None]


async def drain_with_progress(
    caller: Caller, target: Params, deadline_s: float, progress: Progress
) -> Any:
    """The answer of edge.drain, with what is left shown while it runs."""
    call = caller.call(
        "edge.drain",
        {**target, "deadline_s": deadline_s},
        timeout_seconds=deadline_s + ANSWER_SECONDS_EXTRA,
    )
    try:
        async with asyncio.TaskGroup() as tasks:
            draining = tasks.create_task(call)
            watching = tasks.create_task(_watch(caller, target, progress))
            draining.add_done_callback(lambda _: watching.cancel())
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    finally:
        progress.close()
    return draining.result()


async def _watch(caller: Caller, target: Params, progress: Progress) -> None:
    most = 0
    while True:
        try:
            held = await caller.call("edge.buffer", target)
        except HeadwaterError:
            return  # The drain itself tells what is wrong; this is only the show.
        left = int(held.get("pending_chunks") or 0)
        most = max(most, left)
        progress.update(left, most)
        await asyncio.sleep(POLL_SECONDS)


def _progress(node: str) -> Progress:
    return _bar(node) if sys.stderr.isatty() else _lines(node)


def _lines(node: str) -> Progress:
    def update(left: int, most: int) -> None:
        say(f"{node}: {left} of {most} chunks left")

    return Progress(update, lambda: None)


def _bar(node: str) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn(node), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Bar(*columns, console=Console(stderr=True))
    bar.start()
    task = bar.add_task(node, total=None)

    def update(left: int, most: int) -> None:
        bar.update(task, total=most, completed=most - left)

    return Progress(update, bar.stop)


def _verdict(node: str, answer: Mapping[str, Any]) -> str:
    if answer.get("safe_to_power_off"):
        return f"{node} is drained: safe to power off"
    left = answer.get("left") or {}
    reason = answer.get("reason") or answer.get("verdict") or "no reason was given"
    return (
        f"{node} still holds {left.get('chunks', '?')} chunks "
        f"({left.get('records', '?')} records, {size(left.get('bytes'))}): {reason}"
    )
