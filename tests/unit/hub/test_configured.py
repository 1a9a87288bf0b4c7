"""What a hub is told is what it knows when it begins."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from hub.config import HubConfig
from hub.configured import NOT_TOLD, config_of
from hub.settings import HubSettings
from shared.address import Address

SETTINGS = HubSettings(hub_id="hub-1", data=Path("var/test"), cluster_key="a key")
CONFIG = config_of(SETTINGS, "a token")
OTHER = {"folder", "peers", "admin_token", "scrub", "skew_ms_max"}
ALIKE = sorted({field.name for field in fields(HubConfig)} - NOT_TOLD - OTHER)
WIDER = {(int, float), (tuple[str, ...], Sequence[str])}
"""Types of settings, each with one of a hub that takes all of its values."""


@pytest.mark.parametrize("name", ALIKE)
def test_what_has_the_same_name_is_of_the_same_kind(name: str) -> None:
    """The types are compared here because names that are looked up are not checked elsewhere."""
    said = getattr(HubSettings, name, None)
    told = get_type_hints(said.fget if isinstance(said, property) else HubSettings)
    kind = told["return"] if isinstance(said, property) else told[name]
    known = get_type_hints(HubConfig)[name]
    assert kind == known or (kind, known) in WIDER


@pytest.mark.parametrize(
    ("told", "known"),
    [
        ({"max_skew": 2.5}, {"skew_ms_max": 2500}),
        ({"peers": (Address("other", 8470),)}, {"peers": ["http://other:8470"]}),
        ({"data": Path("elsewhere")}, {"folder": Path("elsewhere")}),
        ({"index": False, "query_processes": 0}, {"index": False, "query_processes": 0}),
        ({"copies": 5, "hook_url": "http://it"}, {"copies": 5, "hook_url": "http://it"}),
        ({"advertise_url": "http://me/"}, {"url": "http://me"}),
    ],
)
def test_what_is_told_otherwise_is_known_otherwise(
    told: dict[str, Any], known: Mapping[str, Any]
) -> None:
    config = config_of(replace(SETTINGS, **told), "a token")
    assert {name: getattr(config, name) for name in known} == known


def test_everything_that_can_be_set_reaches_the_hub() -> None:
    assert {name: getattr(CONFIG, name) for name in ALIKE} == {
        name: getattr(SETTINGS, name) for name in ALIKE
    }
    assert (CONFIG.admin_token, CONFIG.scrub, CONFIG.synchronous) == ("a token", True, "FULL")
