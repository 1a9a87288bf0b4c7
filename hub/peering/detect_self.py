"""What a hub's contacts say of the hub itself, and whom it may ask for help. Rules only."""

import math
from collections.abc import Collection, Iterable

from hub.peering.detect_peer import Watch
from hub.peering.detect_values import DetectLimits, Failure, PeerState
from shared.readers import NAME

ASKED_AT_ONCE = 2


def reaches_nobody(watches: Collection[Watch], at: float, limits: DetectLimits) -> bool:
    """Whether a hub with these peers is isolated.

    A hub that others still reach gets more time, since lost answers are likelier than a network that
    is open one way only.
    """
    reached_at = latest(each.reached_at for each in watches)
    if not watches or reached_at >= at - limits.isolated_seconds:
        return False
    if len(watches) == 1:  # Only failures of our own network tell its death from our isolation.
        return all(each.failure is Failure.UNROUTABLE for each in watches)
    return is_unheard(watches, at, limits) or reached_at < at - limits.unanswered_seconds


def is_unheard(watches: Collection[Watch], at: float, limits: DetectLimits) -> bool:
    """Whether none of these peers has called for so long that a hub may be isolated."""
    return latest(each.heard_at for each in watches) < at - limits.isolated_seconds


def count_peers(watches: Collection[Watch]) -> int:
    """How many of these are hubs: an address at which nobody ever answered is none, unless nobody
    answered anywhere yet."""
    return sum(bool(NAME.fullmatch(each.peer)) for each in watches) or len(watches)


def out_of_sight(
    watches: Iterable[Watch], at: float, limits: DetectLimits
) -> tuple[list[Watch], list[Watch]]:
    """Peers that were here and are not dead: those that are silent, and all of them.

    Whose machine refuses us is gone by its own doing, and says nothing of our health.
    """
    watched = [w for w in watches if w.life is not None and w.state is not PeerState.DEAD]
    return [each for each in watched if _is_out_of_sight(each, at, limits)], watched


def _is_out_of_sight(watch: Watch, at: float, limits: DetectLimits) -> bool:
    heard_at = watch.known_at if watch.heard_at is None else watch.heard_at
    return at - heard_at > limits.word_seconds and watch.failure is not Failure.REFUSED


def last_reached(watches: Iterable[Watch]) -> str:
    """The peer that answered last; empty when none ever did."""
    times = {each.peer: each.reached_at for each in watches if each.reached_at is not None}
    return max(times, key=times.__getitem__) if times else ""


def helpers(watches: Iterable[Watch], about: Watch) -> list[str]:
    """The peers that should probe `about` for us this time; all of them get their turn."""
    names = sorted(w.peer for w in watches if w is not about and w.state is PeerState.ALIVE)
    count = min(len(names), ASKED_AT_ONCE)
    return [names[(about.asks + index) % len(names)] for index in range(count)]


def latest(times: Iterable[float | None]) -> float:
    """The last of these moments; minus infinity when there is none."""
    return max((each for each in times if each is not None), default=-math.inf)
