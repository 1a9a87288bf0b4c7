"""How a drain is shown while it runs: a bar in a terminal, now and then a line elsewhere."""

import asyncio
import sys
from collections.abc import Mapping
from typing import Any, Protocol

from hub.cli.client import Caller
from hub.cli.output import age, say, size
from shared.errors import HeadwaterError, RpcError
from shared.terminal import safe

LOOK_SECONDS = 0.2  # Until the drain has begun: short ones should be seen too.
BAR_SECONDS = 0.5  # Moves before the eye, and costs the edge next to nothing.
LINE_SECONDS = 5.0  # In a log file every line is kept.

Told = Mapping[str, Any]


class Show(Protocol):
    """A display of one drain. It is fed what `edge.drain.status` says, and ends once."""

    every_seconds: float

    def update(self, status: Told) -> None: ...
    def end(self, verdict: Told | None) -> None: ...


def show_of(node: str) -> Show:
    """The display that fits where the standard error of this process goes."""
    return Bar(node) if sys.stderr.isatty() else Lines(node)


def amounts(safe_now: Told, goal: Told) -> str:
    """How much of the goal is safe: `5 of 8 records, 1.0 KiB of 2.0 KiB`."""
    return (
        f"{_count(safe_now)} of {_count(goal)} records, "
        f"{size(safe_now.get('bytes'))} of {size(goal.get('bytes'))}"
    )


def pace(status: Told) -> str:
    """How fast it goes, and why it does not where it stands still."""
    stored, records = status.get("bytes_per_s"), status.get("records_per_s")
    if not stored or not records:
        return f"waiting: {status.get('reason') or 'nothing has arrived yet'}"
    eta = status.get("eta_seconds")
    end = f", ETA {age(eta)}" if eta is not None else ""
    return f"{size(stored)}/s, {records:,.0f} records/s{end}"


def _count(amount: Told) -> str:
    records = amount.get("records")
    return f"{records:,}" if isinstance(records, int) else "?"


class Lines:
    """A line at once, every few seconds, and at the end."""

    every_seconds = LINE_SECONDS

    def __init__(self, node: str) -> None:
        self._node = node

    def update(self, status: Told) -> None:
        """Say how far it is."""
        done = amounts(status.get("safe") or {}, status.get("goal") or {})
        say(f"{self._node}: {done}; {pace(status)}")

    def end(self, verdict: Told | None) -> None:
        """Say how far it came."""
        if verdict and verdict.get("goal"):
            done = amounts(_safe_of(verdict), verdict["goal"])
            say(f"{self._node}: {done}; ended after {age(verdict.get('seconds'))}")


class Bar:
    """A bar that grows with the bytes that are safe, and beside it two lines of words.

    Two, so that the time that is left can be seen in a terminal of 80 columns.
    """

    every_seconds = BAR_SECONDS

    def __init__(self, node: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        described = TextColumn("{task.description}", markup=False)
        words = TextColumn("{task.fields[words]}", markup=False)
        console = Console(stderr=True)
        self._bar = Progress(described, BarColumn(20), words, console=console, auto_refresh=False)
        self._task = self._bar.add_task(safe(node), total=None, words="asking")
        self._bar.start()

    def update(self, status: Told) -> None:
        """Move the bar."""
        done, goal = status.get("safe") or {}, status.get("goal") or {}
        self._move(done, goal, amounts(done, goal), pace(status))

    def _move(self, done: Told, goal: Told, *words: str) -> None:
        unit = "bytes" if done.get("bytes") is not None else "chunks"
        total, completed = goal.get(unit), done.get(unit) or 0
        told = "\n".join(map(safe, words))
        self._bar.update(self._task, total=total, completed=completed, words=told, refresh=True)

    def end(self, verdict: Told | None) -> None:
        """Leave the bar where it stands."""
        if verdict and verdict.get("goal"):
            done = _safe_of(verdict)
            self._move(done, verdict["goal"], amounts(done, verdict["goal"]))
        self._bar.stop()


def _safe_of(verdict: Told) -> Told:
    goal, left = verdict["goal"], verdict.get("left") or {}
    return {name: _less(goal.get(name), left.get(name)) for name in ("chunks", "records", "bytes")}


def _less(whole: int | None, left: int | None) -> int | None:
    return None if whole is None or left is None else max(0, whole - left)


async def watch(caller: Caller, question: Told, show: Show) -> None:
    """Feed a display with how the drain goes, until cancelled or the edge cannot say."""
    while True:
        status = await _look(caller, question)
        if status is None:
            return
        for each in status:
            show.update(each)
        await asyncio.sleep(show.every_seconds if status else LOOK_SECONDS)


async def _look(caller: Caller, question: Told) -> list[Told] | None:
    try:
        answer = await caller.call("edge.drain.status", question)
    except RpcError as error:
        # Of an older hub or edge only the verdict can be had.
        return None if error.kind in {"method_not_found", "invalid_params"} else []
    except HeadwaterError:
        return []  # The drain itself tells what is wrong; this is only the show.
    return list(answer.get("running") or [])
