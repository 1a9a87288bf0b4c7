"""Alert rules over what this edge keeps: a sink that lets parts through and looks at them after.

Looking never delays or fails a source. An alert event and what must be known of it after a restart
are kept in one transaction, so a restart neither forgets an alert nor tells of it twice.
"""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry

from edge.receive.alert_counters import AlertCounters
from edge.receive.alert_observe import Observed, Observer
from edge.receive.alert_rule import AlertRule
from edge.receive.alert_rules import Alerts, Kind, Move, Saved
from edge.receive.host_sample import FilesystemSample, host_facts
from edge.receive.sink import Sink
from shared.errors import BadInput, Unavailable
from shared.otlp_make import Event, event_part
from shared.records import MIB, Checkpoint, Part, Signal
from shared.runtime import Runtime
from shared.signals import Scalar
from shared.tasks import Bell

log = logging.getLogger(__name__)

SCOPE = "headwater.alerts"
CHECKPOINT_KEY = "alerts"


@dataclass(frozen=True, slots=True)
class WatchLimits:
    """How much may wait, and how often time is looked at."""

    parts_max: int = 256
    bytes_max: int = 16 * MIB  # A burst of a moment; beyond it logs are counted as not looked at.
    events_max: int = 1000  # A full buffer may stay full for days; the newest tell how it is now.
    tick_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class _Told:
    """Events that wait to be kept, and the firing alerts as they are after them."""

    events: tuple[Event, ...]
    state: bytes


