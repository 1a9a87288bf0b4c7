"""The list of nodes in pages, by name: sifted and counted here, so that nobody needs all of them.

A fleet of 100,000 nodes is 70 MB. A page costs what is on it; conditions are tried on all nodes, for
the counts, with a break every few milliseconds: a hub that stands still for long counts as dead.
"""

import asyncio
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hub import params
from hub.describe import Now, describe_node
from hub.nodes.sieve import ListNodes, Sieve, sieve_of
from hub.nodes.tombstones import has_come
from hub.registry import Registry
from shared.liveness import NodeState
from shared.merge import NodeRecord
from shared.records import MIB

SIFTED_AT_ONCE = 500
DESCRIBED_AT_ONCE = 100  # Some five milliseconds.
PAGE_BYTES_MAX = 8 * MIB
"""What nodes tell of themselves on one page; the node that goes beyond it is the last."""
NODE_BYTES = 600
"""What is shown of a node beside that, about."""
COUNTS_SECONDS = 10.0
"""For so long the pages that follow a first one tell its counts."""
COUNTS_HELD_MAX = 64


@dataclass(frozen=True, slots=True)
class Counts:
    """How many nodes meet the conditions, in all and by state, and when they were counted."""

    states: Mapping[str, int]
    counted_at: float

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.states.values())


@dataclass(frozen=True, slots=True)
class _Page:
    records: Sequence[NodeRecord]
    is_last: bool
    counts: Counts


@dataclass(slots=True)
class NodeList:
    """Answers `node.list`."""

    registry: Registry
    now: Callable[[], Now]
    _counted: dict[Sieve, Counts] = field(default_factory=dict)

    async def answer(self, raw: dict[str, Any]) -> dict[str, Any]:
        """A page of nodes by name; `cursor` is where the next one begins, null on the last."""
        wanted: ListNodes = params.read(ListNodes, raw)
        after = max(wanted.after, wanted.cursor)
        page = await self._page(sieve_of(wanted), after, wanted.limit)
        items = await (self._brief(page.records) if wanted.brief else self._described(page.records))
        return {
            "items": items,
            "total": page.counts.total,
            "states": dict(sorted(page.counts.states.items())),
            "cursor": None if page.is_last or not items else items[-1]["node_id"],
        }

    def covered(self, raw: Mapping[str, Any], answer: Mapping[str, Any]) -> list[str] | None:
        """The nodes that an answer is about, for its coverage: None for all there are. Nodes that are
        only expected are left out: of them nothing can be missing."""
        is_whole = sieve_of(params.read(ListNodes, dict(raw))).lets_all_through
        if is_whole and answer["total"] <= len(answer["items"]):
            return None
        records = self.registry.records
        names = [str(item["node_id"]) for item in answer["items"]]
        return [name for name in names if name in records and has_come(records[name])]

    # ---- which

    async def _page(self, sieve: Sieve, after: str, limit: int) -> _Page:
        if sieve.lets_all_through:
            names = self.registry.roster.names
            begin = bisect_right(names, after)
            found, is_cut = await self._cut(names[begin : begin + limit])
            is_last = not is_cut and begin + limit >= len(names)
            return _Page(found, is_last, Counts(self.states(), 0.0))
        known = self._fresh_counts(sieve) if after else None
        return await self._sifted(sieve, after, limit, known)

    async def _cut(self, names: Sequence[str]) -> tuple[list[NodeRecord], bool]:
        """The records of these nodes, as many as a page may hold, and whether they were more."""
        found, room = list[NodeRecord](), PAGE_BYTES_MAX
        for number, name in enumerate(names, 1):
            if room <= 0:
                return found, True
            if number % SIFTED_AT_ONCE == 0:
                await asyncio.sleep(0)
            record = self.registry.records.get(name)
            if record is not None and name in self.registry.roster:  # It may have gone meanwhile.
                found.append(record)
                room -= self._weight(record)
        return found, False

    def _weight(self, record: NodeRecord) -> int:
        seen = self.registry.newest(record.node_id)
        facts_bytes = len(record.facts.packed) if record.facts else 0
        return NODE_BYTES + facts_bytes + (len(seen.packed) if seen else 0)

    async def _sifted(self, sieve: Sieve, after: str, limit: int, known: Counts | None) -> _Page:
        """The page after a name; without known counts, all nodes are looked at for them."""
        names, registry = self.registry.roster.names, self.registry
        begin = 0 if known is None else bisect_right(names, after)
        matching, states = list[str](), Counter[str]()
        for number in range(begin, len(names)):
            if number % SIFTED_AT_ONCE == 0:
                await asyncio.sleep(0)
            name = names[number]
            record = registry.records.get(name)
            if record is None or name not in registry.roster:
                continue  # It was removed a moment ago.
            state = registry.state(name)
            if not sieve.lets_through(registry, record, state):
                continue
            states[str(state)] += 1
            if name > after and len(matching) <= limit:
                matching.append(name)
            if known is not None and len(matching) > limit:
                break
        counts = known or self._hold_counts(sieve, states)
        found, is_cut = await self._cut(matching[:limit])
        return _Page(found, not is_cut and len(matching) <= limit, counts)

    # ---- how many

    def states(self) -> dict[str, int]:
        """How many nodes are in each state, of all that are here."""
        counted = {str(state): count for state, count in self.registry.life.book.counts().items()}
        unwatched = len(self.registry.roster) - sum(counted.values())
        unknown = str(NodeState.UNKNOWN)
        counted[unknown] = counted.get(unknown, 0) + max(0, unwatched)
        return {state: count for state, count in counted.items() if count}

    def _fresh_counts(self, sieve: Sieve) -> Counts | None:
        held = self._counted.get(sieve)
        if held is None or self.now().seconds - held.counted_at > COUNTS_SECONDS:
            return None
        return held

    def _hold_counts(self, sieve: Sieve, states: Counter[str]) -> Counts:
        self._counted.pop(sieve, None)
        while len(self._counted) >= COUNTS_HELD_MAX:
            del self._counted[next(iter(self._counted))]
        counts = self._counted[sieve] = Counts(dict(states), self.now().seconds)
        return counts

    # ---- what is told of them

    async def _described(self, records: Sequence[NodeRecord]) -> list[dict[str, Any]]:
        now, items = self.now(), list[dict[str, Any]]()
        for number, record in enumerate(records, 1):
            items.append(describe_node(self.registry, record, now))
            if number % DESCRIBED_AT_ONCE == 0:
                await asyncio.sleep(0)
                now = self.now()  # Nodes have beaten meanwhile: no age is below zero.
        return items

    async def _brief(self, records: Sequence[NodeRecord]) -> list[dict[str, Any]]:
        return [
            {"node_id": record.node_id, "state": str(self.registry.state(record.node_id))}
            for record in records
        ]
