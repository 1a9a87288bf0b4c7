"""Who reaches whom: the rows of all hubs side by side, and what follows from them. Rules only.

One row tells "I do not reach it". Several tell a dead hub, a dead link, a one-way link and an island
apart, as no single hub can.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import combinations
from typing import Any

from hub.peering.detect_row import Entry, Row
from hub.peering.detect_values import PeerState

ROW_FRESH_SECONDS = 5.0
"""An older row is history: it is shown, and nothing follows from it."""

HEARD_SECONDS = 3.0
HEARD_AFTER_SECONDS = 1.2
"""Two probes. A hub that dies has spoken last when it last answered, give or take one."""

TOGETHER_SECONDS = 3.0
"""Hubs that fall silent within this time of each other have one cause more likely than several."""

ILL_FACTOR = 2.0


class Way(StrEnum):
    """Whether requests get from one hub to another."""

    OPEN = "open"
    CLOSED = "closed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class SeenRow:
    """A row, and how many seconds ago it was heard."""

    row: Row
    age_s: float

    @property
    def is_old(self) -> bool:
        """Whether it says nothing of now."""
        return self.age_s > ROW_FRESH_SECONDS


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, in words, with who says so."""

    kind: str
    severity: str
    hubs: tuple[str, ...]
    words: str
    evidence: tuple[str, ...] = ()

    def to_wire(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "hubs": list(self.hubs),
            "words": self.words,
            "evidence": list(self.evidence),
        }


@dataclass(frozen=True, slots=True)
class Matrix:
    """The rows as one hub knows them, by name of the hub."""

    rows: tuple[SeenRow, ...]
    away: Mapping[str, str] = field(default_factory=dict)
    """The hubs that are away by plan, and until when at most (UTC). Nobody misses them."""

    @property
    def hubs(self) -> list[str]:
        """Every hub that has a row or is in one."""
        told = {seen.row.hub for seen in self.rows}
        return sorted(told | {each.peer for seen in self.rows for each in seen.row.entries})

    def seen(self, hub: str) -> SeenRow | None:
        """The row of a hub, old or not."""
        return next((seen for seen in self.rows if seen.row.hub == hub), None)

    @property
    def fresh(self) -> dict[str, Row]:
        """The rows that speak of now: young ones, but for the last words of a hub that died since."""
        young = [seen for seen in self.rows if not seen.is_old]
        return {seen.row.hub: seen.row for seen in young if not _is_last_word(seen, young)}

    def to_wire(self) -> dict[str, Any]:
        """As JSON values: rows with their age, and the findings."""
        rows = [
            {**seen.row.to_wire(), "age_s": round(seen.age_s, 3), "is_old": seen.is_old}
            for seen in self.rows
        ]
        return {
            "hubs": self.hubs,
            "rows": rows,
            "away": dict(self.away),
            "findings": [each.to_wire() for each in verdicts(self)],
        }


def verdicts(matrix: Matrix) -> list[Finding]:
    """Everything that is wrong between the hubs, the gravest first; nothing when all is well."""
    fresh = {hub: row for hub, row in matrix.fresh.items() if hub not in matrix.away}
    look = _Look(matrix, fresh)
    found = [
        *look.away_hubs(),
        *look.gone_hubs(),
        *look.gone_together(),
        *look.islands(),
        *look.isolated_hubs(),
        *look.links(),
        *look.ill_hubs(),
        *look.old_rows(),
    ]
    return sorted(found, key=lambda each: ("error", "warn", "info").index(each.severity))


