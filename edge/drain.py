"""Draining: push everything that is in the buffer now, and say truly whether it arrived.

A drain has an id, so that a caller who lost the line joins it again, or gets its verdict. Whoever
waits for a drain drives it; `keep_on` drives those whose callers have left.
"""

import asyncio
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol

from edge.buffer import BufferState
from edge.drain_goal import Amount, Cause, Goal, Log, dead_letters, reason_of
from edge.hubs import Hubs
from edge.letters import DeadLetter
from shared.errors import Unavailable
from shared.ranges import Ranges

POLL_SECONDS = 0.1
NUDGE_SECONDS = 0.5
IDLE_SECONDS = 5.0  # A drain is driven by its caller for longer than that, as a rule.
MEASURE_SECONDS = 1.0  # Measuring reads the disk that the push reads too.
RUNNING_MAX = 16
VERDICTS_MAX = 32
BUSY_SECONDS = 5.0


class Pusher(Protocol):
    """What a drain needs of the shipper."""

    last_error: str
    pushed_chunks: int
    pushed_records: int
    pushed_bytes: int

    def hurry(self) -> None: ...


class Beats(Protocol):
    """What a drain needs of the heartbeats: their answers say what is safe."""

    def beat_now(self) -> None: ...


class Head(Protocol):
    """What a drain needs of the log's sums."""

    @property
    def head_seq(self) -> int: ...


class Holder(Protocol):
    """What a drain needs of the buffer."""

    @property
    def epoch(self) -> str: ...
    @property
    def seqs(self) -> Ranges: ...
    @property
    def totals(self) -> Head: ...
    def state(self) -> BufferState: ...
    async def measure(self, seqs: Ranges) -> tuple[int, int]: ...
    async def dead_letters(self) -> list[DeadLetter]: ...


@dataclass(slots=True)
class Run:
    """One drain. `began` is a time of the event loop."""

    request_id: str
    began: float
    deadline_seconds: float
    goal: Goal
    pushed_before: tuple[int, int, int]
    nudged_at: float
    measured_at: float | None = None
    is_cancelled: bool = False
    verdict: dict[str, Any] | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    measuring: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(slots=True)
