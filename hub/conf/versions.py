"""All that is known of the replicated settings: what is in force, and the newest versions before it.

Both are joins: what is in force is the later of two entries for each place, and the history is the
newest so many of all versions that were ever seen. So two hubs that saw the same hold the same,
whatever came first, twice, or in which groups. Old versions go by number, never by a clock.
"""

import bisect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from shared.conf import Entry, canonical, content_hash, later
from shared.conf_report import AGE_MAX, Age
from shared.stamp import Stamp

HISTORY_MAX = 1000  # Years of what people change by hand.

Name = tuple[Stamp, str, str]
"""What tells one version from all others: when it was written, and about what."""


def name_of(entry: Entry) -> Name:
    """The name of a version."""
    return entry.stamp, entry.scope, entry.key


@dataclass(slots=True)
class Versions:
    """Entries by place and by name. `join` is the only way in."""

    history_max: int = HISTORY_MAX
    current: dict[tuple[str, str], Entry] = field(default_factory=dict)
    by_name: dict[Name, Entry] = field(default_factory=dict)
    _recent: list[Name] = field(default_factory=list)
    """The history, oldest first; `by_name` holds these and what is in force."""
    _hash: str = ""

    def join(self, entry: Entry) -> tuple[bool, list[Name]]:
        """Take in one version; returns whether it was news, and the names of those that went."""
        name = name_of(entry)
        held = self.by_name.get(name)
        best = later(held, entry)
        if best is held:  # Not ==, for which 1 is 1.0 and true: the bytes decide.
            return False, []
        if held is None and not self._is_wanted(entry):
            return False, []
        self.by_name[name] = best
        dropped = self._rule(best) if held is not None else self._rule(best) + self._remember(name)
        self._hash = ""
        return True, [each for each in dropped if each not in self.by_name]

    def _is_wanted(self, entry: Entry) -> bool:
        if len(self._recent) < self.history_max or name_of(entry) > self._recent[0]:
            return True
        rival = self.current.get(entry.place)
        return rival is None or entry.stamp > rival.stamp

    def _rule(self, entry: Entry) -> list[Name]:
        """Put the entry in force if it is the later; returns what nothing holds any more."""
        rival = self.current.get(entry.place)
        if rival is not None and rival.stamp > entry.stamp:
            return []
        self.current[entry.place] = entry
        return [] if rival is None else self._let_go(name_of(rival))

    def _remember(self, name: Name) -> list[Name]:
        bisect.insort(self._recent, name)
        if len(self._recent) <= self.history_max:
            return []
        return self._let_go(self._recent.pop(0))

    def _let_go(self, name: Name) -> list[Name]:
        entry = self.by_name.get(name)
        place = bisect.bisect_left(self._recent, name)
        is_recent = self._recent[place : place + 1] == [name]
        if entry is None or is_recent or self.current.get(entry.place) is entry:
            return []
        del self.by_name[name]
        return [name]

    @property
    def hash(self) -> str:
        """What recognises all that is in force, in hex."""
        if not self._hash:
            self._hash = content_hash(self.current.values())
        return self._hash

    @property
    def age(self) -> Age:
        """How much is known; see shared.conf.Age."""
        stamps = [entry.stamp for entry in self.current.values()]
        wall_ms = sum(stamp.wall_ms for stamp in stamps)
        counter = sum(stamp.counter for stamp in stamps)
        # Stamps from a broken clock must not make the answers to heartbeats unreadable.
        return Age(min(wall_ms, AGE_MAX), min(counter, AGE_MAX))

    def newest_first(self) -> Iterator[Entry]:
        """The history."""
        return (self.by_name[name] for name in reversed(self._recent))

    def to_bytes(self) -> bytes:
        """The canonical bytes of all that is known: equal on hubs that saw the same."""
        entries: Iterable[Entry] = (self.by_name[name] for name in sorted(self.by_name))
        return b"\n".join(map(canonical, entries))