class Watch:
    """Alerts over parts that were kept: `offer` them, and keep `run` running."""

    def __init__(
        self,
        runtime: Runtime,
        sink: Sink,
        node_id: str,
        rules: Sequence[AlertRule],
        limits: WatchLimits | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._runtime = runtime
        self._sink = sink
        self._rules = rules
        self._resource = {
            "service.name": "headwater-edge",
            "headwater.node": node_id,
            **host_facts(),
        }
        self._limits = limits or WatchLimits()
        self._counters = AlertCounters(registry or CollectorRegistry())
        self._observer = Observer(rules, node_id)
        self._waiting: deque[Part] = deque()
        self._waiting_bytes = 0
        self._offered = Bell()
        self._told: deque[_Told] = deque()
        self._has_told = Bell()

    def offer(self, part: Part) -> None:
        """Look at a part soon. When too much waits it is left out, which is counted."""
        if not self._observer.wants(part):
            return
        # A flood of logs leaves half of the room to metrics, of which each look counts.
        share = 2 if part.signal is Signal.LOGS else 1
        is_full = len(self._waiting) >= self._limits.parts_max // share
        if is_full or self._waiting_bytes + len(part.body) > self._limits.bytes_max // share:
            self._counters.skip("busy")
            return
        self._waiting.append(part)
        self._waiting_bytes += len(part.body)
        self._offered.ring()

    async def run(self) -> None:
        """Look at what is offered and at the time, and keep what is to be told, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._judge())
            tasks.create_task(self._write())

    async def _judge(self) -> None:
        clock = asyncio.get_running_loop().time
        alerts = Alerts(self._rules, clock())
        saved = read_saved(await self._sink.checkpoint(CHECKPOINT_KEY))
        self._tell(alerts, alerts.restore(saved, clock(), self._runtime.wall_ns()))
        due = clock()
        while True:
            while self._waiting and clock() < due:
                await self._look(alerts)
            if clock() >= due:
                self._tell(alerts, alerts.on_time(clock()))
                due = clock() + self._limits.tick_seconds
            else:
                # With nothing pending or firing, time alone changes nothing.
                await self._offered.wait(due - clock() if alerts.needs_time else None)

    async def _look(self, alerts: Alerts) -> None:
        part = self._waiting.popleft()
        self._waiting_bytes -= len(part.body)
        try:
            seen: Observed = await self._runtime.offload(partial(self._observer.observe, part))
        except BadInput as error:
            log.debug("a part of %s cannot be looked at for alerts: %s", part.signal, error)
            self._counters.skip("unreadable")
            return
        now = asyncio.get_running_loop().time()
        moves: list[Move] = []
        for rule, attributes, value in seen.values:
            moves += alerts.on_value(rule, attributes, value, now)
        for rule, count in seen.counts.items():
            moves += alerts.on_records(rule, count, now)
        self._tell(alerts, moves)

    def _tell(self, alerts: Alerts, moves: Sequence[Move]) -> None:
        self._counters.firing.set(alerts.firing)
        self._counters.beyond.set(alerts.beyond)
        if not moves:
            return
        now, wall_ns = asyncio.get_running_loop().time(), self._runtime.wall_ns()
        for move in moves:
            log.log(
                logging.WARNING if move.kind is Kind.FIRING else logging.INFO, "%s", _text(move)
            )
        state = msgspec.json.encode(alerts.saved(now, wall_ns))
        self._told.append(_Told(tuple(event_of(move, wall_ns) for move in moves), state))
        self._bound_told()
        self._has_told.ring()

    def _bound_told(self) -> None:
        """Forget the oldest events when too many wait; the state that is kept stays the newest."""
        while len(self._told) > 1 and self._told_events() > self._limits.events_max:
            self._counters.lost.inc(len(self._told.popleft().events))

    def _told_events(self) -> int:
        return sum(len(told.events) for told in self._told)

    async def _write(self) -> None:
        while True:
            while self._told:
                await self._keep(self._told.popleft())
            await self._has_told.wait()

    async def _keep(self, told: _Told) -> None:
        part = event_part(self._resource, SCOPE, told.events)
        while True:
            try:
                await self._sink.append(part, Checkpoint(CHECKPOINT_KEY, told.state))
                break
            except Unavailable as error:
                log.warning("alert events wait: %s", error)
                await asyncio.sleep(max(0.1, error.retry_after_seconds))
        for event in told.events:
            self._counters.told(event.name)


class Watched:
    """A sink that lets everything through untouched, and shows it to a watch after the commit."""

    def __init__(self, sink: Sink, watch: Watch) -> None:
        self._sink = sink
        self._watch = watch

    async def append(self, part: Part, checkpoint: Checkpoint | None = None) -> None:
        """Return after the commit; raises BufferFull."""
        await self._sink.append(part, checkpoint)
        self._watch.offer(part)

    async def checkpoint(self, key: str) -> bytes | None:
        """The state that was last committed under this key."""
        return await self._sink.checkpoint(key)


def event_of(move: Move, time_ns: int) -> Event:
    """The event that tells people, and machines by its attributes, of a move."""
    rule = move.rule
    attributes: dict[str, Scalar] = {
        **dict(move.attributes),
        "alert.name": rule.name,
        "alert.state": "firing" if move.kind is Kind.FIRING else "resolved",
        "alert.reason": move.reason,
        "alert.value": move.value,
        "alert.threshold": rule.threshold,
        "alert.lasted_seconds": round(move.lasted_seconds, 3),
    }
    severity = rule.severity if move.kind is Kind.FIRING else "info"
    return Event(time_ns, move.kind.value, severity, _text(move), attributes)


def _text(move: Move) -> str:
    if move.reason == "no_rule":
        return f"{move.rule.name}: resolved, since there is no such rule any more"
    text = move.rule.text(move.value, move.attributes)
    if move.kind is Kind.FIRING:
        return text if move.reason == "broken" else f"{text} (still)"
    return f"resolved ({'no data' if move.reason == 'no_data' else 'over'}): {text}"


def read_saved(state: bytes | None) -> list[Saved]:
    """The saved alerts; none when they cannot be read, which is logged."""
    if state is None:
        return []
    try:
        return msgspec.json.decode(state, type=list[Saved])
    except msgspec.DecodeError as error:
        log.error("the saved alerts cannot be read, so alerts that go on are told again: %s", error)
        return []


def mountpoint_of(folder: Path, filesystems: Sequence[FilesystemSample]) -> str:
    """The mount point, as host metrics name it, of the filesystem that a folder is on. Blocks."""
    device = os.stat(folder).st_dev
    for seen in filesystems:
        try:
            if os.stat(seen.mountpoint).st_dev == device:
                return seen.mountpoint
        except OSError:
            continue  # Not ours to look at, so the folder is not on it.
    above = [folder.resolve(), *folder.resolve().parents]
    return next((str(path) for path in above if os.path.ismount(path)), "/")