class Drain:
    """Drains on demand. Several may run at once; each waits for what was there when it began."""

    buffer: Holder
    hubs: Hubs
    pusher: Pusher
    beats: Beats
    running: dict[str, Run] = field(default_factory=dict)
    verdicts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Of the drains that ended last, oldest first."""
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    async def run(self, deadline_seconds: float, request_id: str | None = None) -> dict[str, Any]:
        """Push until all that was buffered at the start is safe, at most `deadline_seconds`.

        Returns a verdict: `drained`, `incomplete` with what is left and why, or `cancelled`. An id
        that is known joins its drain, whatever the deadline, or gets the verdict that it had.
        Raises Unavailable when too many drains are running.
        """
        if request_id in self.verdicts:
            return self.verdicts[request_id]
        run = self.running.get(request_id or "") or self._begin(deadline_seconds, request_id)
        while run.verdict is None:
            await self._advance(run)
            if run.verdict is None:
                await asyncio.sleep(POLL_SECONDS)
        return run.verdict

    async def cancel(self, request_id: str) -> dict[str, Any] | None:
        """End a drain; returns its verdict, the old one if it has ended before, None if unknown.

        What is in the buffer is pushed all the same, only without hurry.
        """
        run = self.running.get(request_id)
        if run is None:
            return self.verdicts.get(request_id)
        run.is_cancelled = True
        await self._advance(run)
        return run.verdict

    async def keep_on(self) -> float:
        """Drive the drains whose callers have left; returns the seconds to the next time."""
        for run in [*self.running.values()]:
            await self._advance(run)
        return NUDGE_SECONDS if self.running else IDLE_SECONDS

    def _begin(self, deadline_seconds: float, request_id: str | None) -> Run:
        if len(self.running) >= RUNNING_MAX:
            raise Unavailable(f"{RUNNING_MAX} drains are running here already", BUSY_SECONDS)
        now = asyncio.get_running_loop().time()
        name, nudged_at = request_id or self._unused_id(), now - NUDGE_SECONDS
        run = Run(name, now, deadline_seconds, Goal(self._log()), self._pushed(), nudged_at)
        self.running[name] = run
        return run

    def _unused_id(self) -> str:
        names = (f"drain-{number}" for number in self._numbers)
        return next(name for name in names if name not in self.running | self.verdicts)

    def _log(self) -> Log:
        buffer = self.buffer
        chunks = buffer.state().chunks
        return Log(buffer.epoch, buffer.totals.head_seq, buffer.seqs, chunks)

    def _pushed(self) -> tuple[int, int, int]:
        pusher = self.pusher
        return pusher.pushed_chunks, pusher.pushed_records, pusher.pushed_bytes

    async def _advance(self, run: Run) -> None:
        """Look how far a drain is, and nudge or end it."""
        async with run.turn:
            if run.verdict is not None:
                return
            if run.measured_at is None:  # The goal, while it is whole.
                await self.measure(run)
            now = asyncio.get_running_loop().time()
            left = run.goal.observe(self._log(), self.hubs.safe())
            is_late = now - run.began >= run.deadline_seconds
            if run.is_cancelled or is_late or not (left or run.goal.is_moving):
                await self._end(run, left, now - run.began)
            elif now - run.nudged_at >= NUDGE_SECONDS:
                run.nudged_at = now
                self.pusher.hurry()
                self.beats.beat_now()

    async def measure(self, run: Run) -> None:
        """Bring the amounts of a drain up to date, at most once a second: that reads the disk."""
        async with run.measuring:
            now = asyncio.get_running_loop().time()
            if run.measured_at is None or now - run.measured_at >= MEASURE_SECONDS:
                run.measured_at = now
                await self._measure(run, run.goal.observe(self._log(), self.hubs.safe()))

    async def _measure(self, run: Run, left: Ranges) -> None:
        one_hub = left & self.hubs.accepted()
        unreached = (await self._amount(left - one_hub)).and_also(run.goal.moving)
        amounts = unreached, await self._amount(one_hub)
        run.goal.note(asyncio.get_running_loop().time(), *amounts)

    async def _amount(self, seqs: Ranges) -> Amount:
        if not seqs:
            return Amount()
        try:
            return Amount(seqs.count, *await self.buffer.measure(seqs))
        except Unavailable:
            return Amount(seqs.count, None, None)

    async def _end(self, run: Run, left: Ranges, seconds: float) -> None:
        async with run.measuring:
            await self._measure(run, left)
        causes = [*self.causes(run), *await self._dead_letters()]
        name = _verdict_of(run)
        now_pushed = zip(self._pushed(), run.pushed_before, strict=True)
        run.verdict = {
            "request_id": run.request_id,
            "verdict": name,
            "safe_to_power_off": name == "drained",
            "goal": run.goal.whole.to_wire(),
            "left": run.goal.left.to_wire(),
            "causes": [cause.to_wire() for cause in causes],
            "pushed": Amount(*(now - before for now, before in now_pushed)).to_wire(),
            "dead_letters": self.buffer.state().dead_letters,
            "reason": reason_of(name, causes),
            "deadline_s": run.deadline_seconds,
            "seconds": round(seconds, 3),
        }
        self.verdicts[run.request_id] = run.verdict
        del self.running[run.request_id]
        while len(self.verdicts) > VERDICTS_MAX:
            del self.verdicts[next(iter(self.verdicts))]

    def elapsed_seconds(self, run: Run) -> float:
        """How long it has been running."""
        return asyncio.get_running_loop().time() - run.began

    def causes(self, run: Run) -> list[Cause]:
        """Why what is left of a drain is left, as measured last."""
        goal = run.goal
        found = [
            Cause("not_on_any_hub", goal.unreached, self._trouble()),
            Cause("on_one_hub", goal.one_hub, "not yet on as many hubs as wanted"),
        ]
        return [cause for cause in found if cause.amount.chunks]

    def _trouble(self) -> str:
        views = self.hubs.views.values()
        if not views:
            return "no hub is known"
        silent = "; ".join(view.last_error for view in views if view.last_error)
        if silent and not any(view.is_answering for view in views):
            return self.pusher.last_error or f"no hub answers: {silent}"
        return self.pusher.last_error or "it is still being pushed"

    async def _dead_letters(self) -> list[Cause]:
        held = self.buffer.state().dead_letters
        if not held:
            return []
        try:
            letters = await self.buffer.dead_letters()
        except (Unavailable, sqlite3.Error) as error:
            return [
                Cause("dead_letters", Amount(held, None, None), f"they cannot be read: {error}")
            ]
        return [dead_letters(letters)] if letters else []


def _verdict_of(run: Run) -> str:
    if run.is_cancelled:
        return "cancelled"
    return "incomplete" if run.goal.left.chunks else "drained"