@dataclass(frozen=True, slots=True)
class _Look:
    matrix: Matrix
    fresh: dict[str, Row]

    # ---- hubs

    def entries_about(self, hub: str) -> dict[str, Entry]:
        """What others say of a hub now."""
        told = {name: row.entry(hub) for name, row in self.fresh.items() if name != hub}
        return {name: entry for name, entry in told.items() if entry is not None}

    def missers(self, hub: str) -> dict[str, Entry]:
        """Who misses a hub that nobody hears and that has not spoken itself."""
        told = self.entries_about(hub)
        if hub in self.fresh or any(_hears(entry) for entry in told.values()):
            return {}
        return {name: entry for name, entry in told.items() if _way(entry) is Way.CLOSED}

    @property
    def expected(self) -> list[str]:
        """All hubs but those that are away by plan."""
        return [hub for hub in self.matrix.hubs if hub not in self.matrix.away]

    def gone(self) -> dict[str, dict[str, Entry]]:
        """The hubs that nobody hears, and who misses each."""
        told = {hub: self.missers(hub) for hub in self.expected}
        return {hub: missers for hub, missers in told.items() if missers}

    def away_hubs(self) -> Iterable[Finding]:
        for hub, ends in sorted(self.matrix.away.items()):
            told = f" until {ends[:19].replace('T', ' ')} UTC" if ends else ""
            yield Finding("away_hub", "info", (hub,), f"{hub} is away by plan{told}")

    def gone_hubs(self) -> Iterable[Finding]:
        for hub, missers in self.gone().items():
            buriers = [n for n, entry in missers.items() if entry.state is PeerState.DEAD]
            told = _evidence(hub, missers)
            if buriers:
                words = f"{hub} is dead: {_names(buriers)} declared it, and nobody hears it"
                yield Finding("dead_hub", "error", (hub,), words, told)
            else:
                words = f"{hub} answers nobody; it is avoided, and not declared dead"
                yield Finding("silent_hub", "warn", (hub,), words, told)

    def gone_together(self) -> Iterable[Finding]:
        gone = self.gone()
        ages = {hub: _silent_age(missers.values()) for hub, missers in gone.items()}
        if len(ages) < 2 or max(ages.values()) - min(ages.values()) > TOGETHER_SECONDS:
            return
        others, here = sorted(ages), sorted(self.fresh)
        words = (
            f"{_names(others)} fell silent together: they are dead, or the network between them "
            f"and {_names(here)} is cut and they are an island"
        )
        told = tuple(f"{hub}: silent for {_seconds(ages[hub])}" for hub in others)
        yield Finding("island_suspected", "error", tuple(others), words, told)

    def isolated_hubs(self) -> Iterable[Finding]:
        for hub, row in sorted(self.fresh.items()):
            if row.isolated and self.expected == [hub]:
                words = f"{hub} is alone by plan: all others were stopped in order"
                yield Finding("alone_hub", "info", (hub,), words)
            elif row.isolated:
                words = f"{hub} reaches no other hub: what it says of others counts for nothing"
                yield Finding("isolated_hub", "error", (hub,), words, _of_row(row))

    def ill_hubs(self) -> Iterable[Finding]:
        for hub, row in sorted(self.fresh.items()):
            if row.health >= ILL_FACTOR and not row.isolated:
                words = f"{hub} doubts itself and judges {row.health:.1f} times slower"
                yield Finding("ill_hub", "warn", (hub,), words, _of_row(row))

    def old_rows(self) -> Iterable[Finding]:
        for seen in self.matrix.rows:
            is_expected = seen.row.hub in self.expected
            if seen.is_old and is_expected and not self.missers(seen.row.hub):
                words = f"the row of {seen.row.hub} is {_seconds(seen.age_s)} old"
                yield Finding("old_row", "info", (seen.row.hub,), words)

    # ---- islands and links

    def way(self, start: str, end: str) -> Way:
        """Whether requests get from `start` to `end`, as either of them says now."""
        entry = self._entry(start, end)
        if entry is not None and _way(entry) is not Way.UNKNOWN:
            return _way(entry)
        back = self._entry(end, start)
        # What reached `end` without an answer of ours: it came from `start`.
        return Way.OPEN if back is not None and _hears_only(back) else Way.UNKNOWN

    def _entry(self, hub: str, peer: str) -> Entry | None:
        row = self.fresh.get(hub)
        return row.entry(peer) if row else None

    def components(self) -> list[list[str]]:
        """The hubs that have spoken, in groups between which no way is open, largest first."""
        group = {hub: {hub} for hub in self.fresh}
        for one, other in combinations(sorted(self.fresh), 2):
            if Way.OPEN in (self.way(one, other), self.way(other, one)):
                joined = group[one] | group[other]
                group.update(dict.fromkeys(joined, joined))
        groups = {tuple(sorted(each)) for each in group.values()}
        return [list(each) for each in sorted(groups, key=lambda names: (-len(names), names))]

    def islands(self) -> Iterable[Finding]:
        groups = self.components()
        if len(groups) < 2 or not all(self._is_apart(*pair) for pair in combinations(groups, 2)):
            return
        words = "the mesh is in pieces: " + " | ".join(_names(names) for names in groups)
        told = tuple(line for hub in sorted(self.fresh) for line in _of_row(self.fresh[hub]))
        yield Finding("islands", "error", tuple(sorted(self.fresh)), words, told)

    def _is_apart(self, ones: list[str], others: list[str]) -> bool:
        """Whether somebody says that there is no way; hubs that only just started say nothing."""
        pairs = [(one, other) for one in ones for other in others]
        return any(Way.CLOSED in (self.way(a, b), self.way(b, a)) for a, b in pairs)

    def links(self) -> Iterable[Finding]:
        gone = self.gone()
        group = {hub: index for index, names in enumerate(self.components()) for hub in names}
        for one, other in combinations(self.expected, 2):
            apart = one in group and other in group and group[one] != group[other]
            if not apart and one not in gone and other not in gone:
                yield from self._link(one, other)

    def _link(self, one: str, other: str) -> Iterable[Finding]:
        there, back = self.way(one, other), self.way(other, one)
        if Way.CLOSED not in (there, back):
            return
        if Way.OPEN in (there, back):
            start, end = (one, other) if there is Way.CLOSED else (other, one)
            words = f"one way only: {end} reaches {start}, and {start} does not reach {end}"
            yield Finding("one_way_link", "warn", (start, end), words, self._told(start, end))
        else:
            words = f"the link between {one} and {other} is dead; both live"
            told = self._told(one, other) + self._told(other, one)
            yield Finding("dead_link", "warn", (one, other), words, told)

    def _told(self, hub: str, peer: str) -> tuple[str, ...]:
        entry = self._entry(hub, peer)
        return _evidence(peer, {hub: entry}) if entry else ()


