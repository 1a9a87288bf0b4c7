"""Which edges have the settings that they should have, by what their heartbeats say. Rules, no clock.

Edges with the same labels that say the same stand in one group, so 100,000 edges are judged by a look
at their groups, and a heartbeat that says nothing new costs one look-up.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import nsmallest
from itertools import islice
from typing import Any

from hub.conf.resolve import Resolver
from hub.describe import time_of_ms
from shared.conf_report import Report

ERROR_LENGTH_MAX = 500
LOOKED_AT_ONCE = 500
"""Some five milliseconds: a hub that stands still for long counts as dead."""


class DriftState(StrEnum):
    """How an edge stands, the worst first. Unmanaged takes no settings from hubs."""

    REFUSED = "refused"
    BEHIND = "behind"
    WAITING = "waiting"
    CURRENT = "current"
    UNMANAGED = "unmanaged"


WORST = (DriftState.REFUSED, DriftState.BEHIND, DriftState.WAITING)

Tell = Callable[[str, Mapping[str, Any]], None]

WAIT_MS = 60_000
"""For so long a refusal may wait for a hub that speaks for the edge: one that dies is dead by then."""


def _always(node_id: str) -> bool:
    """This hub speaks for every edge."""
    return True


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
    refuses a set, and conf.refusal_over when the last one does so no more.

    Of all hubs that hear an edge, only the one that speaks for it tells; call `look` now and then, for
    it may be known only later which hub that is.
    """

    resolver: Resolver
    tell: Tell
    speaks_for: Callable[[str], bool] = _always
    _members: dict[Group, tuple[Group, dict[str, int]]] = field(default_factory=dict)
    _group_of: dict[str, Group] = field(default_factory=dict)
    _refusing: Counter[str] = field(default_factory=Counter)
    _told: set[str] = field(default_factory=set)
    _untold: dict[tuple[str, str], int] = field(default_factory=dict)
    """Refusals for which other hubs seem to speak: the set, the edge, and since when (Unix ms)."""

    def note(self, node_id: str, labels: Mapping[str, str], report: Report, now_ms: int) -> None:
        """Take in what a heartbeat said."""
        held = self._group_of.get(node_id)
        if held is not None and held.report == report and held.labels == labels:
            return
        group = Group(dict(labels), report)
        if report.refused and (held is None or held.report.refused != report.refused):
            self._begin_refusal(node_id, report, now_ms)
        self._leave(node_id, report.refused)
        shared, members = self._members.setdefault(group, (group, {}))
        self._group_of[node_id] = shared  # Equal groups of many edges are one object.
        members[node_id] = now_ms

    def forget(self, node_id: str) -> None:
        """Drop an edge that was removed."""
        self._leave(node_id, "")

    def _begin_refusal(self, node_id: str, report: Report, now_ms: int) -> None:
        self._refusing[report.refused] += 1
        if self.speaks_for(node_id):
            self._tell_refusal(node_id, report)
        elif report.refused not in self._told and len(self._untold) < LOOKED_AT_ONCE:
            self._untold[report.refused, node_id] = now_ms

    def _tell_refusal(self, node_id: str, report: Report) -> None:
        if report.refused not in self._told:
            self._told.add(report.refused)
            facts = {"hash": report.refused, "edge": node_id, "error": report.error}
            self.tell("conf.refused_by_edge", facts)

    def look(self, now_ms: int) -> None:
        """Tell of new refusals for which this hub speaks meanwhile."""
        for (refused, node_id), began_ms in list(self._untold.items()):
            report = self.of_node(node_id)
            is_over = report is None or report.refused != refused
            if not is_over and report is not None and self.speaks_for(node_id):
                self._tell_refusal(node_id, report)
                is_over = True
            if is_over or now_ms - began_ms > WAIT_MS:
                del self._untold[refused, node_id]

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
            if refused in self._told:
                self._told.discard(refused)
                self.tell("conf.refusal_over", {"hash": refused})

    def survey(self, limit: int) -> Survey:
        """How many edges stand how, and at most `limit` of those that have not what they should."""
        surveyor = Surveyor(self, limit)
        for _ in surveyor.steps():
            pass
        return surveyor.survey

    def groups(self) -> Iterable[tuple[Group, Mapping[str, int]]]:
        """The groups with their edges, and since when each is in it (Unix ms)."""
        return self._members.values()

    def group_of(self, node_id: str) -> tuple[Group | None, Mapping[str, int]]:
        """The group of an edge with all that are in it; None for one that said nothing."""
        group = self._group_of.get(node_id)
        return (None, {}) if group is None else self._members[group]

    @property
    def nodes(self) -> list[str]:
        """The edges that said something."""
        return list(self._group_of)

    def of_node(self, node_id: str) -> Report | None:
        """What an edge said last; None when it was not heard."""
        group = self._group_of.get(node_id)
        return group.report if group else None


@dataclass(slots=True)
class Surveyor:
    """Looks at all groups, in steps: with labels of their own, 100,000 edges are as many groups. An
    edge that says something new between two steps may be left out of the counts, or counted twice."""

    drift: Drift
    limit: int
    _counts: Counter[str] = field(default_factory=Counter)
    _drifting: list[Drifting] = field(default_factory=list)

    def steps(self) -> Iterator[None]:
        """Look at some edges after another."""
        groups = list(self.drift.groups())
        named = self._look_at_named()
        work = 0
        for group, members in groups:
            work += self._look_at(group, members, named)
            if work >= LOOKED_AT_ONCE:
                self._drifting, work = self._worst(), 0
                yield

    def _look_at_named(self) -> frozenset[str]:
        """Those that some scope names are judged one by one: what fits their labels is not all."""
        drift, resolver = self.drift, self.drift.resolver
        found = set[str]()
        for node in resolver.named_nodes:
            group, members = drift.group_of(node)
            if group is not None:
                found.add(node)
                wanted = resolver.wanted(node, group.labels).hash
                self._count(self._one(node, group, members, wanted))
        return frozenset(found)

    def _count(self, one: Drifting) -> None:
        self._counts[one.state] += 1
        if one.state in WORST:
            self._drifting.append(one)

    def _look_at(self, group: Group, members: Mapping[str, int], named: frozenset[str]) -> int:
        """Count a group, and note its first ones; returns how much work that was."""
        wanted = self.drift.resolver.wanted("", group.labels).hash
        state = judge(wanted, group.report)
        self._counts[state] += len(members) - len(members.keys() & named if named else ())
        if state not in WORST:
            return 1
        # Within a group, those that came first drift longest.
        first = list(islice((node for node in members if node not in named), self.limit))
        self._drifting += [self._one(node, group, members, wanted) for node in first]
        return 1 + len(first)

    def _one(self, node_id: str, group: Group, members: Mapping[str, int], wanted: str) -> Drifting:
        since_ms = max(members[node_id], self.drift.resolver.since_ms(wanted))
        return Drifting(judge(wanted, group.report), since_ms, node_id, wanted, group.report)

    def _worst(self) -> list[Drifting]:
        return nsmallest(self.limit, self._drifting, key=lambda each: each.badness)

    @property
    def survey(self) -> Survey:
        """What was found."""
        counts = {str(state): self._counts[state] for state in DriftState}
        return Survey({"nodes": self._counts.total(), **counts}, self._worst())


def describe_drift(survey: Survey) -> dict[str, Any]:
    """How edges stand, in figures, and the worst of them."""
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
