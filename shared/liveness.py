"""Whether a node is alive, from how long ago its beat number last moved. Pure: ages come in."""

import math
from dataclasses import dataclass
from enum import StrEnum


class NodeState(StrEnum):
    """What a hub says of a node. Unknown means: this hub has not listened long enough to say."""

    ONLINE = "online"
    LATE = "late"
    SUSPECT = "suspect"
    OFFLINE = "offline"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class BeatLimits:
    """Bounds of the heartbeat interval that hubs hand out."""

    beats_per_second_max: float = 500.0  # A few percent of one core on a small hub.
    seconds_min: float = 5.0
    seconds_max: float = 600.0


GRACE_SECONDS = 2.0  # A beat may be late by a slow request without a word in the list of nodes.
SUSPECT_INTERVALS = 2.0
OFFLINE_INTERVALS = 3.0


def beat_interval_seconds(nodes: int, limits: BeatLimits) -> float:
    """How often each of `nodes` may beat so that a hub sees at most `beats_per_second_max`."""
    wanted = math.ceil(nodes / limits.beats_per_second_max)
    return min(max(float(wanted), limits.seconds_min), limits.seconds_max)


def node_state(
    age_seconds: float | None, interval_seconds: float, listening_seconds: float
) -> NodeState:
    """Judge a node whose beat moved `age_seconds` ago (None: never since this hub began to listen)."""
    if age_seconds is None:
        silent = listening_seconds > OFFLINE_INTERVALS * interval_seconds + GRACE_SECONDS
        return NodeState.OFFLINE if silent else NodeState.UNKNOWN
    if age_seconds <= interval_seconds + GRACE_SECONDS:
        return NodeState.ONLINE
    if age_seconds <= SUSPECT_INTERVALS * interval_seconds + GRACE_SECONDS:
        return NodeState.LATE
    if age_seconds <= OFFLINE_INTERVALS * interval_seconds + GRACE_SECONDS:
        return NodeState.SUSPECT
    return NodeState.OFFLINE
