"""What a hub must know to begin, from what it was told."""

from dataclasses import fields
from typing import Any

from hub.config import HubConfig
from hub.settings import HubSettings

NOT_TOLD = frozenset({"synchronous", "room"})
"""What nobody can set, so that its default holds."""


def config_of(settings: HubSettings, admin_token: str) -> HubConfig:
    """All that these settings say; what a hub is told under the same name, it knows as it is."""
    other: dict[str, Any] = {
        "folder": settings.data,
        "peers": [peer.url for peer in settings.peers],
        "admin_token": admin_token,
        "scrub": True,
        "skew_ms_max": settings.max_skew * 1000,
    }
    names = {field.name for field in fields(HubConfig)} - other.keys() - NOT_TOLD
    return HubConfig(**other, **{name: getattr(settings, name) for name in names})
