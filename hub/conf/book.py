"""The replicated settings of one hub, numbered by change so that peers can be told what they lack.

Each exchange says how far one side is with the other's numbers, so nothing depends on an answer: what
was lost is told again, and what was told twice changes nothing. When two hubs are through with each
other's numbers and still differ, which a correct mesh never shows, everything is told once more.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from hub.conf.section import PAGE_BYTES, PAGE_ENTRIES, Section, check_section
from hub.conf.versions import Name, Versions, name_of
from shared.conf import Entry, canonical, check_stamp, read_entry
from shared.errors import BadInput
from shared.stamp import Stamp

ENTRIES_MAX = 2000  # Settings that people write; more need labels instead of single nodes.
ENTRIES_HARD_MAX = 4000  # Several hubs may each write the last one at the same moment.
PARKED_MAX = 20
PARKED_LENGTH_MAX = 2000


@dataclass(slots=True)
class Standing:
    """Where this hub and a peer are with each other's numbers."""

    instance: str = ""
    heard: int = 0
    told: int = 0
    repaired_at: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class Parked:
    """What came from a peer and is no setting, with its beginning."""

    hub_id: str
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Unsaved:
    """What must be written to disk: versions that are new, and names of those that went."""

    entries: list[Entry]
    dropped: list[Name]


