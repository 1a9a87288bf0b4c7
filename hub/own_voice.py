"""What a hub says of itself: its log lines and events, written to its own log each second."""

import asyncio
import logging
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from hub.own_event import event_of
from hub.own_handler import OwnHandler
from hub.own_log import OwnLog, finish
from hub.own_outbox import Outbox
from shared.errors import Unavailable
from shared.otlp_make import Event, event_part
from shared.records import Part, Signal
from shared.runtime import Runtime

log = logging.getLogger(__name__)

SCOPE = "headwater.hub"
FLUSH_SECONDS = 1.0
EVENTS_MAX = 1_000
TAKEN_MAX = 500


class OwnVoice:
    """Gathers log lines and events of one hub; keep `run` running, and `flush` at the end."""

    def __init__(
        self,
        own: OwnLog,
        runtime: Runtime,
        resource: Mapping[str, str],
        counters: Counter[str],
        secrets: Collection[str] = (),
    ) -> None:
        self._own = own
        self._runtime = runtime
        self._resource = resource
        self._counters = counters
        self._outboxes = {Signal.LOGS: Outbox(), Signal.EVENTS: Outbox(EVENTS_MAX)}
        self._told_dropped = dict.fromkeys(self._outboxes, 0)
        self._is_refused = False
        self._turn = asyncio.Lock()
        self.handler = OwnHandler(self._outboxes[Signal.LOGS], secrets)
        """For `logging.getLogger().addHandler`, by who owns the process."""

    def note(self, event: Event) -> None:
        """Write an event soon; never waits, never raises, works from any thread."""
        self._outboxes[Signal.EVENTS].put(event)

    async def tell(self, event: Event) -> None:
        """As `note`, for those who have an async function to call."""
        self.note(event)

    def report(self, name: str, facts: Mapping[str, Any]) -> None:
        """Note that something happens now, such as ("disk.guard.closed", {"free_bytes": 1})."""
        self.note(event_of(self._runtime.wall_ns(), name, facts))

    async def run(self) -> None:
        """Write what has come, for ever."""
        while True:
            await finish(self.flush())
            await asyncio.sleep(FLUSH_SECONDS)

    async def flush(self) -> bool:
        """Write what waits; False when the log cannot take it now, and it waits on."""
        async with self._turn:
            while any(self._outboxes.values()) or self._tell_dropped():
                if not await self._write_some():
                    return False
        return True

    async def _write_some(self) -> bool:
        taken = {signal: box.take(TAKEN_MAX) for signal, box in self._outboxes.items()}
        parts = [self._part(signal, records) for signal, records in taken.items() if records]
        try:
            await self._own.write(parts)
        except Unavailable as error:
            self._refused(taken, error)
            return False
        self._is_refused = False
        return True

    def _part(self, signal: Signal, records: list[Event]) -> Part:
        return replace(event_part(self._resource, SCOPE, records), signal=signal)

    def _refused(self, taken: Mapping[Signal, list[Event]], error: Unavailable) -> None:
        self._counters["own_flushes_refused"] += 1
        for signal, records in taken.items():
            self._outboxes[signal].give_back(records)
        if not self._is_refused:  # Once, and not each second for as long as it lasts.
            log.warning("what this hub says of itself has to wait: %s", error)
        self._is_refused = True

    def _tell_dropped(self) -> bool:
        """Say what was shed, once all that was kept is written; returns whether there was any."""
        for signal, box in self._outboxes.items():
            fresh = box.dropped - self._told_dropped[signal]
            if fresh:
                self._told_dropped[signal] = box.dropped
                self._counters[f"own_{signal}_dropped"] += fresh
                self.report("own.dropped", {"signal": signal.value, "records": fresh})
        return any(self._outboxes.values())
