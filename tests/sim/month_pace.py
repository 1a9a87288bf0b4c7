"""The pace of a quiet fleet, slowed down: at the usual one a month is tens of millions of looks.

Only loops that look whether there is anything to do wait longer, and the attempts to reach a hub
that stays away. Whatever carries data is woken by the data and runs as it always does.
"""

import contextlib
from collections.abc import Iterator

import edge.agent
import edge.buffer
import edge.drain
import edge.heartbeat
import edge.link
import edge.shipper
import hub.conf.part
import hub.disk_watch
import hub.keeper
import hub.mesh
import hub.nodes.check_schedule
import hub.nodes.grave_part
import hub.nodes.history_keep
import hub.nodes.history_pull
import hub.nodes.live_part
import hub.nodes.live_watch
import hub.own_voice
import hub.peer_doors
import hub.peering.clock_part
import hub.peering.islands
import hub.peering.talk
import hub.peering.view_watch
import hub.peering.views
import hub.peering.watch_part
import hub.pulling
import hub.questions
import hub.saving
import hub.sweep
from hub.peering.detect_values import DetectLimits
from shared.backoff import Backoff

QUIET_SECONDS = 3600.0
"""Also the interval that hubs ask for: sixty times the most that a large fleet is asked for."""

_RETRY = Backoff(seconds_initial=0.5, seconds_max=QUIET_SECONDS)

_DETECTOR = DetectLimits(
    probe_seconds=QUIET_SECONDS,
    late_seconds=QUIET_SECONDS,
    refused_again_seconds=QUIET_SECONDS,
    dead_probe_seconds=QUIET_SECONDS,
    ask_seconds=QUIET_SECONDS,
    silent_seconds=6 * QUIET_SECONDS,
    stable_seconds=QUIET_SECONDS,
    word_seconds=3 * QUIET_SECONDS,
    observer_silent_seconds=3 * QUIET_SECONDS,
    isolated_seconds=3 * QUIET_SECONDS,
    unanswered_seconds=5 * QUIET_SECONDS,
    start_seconds=5 * QUIET_SECONDS,
    tick_seconds=QUIET_SECONDS,
)

SLOW = (
    (edge.agent, "MEASURE_SECONDS", QUIET_SECONDS),
    (edge.buffer, "TIDY_SECONDS", QUIET_SECONDS),
    (edge.drain, "IDLE_SECONDS", QUIET_SECONDS),
    (edge.heartbeat, "_RETRY", _RETRY),
    (edge.link, "_RETRY", _RETRY),
    (edge.shipper, "LOOK_AGAIN_SECONDS", QUIET_SECONDS),
    (edge.shipper, "SWEEP_SECONDS", QUIET_SECONDS),
    (hub.peer_doors, "POLL_SECONDS_MAX", QUIET_SECONDS),
    (hub.saving, "SAVE_SECONDS", QUIET_SECONDS),
    (hub.saving, "PRUNE_SECONDS", QUIET_SECONDS),
    (hub.mesh, "GOSSIP_SECONDS", QUIET_SECONDS),
    (hub.nodes.check_schedule, "WAIT_SECONDS_MAX", QUIET_SECONDS),
    (hub.nodes.history_keep, "KEEP_SECONDS", QUIET_SECONDS),
    (hub.nodes.history_keep, "SETTLE_SECONDS", QUIET_SECONDS),
    (hub.nodes.history_pull, "PULL_SECONDS", QUIET_SECONDS),
    (hub.nodes.grave_part, "LOOK_SECONDS", QUIET_SECONDS),
    (hub.nodes.live_part, "SAVE_SECONDS", QUIET_SECONDS),
    (hub.nodes.live_watch, "LOOK_SECONDS", QUIET_SECONDS),
    (hub.nodes.live_watch, "TICK_SECONDS", QUIET_SECONDS),
    (hub.peering.talk, "ROUND_SECONDS", QUIET_SECONDS),
    (hub.peering.talk, "SWEEP_SECONDS", QUIET_SECONDS),
    (hub.peering.watch_part, "LIMITS", _DETECTOR),
    (hub.peering.islands, "SPLIT_SECONDS", 8 * QUIET_SECONDS),
    (hub.peering.view_watch, "ROUND_SECONDS", QUIET_SECONDS),
    (hub.peering.views, "COUNTED_SECONDS", QUIET_SECONDS / 2),
    (hub.peering.views, "FRESH_SECONDS", 3 * QUIET_SECONDS),
    (hub.questions, "POLL_SECONDS", QUIET_SECONDS),
    (hub.pulling, "_RETRY", _RETRY),
    (hub.sweep, "SWEEP_SECONDS", QUIET_SECONDS),
    (hub.conf.part, "SAVE_SECONDS", QUIET_SECONDS),
    (hub.conf.part, "FORGET_SECONDS", QUIET_SECONDS),
    (hub.disk_watch, "LOOK_SECONDS", QUIET_SECONDS),
    (hub.keeper, "LOOK_SECONDS", QUIET_SECONDS),
    (hub.own_voice, "FLUSH_SECONDS", QUIET_SECONDS),
    (hub.peering.clock_part, "LOOK_SECONDS", QUIET_SECONDS),
    (hub.peering.clock_part, "COUNT_SECONDS", QUIET_SECONDS),
)


@contextlib.contextmanager
def quiet_pace() -> Iterator[None]:
    """Let everybody look once an hour while this lasts."""
    usual = [(module, name, getattr(module, name)) for module, name, _ in SLOW]
    for module, name, value in SLOW:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in usual:
            setattr(module, name, value)
