"""What the age of a node's last beat means, and who says so. Pure: ages and intervals come in.

A node beats every T seconds, a tenth more or less, to every hub. It is late after one interval and
a slow request, suspect after two, offline after three, each with its tenth:

    late 1.1 T + 1 s,  suspect 2.2 T + 1 s,  offline 3.3 T

T is what was asked for when the node last beat, since that is when the next one fell due. At T = 5 s
offline begins 16.5 s after the last beat; a book of verdicts that is looked at every quarter of a
second therefore says so within 16.75 s, plus the delay of one message between hubs: under 17 s.
"""

from dataclasses import dataclass

from shared.liveness import NodeState

JITTER = 1.1
SLOW_REQUEST_SECONDS = 1.0

LATE_INTERVALS = 1 * JITTER
SUSPECT_INTERVALS = 2 * JITTER
OFFLINE_INTERVALS = 3 * JITTER


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why this hub takes silence for no proof, and until when at most (monotonic)."""

    reason: str
    ends_at: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a hub says of a node, by whose word, since when (monotonic), and why it cannot say more."""

    state: NodeState
    observer: str
    since: float
    reason: str = ""
    ends_at: float | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A verdict that changed: `old` and `new`, by whose word, and why."""

    node_id: str
    old: NodeState
    new: NodeState
    observer: str
    reason: str


def state_at(age_seconds: float, interval_seconds: float) -> NodeState:
    """The state of a node that was heard so long ago, when it was asked for that interval."""
    if age_seconds < LATE_INTERVALS * interval_seconds + SLOW_REQUEST_SECONDS:
        return NodeState.ONLINE
    if age_seconds < SUSPECT_INTERVALS * interval_seconds + SLOW_REQUEST_SECONDS:
        return NodeState.LATE
    if age_seconds < OFFLINE_INTERVALS * interval_seconds:
        return NodeState.SUSPECT
    return NodeState.OFFLINE


def turns_after(state: NodeState, interval_seconds: float) -> float:
    """The age at which a silent node in this state turns to the next worse one."""
    if state is NodeState.ONLINE:
        return LATE_INTERVALS * interval_seconds + SLOW_REQUEST_SECONDS
    if state is NodeState.LATE:
        return SUSPECT_INTERVALS * interval_seconds + SLOW_REQUEST_SECONDS
    return OFFLINE_INTERVALS * interval_seconds


def offline_seconds(interval_seconds: float) -> float:
    """How long a hub must have listened before silence says anything."""
    return OFFLINE_INTERVALS * interval_seconds
