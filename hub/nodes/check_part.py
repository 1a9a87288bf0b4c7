"""Checks, history and uptime as a part of a hub: what it observes of nodes, and what all hubs did."""

import asyncio
import logging
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hub.ground import Ground
from hub.nodes.check_methods import CheckMethods
from hub.nodes.check_params import PARAMS, SUMMARIES
from hub.nodes.check_rules import CHECKS
from hub.nodes.check_run import Checker
from hub.nodes.check_schedule import CheckBudget, Schedule
from hub.nodes.checks import Checks
from hub.nodes.history import log_name
from hub.nodes.history_keep import HistoryKeep
from hub.nodes.history_pull import PATH, HistoryPull
from hub.nodes.history_share import HistoryShare, Standing
from hub.nodes.history_write import Observing
from hub.nodes.others_told import OthersTold
from hub.nodes.summary import NodeGist
from hub.peering.sections import Section
from hub.rpc import Method
from hub.store.check_table import head_of, heads, last_states
from hub.store.spent_table import with_history
from hub.web.routes import RouteSpec
from shared.errors import Unavailable
from shared.merge import LABELS, REMOVED, NodeRecord
from shared.tasks import repeat

log = logging.getLogger(__name__)

GISTS_AT_ONCE = 500  # Some ten milliseconds: a hub that stands still for long counts as dead.


@dataclass(slots=True)
class CheckPart:
    """What one hub observes, runs and holds of nodes over time."""

    ground: Ground
    observing: Observing
    share: HistoryShare
    others: OthersTold
    checker: Checker = field(init=False)
    checks: Checks = field(init=False)
    history: HistoryKeep = field(init=False)
    pull: HistoryPull = field(init=False)
    _addresses: dict[str, str] = field(default_factory=dict)
    """From where this hub saw each node come."""

    def __post_init__(self) -> None:
        ground, config = self.ground, self.ground.config
        budget = CheckBudget(config.checks_at_once_max, config.checks_per_second_max)
        self.checker = Checker(ground.runtime.wall_ns)
        self.checks = Checks(
            ground.hub_id,
            ground.runtime,
            self.checker,
            Schedule(ground.runtime.rng, budget),
            self.observing,
            self.live_hubs,
            self._addresses.get,
            ground.report,
            self.may_judge,
        )
        self.history = HistoryKeep(
            ground.database,
            ground.runtime,
            self.observing,
            self.share,
            self.checks,
            ground.registry.life.is_listening,
            lambda: ground.keeper.is_clock_sound(),
            config.history_kept_days,
        )
        self.share.on_let_go = self.others.drop
        self.pull = HistoryPull(
            self.share,
            self.others,
            ground.mesh,
            ground.database,
            ground.runtime,
            self.live_hubs,
            ground.counters,
        )

    # ---- what it brings

    def methods(self) -> Mapping[str, Method]:
        """The calls about checks, history and uptime."""
        methods = CheckMethods(
            self.checks,
            self.share,
            self.ground.runtime,
            self.gists,
            self.names,
            self.gist,
            self.query,
            self.ground.intend,
        )
        return {
            name: Method(handler, PARAMS[name], SUMMARIES[name])
            for name, handler in methods.handlers().items()
        }

    def routes(self) -> Sequence[RouteSpec]:
        """Where peers ask for observations."""
        return [RouteSpec(PATH, ("POST",), "peer", self.pull.serve)]

    def sections(self) -> Sequence[Section]:
        """How far this hub holds which observations."""
        return [self.pull]

    async def run(self) -> None:
        """Check, observe, keep and pull, for ever."""
        rng = self.ground.runtime.rng
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.checks.run())
            tasks.create_task(repeat("keeping observations", self.history.keep, rng))
            tasks.create_task(repeat("settling observations", self.history.settle, rng))
            tasks.create_task(repeat("pulling observations", self.pull.step, rng))

    async def close(self) -> None:
        """Write what is not on disk yet, and let go of the threads that look up names."""
        self.checker.close()
        try:
            await self.history.close()
        except Unavailable as error:
            log.warning("the last observations are not saved: %s", error)

    # ---- what comes in

    def note_record(self, before: NodeRecord | None, after: NodeRecord) -> None:
        """A record of a node has changed: it may have other checks, or be gone."""
        node, is_gone = after.node_id, bool(after.intent_value(REMOVED))
        was_gone = before is None or bool(before.intent_value(REMOVED))
        held = None if before is None else before.intent.get(CHECKS)
        if is_gone == was_gone and held == after.intent.get(CHECKS):
            return
        if held is None and not is_gone and CHECKS not in after.intent:
            return  # A node that has come, as most have, without checks.
        self.checks.plan(node, None if is_gone else after.intent_value(CHECKS), self.ground.now)
        if is_gone and not was_gone:
            self._forget(node)

    def _forget(self, node: str) -> None:
        self._addresses.pop(node, None)
        self.others.forget(node)
        self.history.forget(node, lambda: self._record(node) is None)

    def forget_removed(self, connection: sqlite3.Connection) -> None:
        """Forget the nodes that were removed when the last run had no time for that any more."""
        records = self.ground.registry.records.items()
        removed = [node for node, record in records if record.intent_value(REMOVED)]
        for node in with_history(connection, removed):
            self._forget(node)

    def seen_from(self, node: str, address: str) -> None:
        """A node beat from an address."""
        self._addresses[node] = address

    # ---- how things stand

    def live_hubs(self) -> list[str]:
        """The peers that share the work: those that live, and are not about to stop."""
        peers = self.ground.mesh.peers
        known = [peer for peer in peers.by_url.values() if peer.hub_id and peer.verdict in _LIVE]
        return [peer.hub_id for peer in known if not peers.hold_of(peer.hub_id)]

    def may_judge(self) -> bool:
        """Whether a check that fails says something of its node, and not of this hub."""
        return not self.ground.mesh.peers.is_isolated

    def _record(self, node: str) -> NodeRecord | None:
        record = self.ground.registry.records.get(node)
        return None if record is None or record.intent_value(REMOVED) else record

    def gist(self, node: str) -> NodeGist | None:
        """What counts of a node; None for one that nobody knows, or that was removed."""
        record = self._record(node)
        return None if record is None else self._gist(record, self._speaking())

    async def gists(self) -> AsyncIterator[NodeGist]:
        """The same of all nodes by name; the event loop gets its turn meanwhile."""
        speaking = self._speaking()
        for number, node in enumerate(self.names(), 1):
            if number % GISTS_AT_ONCE == 0:
                await asyncio.sleep(0)
            record = self._record(node)
            if record is not None:
                yield self._gist(record, speaking)

    def names(self) -> Sequence[str]:
        """The nodes that nobody removed, by name."""
        return self.ground.registry.roster.names

    def _speaking(self) -> list[str]:
        return self.share.speaking(self.live_hubs())

    def _gist(self, record: NodeRecord, speaking: Sequence[str]) -> NodeGist:
        node, registry = record.node_id, self.ground.registry
        state = str(registry.state(node))
        names = [check.name for check in self.checks.schedule.checks_of(node)]
        return NodeGist(
            node,
            state,
            registry.is_draining(record),
            _labels(record),
            len(names),
            tuple(name for name in names if self._fails(node, name, speaking)),
            self.others.is_disputed(node, state, speaking),
        )

    def _fails(self, node: str, name: str, speaking: Sequence[str]) -> bool:
        mine = self.observing.state_of(node, name) == "failed"
        return mine or self.others.fails(node, name, speaking)

    async def query(self, read: Callable[[sqlite3.Connection], Any]) -> Any:
        """Read from one moment of the file, off the event loop."""
        return await self.ground.runtime.offload(partial(self._read, read))

    def _read(self, read: Callable[[sqlite3.Connection], Any]) -> Any:
        with self.ground.database.reading() as connection:
            connection.execute("BEGIN")
            try:
                return read(connection)
            finally:
                connection.execute("ROLLBACK")

    def gauges(self) -> dict[str, float]:
        """How it stands, for the metrics."""
        schedule = self.checks.schedule
        return {
            "checks": schedule.planned,
            "checks_running": schedule.running,
            "checks_missed": schedule.missed,
            "checks_failing": self.observing.failing,
            "nodes_with_unreadable_checks": len(self.checks.unreadable),
            "history_logs": len(self.share.held),
            "history_logs_refused": self.share.refused,
            "history_changes_refused": self.observing.refused,
            "history_rows_purged": self.history.purged,
        }


