"""Which edges have the settings that they should have, by what their heartbeats say. Rules, no clock.

Edges with the same labels that say the same stand in one group, so 100,000 edges are judged by a look
at their groups, and a heartbeat that says nothing new costs one look-up.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import nsmallest
from itertools import islice
from typing import Any

from hub.conf.resolve import Resolver
from hub.describe import time_of_ms
from shared.conf_report import Report

ERROR_LENGTH_MAX = 500


class DriftState(StrEnum):
    """How an edge stands, the worst first. Unmanaged takes no settings from hubs."""

    REFUSED = "refused"
    BEHIND = "behind"
    WAITING = "waiting"
    CURRENT = "current"
    UNMANAGED = "unmanaged"


WORST = (DriftState.REFUSED, DriftState.BEHIND, DriftState.WAITING)

Tell = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Group:
    """What the edges of one group have in common."""

    labels: dict[str, str]
    report: Report

    def __hash__(self) -> int:
        """Equal groups have these in common; tables and lists have no hash."""
        return hash((frozenset(self.labels.items()), self.report.applied, self.report.refused))


@dataclass(frozen=True, slots=True)
class Drifting:
    """One edge that has not what it should have, since when (Unix ms)."""

    state: DriftState
    since_ms: int
    node_id: str
    wanted: str
    report: Report

    @property
    def badness(self) -> tuple[int, int, str]:
        """Sorts the worst, and of those the oldest, in front."""
        return WORST.index(self.state), self.since_ms, self.node_id


@dataclass(frozen=True, slots=True)
class Survey:
    """Edges by state, all of them under `nodes`, and the worst."""

    totals: dict[str, int]
    worst: list[Drifting]


def judge(wanted: str, report: Report) -> DriftState:
    """How an edge stands that should have the set `wanted`."""
    if not report.applied:
        return DriftState.UNMANAGED
    if report.applied == wanted:
        return DriftState.WAITING if report.waiting else DriftState.CURRENT
    return DriftState.REFUSED if report.refused == wanted else DriftState.BEHIND


@dataclass(slots=True)
class Drift:
    """What every edge that was heard said last. `tell` gets conf.refused_by_edge when the first edge
    refuses a set, and conf.refusal_over when the last one does so no more."""

    resolver: Resolver
    tell: Tell
    _members: dict[Group, tuple[Group, dict[str, int]]] = field(default_factory=dict)
    _group_of: dict[str, Group] = field(default_factory=dict)
    _refusing: Counter[str] = field(default_factory=Counter)

    def note(self, node_id: str, labels: Mapping[str, str], report: Report, now_ms: int) -> None:
        """Take in what a heartbeat said."""
        held = self._group_of.get(node_id)
        if held is not None and held.report == report and held.labels == labels:
            return
        group = Group(dict(labels), report)
        if report.refused and (held is None or held.report.refused != report.refused):
            self._begin_refusal(node_id, report)
        self._leave(node_id, report.refused)
        shared, members = self._members.setdefault(group, (group, {}))
        self._group_of[node_id] = shared  # Equal groups of many edges are one object.
        members[node_id] = now_ms

    def forget(self, node_id: str) -> None:
        """Drop an edge that was removed."""
        self._leave(node_id, "")

    def _begin_refusal(self, node_id: str, report: Report) -> None:
        self._refusing[report.refused] += 1
        if self._refusing[report.refused] == 1:
            facts = {"hash": report.refused, "edge": node_id, "error": report.error}
            self.tell("conf.refused_by_edge", facts)

    def _leave(self, node_id: str, refused_now: str) -> None:
        held = self._group_of.pop(node_id, None)
        if held is None:
            return
        _, members = self._members[held]
        del members[node_id]
        if not members:
            del self._members[held]
        refused = held.report.refused
        if refused and refused != refused_now:
            self._end_refusal(refused)

    def _end_refusal(self, refused: str) -> None:
        self._refusing[refused] -= 1
        if self._refusing[refused] == 0:
            del self._refusing[refused]
            self.tell("conf.refusal_over", {"hash": refused})

    def survey(self, limit: int) -> Survey:
        """How many edges stand how, and at most `limit` of those that have not what they should."""
        # Those that some scope names are judged one by one: what fits their labels is not all.
        named = [node for node in self.resolver.named_nodes if node in self._group_of]
        counts = Counter[str]({str(state): 0 for state in DriftState})
        drifting: list[Drifting] = []
        for node in named:
            group = self._group_of[node]
            one = self._one(node, group, self.resolver.wanted(node, group.labels).hash)
            counts[one.state] += 1
            drifting.append(one)
        self._survey_groups(frozenset(named), limit, counts, drifting)
        bad = (each for each in drifting if each.state in WORST)
        worst = nsmallest(limit, bad, key=lambda each: each.badness)
        return Survey({"nodes": len(self._group_of), **counts}, worst)

    def _survey_groups(
        self, named: frozenset[str], limit: int, counts: Counter[str], drifting: list[Drifting]
    ) -> None:
        named_in = Counter(self._group_of[node] for node in named)
        for group, members in self._members.values():
            wanted = self.resolver.wanted("", group.labels).hash
            state = judge(wanted, group.report)
            counts[state] += len(members) - (named_in[group] if named_in else 0)
            if state in WORST:
                # Within a group, those that came first drift longest.
                first = islice((node for node in members if node not in named), limit)
                drifting += [self._one(node, group, wanted) for node in first]

    def _one(self, node_id: str, group: Group, wanted: str) -> Drifting:
        since_ms = max(self._members[group][1][node_id], self.resolver.since_ms(wanted))
        return Drifting(judge(wanted, group.report), since_ms, node_id, wanted, group.report)

    @property
    def nodes(self) -> list[str]:
        """The edges that said something."""
        return list(self._group_of)

    def of_node(self, node_id: str) -> Report | None:
        """What an edge said last; None when it was not heard."""
        group = self._group_of.get(node_id)
        return group.report if group else None


def describe_drift(drift: Drift, limit: int) -> dict[str, Any]:
    """How edges stand, in figures, and the worst of them."""
    survey = drift.survey(limit)
    drifting = sum(survey.totals[state] for state in WORST)
    items = [describe_one(each) for each in survey.worst]
    return {"totals": survey.totals, "items": items, "more": drifting - len(items)}


def describe_one(each: Drifting) -> dict[str, Any]:
    """One edge that has not what it should have."""
    return {
        "node_id": each.node_id,
        "state": str(each.state),
        "since": time_of_ms(each.since_ms),
        "wanted": each.wanted,
        "applied": each.report.applied,
        "error": each.report.error[:ERROR_LENGTH_MAX] or None,
        "waiting": each.report.waiting,
    }