@dataclass(slots=True)
class ConfBook:
    """All settings of the cluster as this hub knows them. `instance` names the life of its numbers;
    `witness` makes the stamps of this hub later than one that came from elsewhere."""

    instance: str
    witness: Callable[[Stamp], None]
    versions: Versions = field(default_factory=Versions)
    changes: int = 0
    written: int = 0  # By people, through this hub, since it started.
    counters: Counter[str] = field(default_factory=Counter)
    parked: list[Parked] = field(default_factory=list)
    met: Callable[[Entry, Entry], None] = lambda mine, theirs: None
    """Told of what is in force here and what a peer tells for the same place, before they are joined."""
    _changed: OrderedDict[Name, int] = field(default_factory=OrderedDict)
    _standings: dict[str, Standing] = field(default_factory=dict)
    _unsaved: dict[Name, None] = field(default_factory=dict)
    _dropped: dict[Name, None] = field(default_factory=dict)

    def load(self, entries: Iterable[Entry]) -> None:
        """Take in what was on disk."""
        for entry in entries:
            self.add(entry)
        self._unsaved.clear()

    def add(self, entry: Entry) -> bool:
        """Take in one version that was checked; returns whether it was news."""
        self.witness(entry.stamp)
        is_news, gone = self.versions.join(entry)
        for name in gone:
            self._changed.pop(name, None)
            self._unsaved.pop(name, None)
            self._dropped[name] = None
        name = name_of(entry)
        if is_news and name in self.versions.by_name:
            self.changes += 1
            self._changed[name] = self.changes
            self._changed.move_to_end(name)
            self._unsaved[name] = None
            self._dropped.pop(name, None)
        return is_news

    def take_unsaved(self) -> Unsaved:
        """What is new since the last time, to be written to disk."""
        entries = [self.versions.by_name[name] for name in self._unsaved]
        unsaved = Unsaved(entries, list(self._dropped))
        self._unsaved, self._dropped = {}, {}
        return unsaved

    def put_back(self, unsaved: Unsaved) -> None:
        """What was taken could not be written: have it taken again, as far as it still counts."""
        held = self.versions.by_name
        names = map(name_of, unsaved.entries)
        self._unsaved |= {name: None for name in names if name in held}
        self._dropped |= {name: None for name in unsaved.dropped if name not in held}

    def check_room(self, places: Iterable[tuple[str, str]]) -> None:
        """Whether these places can be written; raises BadInput."""
        fresh = sum(place not in self.versions.current for place in set(places))
        if len(self.versions.current) + fresh > ENTRIES_MAX:
            raise BadInput(
                f"there are {len(self.versions.current)} settings (those that were unset count as "
                f"well) and at most {ENTRIES_MAX}: use labels that many nodes have"
            )

    def section_for(self, hub_id: str) -> Section:
        """What a peer is to be told now: the oldest that it lacks, and how far we are with it."""
        standing = self._standings.setdefault(hub_id, Standing())
        page, through = self._page_after(standing.told)
        return Section(
            self.instance,
            self.versions.hash,
            len(self.versions.current),
            self.changes,
            standing.told,
            through,
            standing.instance,
            standing.heard,
            page,
        )

    def _page_after(self, number: int) -> tuple[list[Any], int]:
        fresh: list[Name] = []
        for name in reversed(self._changed):
            if self._changed[name] <= number:
                break
            fresh.append(name)
        page: list[Any] = []
        through, room = number, PAGE_BYTES
        for name in islice(reversed(fresh), PAGE_ENTRIES):
            entry = self.versions.by_name[name]
            room -= len(canonical(entry))
            if page and room < 0:
                return page, through
            page.append(entry)
            through = self._changed[name]
        return page, through if len(page) < len(fresh) else self.changes

    def take(self, section: Section, hub_id: str) -> list[Entry]:
        """Take in what a peer told; returns what was news. Raises BadInput, and then nothing changed.

        What is no entry is parked and counted, and the rest goes on.
        """
        check_section(section)
        if section.instance == self.instance:
            raise BadInput(f"{hub_id} tells settings under the name of this hub's own numbers")
        standing = self._meet(section, hub_id)
        news = [entry for value in section.entries for entry in self._take_one(value, hub_id)]
        if section.after <= standing.heard:
            standing.heard = max(standing.heard, section.through)
        self._compare(section, standing)
        return news

    def _meet(self, section: Section, hub_id: str) -> Standing:
        standing = self._standings.setdefault(hub_id, Standing())
        if standing.instance != section.instance:
            standing.instance, standing.heard = section.instance, 0
        is_ours = section.since_instance == self.instance
        standing.told = min(section.since, self.changes) if is_ours else 0
        return standing

    def _take_one(self, value: Any, hub_id: str) -> list[Entry]:
        try:
            entry = value if isinstance(value, Entry) else read_entry(value)
            check_stamp(entry.stamp)
            self._check_hard_room(entry)
        except BadInput as error:
            self.counters["parked"] += 1
            self.parked.append(Parked(hub_id, str(error), repr(value)[:PARKED_LENGTH_MAX]))
            del self.parked[:-PARKED_MAX]
            return []
        held = self.versions.current.get(entry.place)
        if held is not None and held != entry:
            self.met(held, entry)
        return [entry] if self.add(entry) else []

    def _check_hard_room(self, entry: Entry) -> None:
        current = self.versions.current
        if entry.place not in current and len(current) >= ENTRIES_HARD_MAX:
            raise BadInput(f"there are already {ENTRIES_HARD_MAX} settings")

    def _compare(self, section: Section, standing: Standing) -> None:
        ours, theirs = self.versions.hash, section.hash
        is_through = standing.heard == section.head and standing.told == self.changes
        if ours == theirs or not is_through or standing.repaired_at == (ours, theirs):
            return
        # Once for each pair: what cannot be taken in would otherwise be told again every second.
        standing.repaired_at = ours, theirs
        standing.heard = 0
        self.counters["repairs"] += 1

    def values(self, scope: str) -> dict[str, Any]:
        """What is set in one scope, by key, known or not."""
        current = self.versions.current.values()
        return {
            entry.key: entry.value for entry in current if entry.scope == scope and not entry.gone
        }

    def in_force(self) -> list[Entry]:
        """All that is set, by scope and key."""
        held = (entry for entry in self.versions.current.values() if not entry.gone)
        return sorted(held, key=lambda entry: entry.place)

    def forget_peer(self, hub_id: str) -> None:
        """Drop where we stand with a hub that will not come back."""
        self._standings.pop(hub_id, None)