_LIVE = ("alive", "avoid")


def _labels(record: NodeRecord) -> dict[str, str]:
    """The labels of a node; what comes from elsewhere may be anything."""
    labels = record.intent_value(LABELS)
    if not isinstance(labels, Mapping):
        return {}
    return {name: value for name, value in labels.items() if isinstance(value, str)}


def build(ground: Ground) -> CheckPart:
    """The part of this hub, with what is on disk; from now on it is told of verdicts and records."""
    with ground.database.reading() as connection:
        part = _loaded(ground, connection)
        part.forget_removed(connection)
    for record in ground.registry.records.values():
        if CHECKS in record.intent:
            part.note_record(None, record)
    ground.mesh.witness.add(part.pull)
    ground.on_verdict.append(part.history.note_verdict)
    ground.registry.on_noted.append(part.note_record)
    ground.edges.seen_from = part.seen_from
    ground.in_gauges.append(part.gauges)
    return part


def _loaded(ground: Ground, connection: sqlite3.Connection) -> CheckPart:
    own = log_name(ground.hub_id, ground.store_epoch)
    head = head_of(connection, own)
    observing = Observing(head.head, head.attendance, head.attended_ms)
    share, others = HistoryShare(own), OthersTold()
    for each in heads(connection):
        share.held[each.log] = Standing(each.log, each.head, each.attendance, each.attended_ms)
    names = {
        node: node
        for node, record in ground.registry.records.items()
        if not record.intent_value(REMOVED)
    }
    for name, node, subject, state in _shared(names, last_states(connection)):
        said = [(node, subject, state)]
        if name == own:
            observing.recall(said)
        else:
            others.load(name, said)
    return CheckPart(ground, observing, share, others)


def _shared(
    names: Mapping[str, str], states: Iterable[tuple[str, str, str, str]]
) -> Iterator[tuple[str, str, str, str]]:
    """The states of nodes that are present, in strings that exist once: a hub may know 100,000 nodes."""
    for name, node, subject, state in states:
        if node in names:
            yield sys.intern(name), names[node], sys.intern(subject), sys.intern(state)
