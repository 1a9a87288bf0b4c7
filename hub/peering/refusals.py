"""What hubs refuse of each other: told once, and not with every message. Pure.

A refusal is told when it begins, and again only when nothing was refused for five minutes and the peer
was fine at the same door since, or for ten minutes. All of it is bounded, whatever names a caller
gives itself.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from shared.errors import BadInput, HeadwaterError, Refused, TooLarge

ENTRIES_MAX = 256
"""Refusals that are remembered; the one that is longest ago goes first."""

QUIET_SECONDS = 300.0
"""What was fine, and is refused again sooner, is the same trouble: digests are compared once a minute."""

SHOWN_SECONDS = 600.0
"""A refusal that did not come again for so long is not shown any more."""

TOLD_MAX = 30
"""Refusals told in ten minutes: whoever makes up names fills no log."""

TOLD_SECONDS = 600.0
REASON_LENGTH_MAX = 300

STRANGER = "key"
"""The kind of refusal of whoever comes without the cluster key."""

STRANGER_SECONDS = 3600.0
"""An address from which nobody knocked for so long is forgotten."""


class OtherVersion(BadInput):
    """A hub of another release whose words this one cannot read."""

    def __init__(self, sender: str, theirs: int, ours: int) -> None:
        super().__init__(
            f"{sender} speaks version {theirs} of the talk between hubs, "
            f"and this hub speaks {ours}: run the same release on both"
        )
        self.sender = sender


class OtherCluster(Refused):
    """A hub that belongs to another cluster."""

    def __init__(self, sender: str, theirs: str, ours: str) -> None:
        super().__init__(f"{sender} belongs to the cluster {theirs!r}, not {ours!r}")
        self.sender = sender


class Double(BadInput):
    """Two hubs have one name."""

    def __init__(self, sender: str, text: str) -> None:
        super().__init__(text)
        self.sender = sender


def kind_of(error: HeadwaterError) -> str:
    """The kind of reason in one word."""
    match error:
        case OtherVersion():
            return "version"
        case OtherCluster():
            return "cluster"
        case Double():
            return "double"
        case Refused():
            return "not_admitted"
        case TooLarge():
            return "too_large"
    return "unreadable"


_OF_THE_HUB = frozenset({"version", "cluster", "double", "not_admitted", STRANGER})
"""What is wrong with a hub as a whole is told once for all its doors."""


@dataclass(slots=True)
class Refusal:
    """One kind of trouble with one peer. Times are monotonic seconds."""

    peer: str
    kind: str
    reason: str
    last_at: float
    count: int = 0
    doors: set[str] = field(default_factory=set)
    """Where it was refused and has not been fine since."""


def _quiet_seconds(entry: Refusal) -> float:
    """After how long a silence the same trouble is new."""
    if entry.kind == STRANGER:
        return STRANGER_SECONDS
    return SHOWN_SECONDS if entry.doors else QUIET_SECONDS


@dataclass(slots=True)
class Refusals:
    """All that one hub refuses, or all for which it is refused."""

    total: int = 0
    untold: int = 0
    """Refusals that began and were only counted, since too many had been told."""

    _entries: OrderedDict[tuple[str, str, str], Refusal] = field(default_factory=OrderedDict)
    _told: deque[float] = field(default_factory=deque)

    def note(self, peer: str, door: str, kind: str, reason: str, now: float) -> bool:
        """Note a refusal; returns whether it is to be told."""
        self.total += 1
        key = (peer, kind, "" if kind in _OF_THE_HUB else door)
        entry = self._entries.pop(key, None)
        is_news = entry is None or now - entry.last_at >= _quiet_seconds(entry)
        entry = entry or Refusal(peer, kind, "", now)
        entry.reason, entry.last_at = reason[:REASON_LENGTH_MAX], now
        entry.count += 1
        entry.doors.add(door)
        self._entries[key] = entry
        if len(self._entries) > ENTRIES_MAX:
            self._entries.popitem(last=False)
        return is_news and self._may_tell(now)

    def _may_tell(self, now: float) -> bool:
        while self._told and now - self._told[0] >= TOLD_SECONDS:
            self._told.popleft()
        if len(self._told) >= TOLD_MAX:
            self.untold += 1
            return False
        self._told.append(now)
        return True

    def fine(self, peer: str, door: str) -> bool:
        """A message of the peer was taken at this door; returns whether something is over by that."""
        over = False
        if not self._entries:
            return over
        for entry in self._entries.values():
            if entry.peer == peer and door in entry.doors:
                entry.doors.discard(door)
                over = over or not entry.doors
        return over

    def of_peer(self, peer: str, now: float) -> str:
        """The reason of the newest refusal that is not over; empty without one."""
        for entry in reversed(self._entries.values()):
            is_shown = entry.doors and now - entry.last_at < SHOWN_SECONDS
            if entry.peer == peer and is_shown:
                return entry.reason
        return ""

    def forget(self, peer: str) -> None:
        """Drop what is known of a peer that is no longer one."""
        for key in [key for key in self._entries if key[0] == peer]:
            del self._entries[key]

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._entries)
