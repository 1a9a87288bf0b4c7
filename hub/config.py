"""What a hub must know to begin."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hub.credits import BUDGET_BYTES_PER_S
from hub.disk_guard import Room
from hub.disk_watch import room_of
from hub.nodes.brake import BrakeLimits
from hub.nodes.interval import IntervalLimits
from hub.nodes.life import LifeLimits
from hub.retention import Policy

COPIES = 2


@dataclass(frozen=True, slots=True)
class HubConfig:
    """What a hub must know to begin. URLs have no slash at the end. By default everything is kept for
    ever, no process is started, and the hub keeps none of its own metrics."""

    hub_id: str
    folder: Path
    url: str
    peers: Sequence[str]
    cluster_key: str
    admin_token: str
    synchronous: str = "FULL"
    backlog_bytes_per_s: int = BUDGET_BYTES_PER_S
    copies: int = COPIES
    own_metrics_seconds: float = 0.0
    policies: Mapping[str, Policy] = field(default_factory=dict)
    disk_reserve_bytes: int = 0
    room: Callable[[Path], Room] = room_of
    index: bool = False
    query_processes: int = 0
    scrub: bool = False
    log_level: str = "info"
    skew_ms_max: float = 500.0
    leader: str = "none"
    lead_hubs: Sequence[str] = ()
    hook_command: Sequence[str] = ()
    hook_url: str = ""
    hook_timeout_seconds: float = 10.0
    heartbeat_seconds_min: float = 5.0
    heartbeat_seconds_max: float = 60.0
    beats_per_second_start: float = 2_000.0
    brake_hold_seconds: float = 120.0
    leave_hold_seconds: float = 60.0
    checks_at_once_max: int = 64
    checks_per_second_max: int = 50
    history_kept_days: int = 90


def life_limits(config: HubConfig) -> LifeLimits:
    """How often nodes are to beat, and how long this hub may doubt itself."""
    interval = IntervalLimits(
        config.heartbeat_seconds_min,
        config.heartbeat_seconds_max,
        config.beats_per_second_start,
    )
    return LifeLimits(interval, BrakeLimits(hold_seconds=config.brake_hold_seconds))