def _way(entry: Entry) -> Way:
    if entry.state is PeerState.UNKNOWN:
        return Way.UNKNOWN
    return Way.OPEN if entry.state is PeerState.ALIVE else Way.CLOSED


def _hears(entry: Entry) -> bool:
    """Whether something comes from a peer, and came also after its last answer."""
    if entry.state is PeerState.ALIVE:
        return True
    heard, reached = entry.heard_age_s, entry.reached_age_s
    if heard is None or heard > HEARD_SECONDS:
        return False
    return reached is None or reached - heard > HEARD_AFTER_SECONDS


def _hears_only(entry: Entry) -> bool:
    return entry.state is not PeerState.ALIVE and _hears(entry)


def _is_last_word(seen: SeenRow, rows: Iterable[SeenRow]) -> bool:
    """Whether a row is from before its hub fell silent, as all others say that it did."""
    told = [(each, each.row.entry(seen.row.hub)) for each in rows if each is not seen]
    known = [(each, entry) for each, entry in told if entry is not None]
    return bool(known) and all(
        _way(entry) is Way.CLOSED
        and not _hears_only(entry)
        and seen.age_s + HEARD_AFTER_SECONDS > _lost_age(entry) + each.age_s
        for each, entry in known
    )


def _lost_age(entry: Entry) -> float:
    return entry.state_age_s if entry.reached_age_s is None else entry.reached_age_s


def _silent_age(entries: Iterable[Entry]) -> float:
    return min(
        entry.state_age_s if entry.heard_age_s is None else entry.heard_age_s for entry in entries
    )


def _of_row(row: Row) -> tuple[str, ...]:
    missed = [each for each in row.entries if _way(each) is Way.CLOSED]
    return tuple(line for each in missed for line in _evidence(each.peer, {row.hub: each}))


def _evidence(peer: str, entries: dict[str, Entry]) -> tuple[str, ...]:
    return tuple(f"{hub} says: {_saying(peer, entry)}" for hub, entry in sorted(entries.items()))


def _saying(peer: str, entry: Entry) -> str:
    """One entry as a person would say it."""
    parts = [f"{peer} {entry.state.value} for {_seconds(entry.state_age_s)}"]
    if entry.misses:
        parts.append(f"{entry.misses} misses in a row, the last {entry.failure or 'unexplained'}")
    if entry.reached_age_s is None:
        parts.append("never answered")
    else:
        rtt = f" in {entry.rtt_ms:g} ms" if entry.rtt_ms is not None else ""
        parts.append(f"last answered {_seconds(entry.reached_age_s)} ago{rtt}")
    if _hears_only(entry):
        parts.append("its requests still arrive")
    return ", ".join(parts)


def _seconds(age: float) -> str:
    return f"{age:.1f} s" if age < 10 else f"{age:.0f} s" if age < 120 else f"{age / 60:.0f} min"


def _names(hubs: Iterable[str]) -> str:
    names = list(hubs)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
