"""The RPC methods about checks, history and uptime of nodes, and the summary of the fleet."""

import sqlite3
from bisect import bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from hub.nodes.check_describe import (
    NS_PER_MS,
    describe_bucket,
    describe_check,
    describe_parts,
    describe_result,
    describe_time,
    describe_told,
    seconds_of,
    time_of,
)
from hub.nodes.check_params import (
    CheckNode,
    ListChecks,
    ListUptimes,
    SetChecks,
    ShowHistory,
    ShowSummary,
    ShowUptime,
)
from hub.nodes.check_rules import CHECKS, CHECKS_MAX, read_checks
from hub.nodes.checks import Checks
from hub.nodes.history import Told, last_words
from hub.nodes.history_share import HistoryShare
from hub.nodes.summary import NodeGist, Sums
from hub.nodes.uptime import SCALES, Bucket, total
from hub.nodes.uptime_reads import (
    CONSIDERED_MAX,
    HISTORY_KEPT_MS,
    Moment,
    bars_of_nodes,
    history_of,
    worst_nodes,
)
from hub.params import read
from hub.query.times import parse_time
from hub.store.check_time_table import COARSE_MS, FINE_MS, CheckTime, check_times
from shared.errors import BadInput, RpcError
from shared.runtime import Runtime

WORST_MAX = 10
FRESH_MS = 15_000
"""A hub whose attendance was told longer ago does not observe now."""


