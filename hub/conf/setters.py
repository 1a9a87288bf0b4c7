"""What of a running hub the settings of the cluster can change, and what its owner set for it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from hub.config import HubConfig
from hub.crowd import Crowd
from hub.keeper import Keeper
from hub.retention import KEEP_FOR_EVER
from shared.log import set_level
from shared.signals import Signal

SIGNALS = tuple(map(str, Signal))


def own_settings(config: HubConfig) -> dict[str, Any]:
    """What the owner of this hub wants, by the keys that the cluster may set over it."""
    own: dict[str, Any] = {
        "log_level": config.log_level,
        "backlog_bytes_per_s": config.backlog_bytes_per_s,
    }
    for signal in SIGNALS:
        policy = config.policies.get(signal, KEEP_FOR_EVER)
        own[f"keep_{signal}_days"] = policy.days
        own[f"keep_{signal}_bytes"] = policy.stored_bytes
    return own


def setters_of(keeper: Keeper, crowd: Crowd) -> Mapping[str, Callable[[Any], None]]:
    """For each key of `own_settings`, what gives the running hub a new value."""
    setters: dict[str, Callable[[Any], None]] = {
        "log_level": set_level,
        "backlog_bytes_per_s": partial(_set_budget, crowd),
    }
    for signal in SIGNALS:
        setters[f"keep_{signal}_days"] = partial(_keep, keeper, signal, "days")
        setters[f"keep_{signal}_bytes"] = partial(_keep, keeper, signal, "stored_bytes")
    return setters


def _set_budget(crowd: Crowd, bytes_per_s: int) -> None:
    crowd.limits = replace(crowd.limits, budget_bytes_per_s=bytes_per_s)


def _keep(keeper: Keeper, signal: str, field: str, value: int) -> None:
    # A new table: one round of the keeper looks at it more than once.
    policy = replace(keeper.policies.get(signal, KEEP_FOR_EVER), **{field: value})
    keeper.policies = {**keeper.policies, signal: policy}
