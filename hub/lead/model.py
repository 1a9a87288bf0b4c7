"""The values of leadership: modes, the ballot that is on disk, times, and what a machine asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from hub.lead.mode import HUBS_MAX
from shared.ranges import SEQ_MAX

HubId = Annotated[str, Meta(min_length=1, max_length=63)]
Term = Annotated[int, Meta(ge=0, le=SEQ_MAX)]

STATE_CHANGED = "state:changed"
TERM_CHANGED = "term:changed"
LEADER_ELECTED = "leader:elected"
LEADER_LOST = "leader:lost"


class Role(StrEnum):
    """What a hub is in an election. One that only asks whether it may stand is a candidate to others."""

    FOLLOWER = "follower"
    ASKING = "asking"
    CANDIDATE = "candidate"
    LEADER = "leader"

    @property
    def state(self) -> str:
        """The word for people: follower, candidate or leader."""
        return "candidate" if self is Role.ASKING else str(self)


class Members(msgspec.Struct, frozen=True):
    """The hubs of which a majority is wanted, in order, and which version of that list this is.

    `term` and `number` say who made it: the leader of that term, as its change of that number. 0, 0
    is the list of the settings. Of two lists the one with the larger stamp is newer.
    """

    hubs: Annotated[tuple[HubId, ...], Meta(min_length=1, max_length=HUBS_MAX)]
    term: Term = 0
    number: Term = 0

    @property
    def stamp(self) -> tuple[int, int]:
        """The place of this list among all."""
        return self.term, self.number

    @property
    def majority(self) -> int:
        """How many hubs are more than half of them."""
        return len(self.hubs) // 2 + 1


class Ballot(msgspec.Struct, frozen=True):
    """What a hub must never forget: the latest term it knows, its vote there, and the members.

    It is `unsure` when the store is new or restored: then this name may have given a vote that is not
    in here. The first vote in a mesh without any leader yet, or the word of a leader, settles it.
    """

    members: Members
    term: Term = 0
    vote: Annotated[str, Meta(max_length=63)] = ""
    unsure: bool = False

    @property
    def may_have_forgotten(self) -> bool:
        """Whether a vote may have been given that is not in here."""
        return self.unsure and self.members.stamp == (0, 0)


@dataclass(frozen=True, slots=True)
class Timing:
    """The times of an election; raises ValueError when two leaders could act at once."""

    # Three beats may be lost before anybody stands.
    beat_seconds: float = 0.25
    # How long whoever heard a leader keeps to it: longer than a busy hub or a lossy link pauses.
    timeout_seconds_min: float = 1.0
    # Wide enough that one hub usually stands first, narrow enough for a leader within two seconds.
    timeout_seconds_max: float = 2.0
    # A leader whose majority is silent for so long has stopped before anybody else is elected.
    lease_seconds: float = 0.9
    # By how much a monotonic clock may be fast or slow; quartz is off by 0.01 %.
    drift_max: float = 0.02
    # Asking costs and changes nothing, so a refused hub asks again soon.
    ask_again_seconds: float = 0.25

    def __post_init__(self) -> None:
        # The leader's slow clock against the voter's fast one: the lease must still end first.
        safe = self.timeout_seconds_min * (1 - self.drift_max) / (1 + self.drift_max)
        if not 0 < self.beat_seconds < self.lease_seconds <= safe:
            raise ValueError(
                f"a lease of {self.lease_seconds:g} s must be longer than a beat and at most {safe:.3f} s"
            )
        if self.timeout_seconds_max <= self.timeout_seconds_min:
            raise ValueError("time-outs must be spread: the longest must exceed the shortest")


@dataclass(frozen=True, slots=True)
class Tell:
    """An event for people and hooks: state:changed, term:changed, leader:elected or leader:lost."""

    name: str
    facts: Mapping[str, Any] = field(default_factory=dict)