@dataclass(slots=True)
class CheckMethods:
    """Answers them. `gists` are all nodes that nobody removed, `names` their names in order, and `gist`
    is one of them or None.

    `query` runs a reading function on a connection to hub.db, off the event loop.
    """

    checks: Checks
    share: HistoryShare
    runtime: Runtime
    gists: Callable[[], AsyncIterator[NodeGist]]
    names: Callable[[], Sequence[str]]
    gist: Callable[[str], NodeGist | None]
    query: Callable[[Callable[[sqlite3.Connection], Any]], Awaitable[Any]]
    intend: Callable[[str, str, object], Awaitable[None]]

    def handlers(self) -> dict[str, Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]]:
        """By name of the method."""
        return {
            "node.check": self.node_check,
            "node.checks": self.node_checks,
            "node.setChecks": self.node_set_checks,
            "node.history": self.node_history,
            "node.uptime": self.node_uptime,
            "fleet.uptime": self.fleet_uptime,
            "fleet.summary": self.fleet_summary,
        }

    def _node(self, node_id: str) -> NodeGist:
        gist = self.gist(node_id)
        if gist is None:
            raise RpcError("not_found", f"no node is called {node_id}", {"node": node_id})
        return gist

    def _moment(self) -> Moment:
        return Moment(self.runtime.wall_ms(), dict(self.share.held))

    async def node_check(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Run checks of a node here and now."""
        wanted = read(CheckNode, raw)
        self._node(wanted.node)
        try:
            results = await self.checks.run_now(wanted.node, wanted.check)
        except BadInput as error:
            raise RpcError("not_found", str(error), {"node": wanted.node}) from error
        items = [describe_result(result) for result in results]
        is_good = all(item["state"] == "ok" for item in items)
        return {"node": wanted.node, "hub": self.checks.hub_id, "ok": is_good, "items": items}

    async def node_checks(self, raw: dict[str, Any]) -> dict[str, Any]:
        """The checks of a node, each with the last word on it of a hub that observes now."""
        wanted, moment = read(ListChecks, raw), self._moment()
        self._node(wanted.node)
        start_ms, now_ms = moment.now_ms - HISTORY_KEPT_MS, moment.now_ms
        found: list[Told] = await self.query(
            lambda db: history_of(db, wanted.node, start_ms, now_ms, moment)
        )
        last = last_words(found, now_ms - FRESH_MS)
        held = self.checks.schedule.checks_of(wanted.node)
        items = [describe_check(check, last.get(check.name)) for check in held]
        unreadable = self.checks.unreadable.get(wanted.node)
        return {"node": wanted.node, "items": items, "unreadable": unreadable}

    async def node_set_checks(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Set the checks of a node; nothing is set when one of them is wrong."""
        wanted = read(SetChecks, raw)
        self._node(wanted.node)
        try:
            read_checks(wanted.checks)
        except BadInput as error:
            raise RpcError("invalid_params", str(error), {"node": wanted.node}) from error
        await self.intend(wanted.node, CHECKS, wanted.checks)
        return {"node": wanted.node, "checks": wanted.checks}

    async def node_history(self, raw: dict[str, Any]) -> dict[str, Any]:
        """What all hubs observed of a node."""
        wanted, moment = read(ShowHistory, raw), self._moment()
        self._node(wanted.node)
        now_ns = moment.now_ms * NS_PER_MS
        start_ms = parse_time(wanted.start, now_ns, "start") // NS_PER_MS
        end_ms = parse_time(wanted.end, now_ns, "end") // NS_PER_MS
        found: list[Told] = await self.query(
            lambda db: history_of(db, wanted.node, start_ms, end_ms, moment)
        )
        asked = [each for each in found if wanted.check in (None, each.subject)]
        return {
            "node": wanted.node,
            "items": [describe_told(each) for each in asked[: wanted.limit]],
            "more": len(asked) > wanted.limit,
            "latency": await self._latency(wanted.node, wanted.check, start_ms, moment.now_ms),
        }

    async def _latency(
        self, node: str, check: str | None, start_ms: int, now_ms: int
    ) -> dict[str, Any]:
        """How long the runs of this hub took, in as fine steps as are kept for that time."""
        names = [each.name for each in self.checks.schedule.checks_of(node)]
        asked = [name for name in names if check in (None, name)][:CHECKS_MAX]
        step_ms = FINE_MS if now_ms - start_ms <= COARSE_MS else COARSE_MS
        first_ms = start_ms // step_ms * step_ms

        def times(db: sqlite3.Connection) -> dict[str, list[CheckTime]]:
            return {name: check_times(db, node, name, step_ms, first_ms) for name in asked}

        found: dict[str, list[CheckTime]] = await self.query(times)
        checks = {name: [describe_time(each) for each in held] for name, held in found.items()}
        return {"hub": self.checks.hub_id, "step_s": step_ms // 1000, "checks": checks}

    async def node_uptime(self, raw: dict[str, Any]) -> dict[str, Any]:
        """The bars of one node."""
        wanted, moment = read(ShowUptime, raw), self._moment()
        gist, scale = self._node(wanted.node), SCALES[wanted.scale]
        found = await self.query(lambda db: bars_of_nodes(db, [wanted.node], scale, moment))
        buckets: list[Bucket] = found[wanted.node]
        return {
            "node": wanted.node,
            "state": gist.state,
            "scale": scale.name,
            "step_s": scale.step_ms // 1000,
            "buckets": [describe_bucket(bucket) for bucket in buckets],
            "total": describe_parts(total(buckets)),
        }

    async def fleet_uptime(self, raw: dict[str, Any]) -> dict[str, Any]:
        """The bars of many nodes, by name, a page at a time."""
        wanted, moment = read(ListUptimes, raw), self._moment()
        scale, needle = SCALES[wanted.scale], wanted.text.lower()
        names = self.names()
        if needle:
            names = [name for name in names if needle in name.lower()]
        begin = bisect_right(names, max(wanted.after, wanted.cursor))
        later = names[begin : begin + wanted.limit]
        gists = {name: gist for name in later if (gist := self.gist(name))}
        page = list(gists)
        found = await self.query(lambda db: bars_of_nodes(db, page, scale, moment))
        return {
            "scale": scale.name,
            "step_s": scale.step_ms // 1000,
            "start": time_of(scale.first_ms(moment.now_ms)),
            "parts": ["healthy_s", "degraded_s", "offline_s", "unknown_s"],
            "items": [_uptime_row(node, gists[node].state, found[node]) for node in page],
            "nodes": len(names),
            "cursor": later[-1] if begin + len(later) < len(names) else None,
        }

    async def fleet_summary(self, raw: dict[str, Any]) -> dict[str, Any]:
        """The fleet in a few numbers."""
        wanted, moment = read(ShowSummary, raw), self._moment()
        sums, bad = Sums(), list[str]()
        async for gist in self.gists():
            sums.add(gist)
            if len(bad) < CONSIDERED_MAX and (gist.state != "online" or gist.failing):
                bad.append(gist.node_id)
        present, scale = frozenset(self.names()), SCALES[wanted.scale]
        found, weighed = await self.query(lambda db: worst_nodes(db, bad, present, scale, moment))
        worst = [{"node": node, **describe_parts(parts)} for node, parts in found[:WORST_MAX]]
        uptime = {"scale": scale.name, "weighed": weighed, "worst": worst}
        counted = await self.runtime.offload(partial(sums.to_wire, wanted.labels))
        return {**counted, "uptime": uptime}


def _uptime_row(node: str, state: str, buckets: Sequence[Bucket]) -> dict[str, Any]:
    return {
        "node": node,
        "state": state,
        "bars": [list(seconds_of(bucket.parts)) for bucket in buckets],
        "total": describe_parts(total(buckets)),
    }
