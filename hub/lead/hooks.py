"""Hooks: what an operator wants to be run when this hub begins to lead, and when it has ceased to.

The stop of a term has ended, or was given up and told, before a start runs. At most one of each waits.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any

from hub.lead.model import Tell
from shared.backoff import Backoff, backoff_seconds
from shared.errors import HeadwaterError
from shared.tasks import Bell

log = logging.getLogger(__name__)

HOOK_FAILED = "leader:hook_failed"


class HookKind(StrEnum):
    """What happened to this hub."""

    STOP = "stop"
    START = "start"


@dataclass(frozen=True, slots=True)
class HookCall:
    """What a hook is told. `fence` is the fencing number: that which is over when it is a stop."""

    kind: HookKind
    hub: str
    term: int
    fence: int
    leader: str
    mode: str
    reason: str

    def facts(self) -> dict[str, Any]:
        """As JSON values, and upper-cased with HEADWATER_LEAD_ in front as environment."""
        return {
            "kind": str(self.kind),
            "hub": self.hub,
            "term": self.term,
            "fence": self.fence,
            "leader": self.leader,
            "mode": self.mode,
            "reason": self.reason,
        }


Hook = Callable[[HookCall], Awaitable[None]]
"""Runs one hook to its end, in bounded time; raises HeadwaterError when it failed."""


Note = Callable[[int | None], Awaitable[None]]
"""Writes down the fence of a start that has begun and whose stop has not ended, None when there is
none; raises HeadwaterError."""


async def _unnoted(fence: int | None) -> None:
    """Nobody asks after a restart."""


@dataclass(frozen=True, slots=True)
class HookPolicy:
    """How often a hook is tried, and with which waits between."""

    attempts_max: int = 3  # A start must not wait for ever for a stop that cannot succeed.
    backoff: Backoff = field(default_factory=lambda: Backoff(0.5, 5.0))


class Hooks:
    """Runs hooks one after the other; a newer state takes the place of one that has not begun."""

    def __init__(
        self,
        hooks: Sequence[Hook],
        tell: Callable[[Tell], None],
        rng: Random,
        policy: HookPolicy | None = None,
        note: Note = _unnoted,
    ) -> None:
        self._hooks = hooks
        self._tell = tell
        self._rng = rng
        self._policy = policy or HookPolicy()
        self._note = note
        self._waiting: dict[HookKind, HookCall] = {}
        self._bell = Bell()
        self._overtaken = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def put(self, call: HookCall) -> None:
        """Let this hook run in its turn; a start that has not begun is overtaken by a stop."""
        if not self._hooks:
            return
        if call.kind is HookKind.STOP:
            self._waiting.pop(HookKind.START, None)
            self._overtaken.set()
        self._waiting[call.kind] = call
        self._idle.clear()
        self._bell.ring()

    async def drained(self) -> None:
        """Wait until nothing runs and nothing waits."""
        await self._idle.wait()

    async def run(self) -> None:
        """Run what is put, for ever."""
        while True:
            call = self._waiting.pop(HookKind.STOP, None) or self._waiting.pop(HookKind.START, None)
            if call is not None:
                await self._run_all(call)
                continue
            self._idle.set()
            await self._bell.wait()

    async def _run_all(self, call: HookCall) -> None:
        self._overtaken.clear()
        if call.kind is HookKind.START:
            await self._write_down(call.fence)
        async with asyncio.TaskGroup() as tasks:
            runs = [tasks.create_task(self._run_one(hook, call)) for hook in self._hooks]
        if call.kind is HookKind.STOP and all(run.result() for run in runs):
            await self._write_down(None)

    async def _write_down(self, fence: int | None) -> None:
        """Who leads must act; after a crash a stop too few or too many is the lesser evil."""
        try:
            await self._note(fence)
        except HeadwaterError as error:
            log.warning("it is not on disk which start hook has begun: %s", error)

    async def _run_one(self, hook: Hook, call: HookCall) -> bool:
        """Whether it succeeded, perhaps not at once."""
        for attempt in range(self._policy.attempts_max):
            try:
                await hook(call)
            except HeadwaterError as error:
                log.warning("the %s hook of term %d: %s", call.kind, call.term, error)
                trouble = str(error)
            else:
                return True
            if await self._is_given_up(call, attempt):
                break
        self._tell(Tell(HOOK_FAILED, {**call.facts(), "error": trouble, "attempts": attempt + 1}))
        return False

    async def _is_given_up(self, call: HookCall, attempt: int) -> bool:
        """Wait for the next attempt; true when there is none, or this hub leads no longer."""
        if attempt + 1 == self._policy.attempts_max:
            return True
        seconds = backoff_seconds(attempt, self._policy.backoff, self._rng)
        if call.kind is HookKind.STOP:
            await asyncio.sleep(seconds)
            return False
        try:
            async with asyncio.timeout(seconds):
                await self._overtaken.wait()
        except TimeoutError:
            return False
        return True
