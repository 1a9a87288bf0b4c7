"""The settings from hubs in a running edge: what it starts with, and how it follows them."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from edge.agent import Agent
from edge.conf.applier import Applier, Begun, Setter, begin
from edge.conf.follow import Follower
from edge.conf.overlay import overlay
from edge.settings import EdgeSettings
from shared.conf import DOCUMENT_BYTES_MAX, Document, Request
from shared.log import set_level

SETTERS: Mapping[str, Setter] = {"log_level": set_level}
"""What a running edge can change at once; all else counts from its next start."""


def begin_with(own: EdgeSettings) -> Begun[EdgeSettings]:
    """What to start with: the settings of the owner, with the last good ones of the hubs over them."""
    if not own.cluster_settings:
        return Begun(own, Document())
    begun = begin(own.data, overlay(own))
    for key, setter in SETTERS.items():
        if getattr(begun.settings, key) != getattr(own, key):
            setter(getattr(begun.settings, key))
    return begun


def follow_hubs(agent: Agent, own: EdgeSettings, begun: Begun[EdgeSettings]) -> None:
    """Have the agent take settings from its hubs, unless the owner wants none."""
    if not own.cluster_settings:
        return
    applier: Applier[Any] = Applier(own.data, overlay(own), SETTERS, agent.runtime.offload, begun)
    agent.follow(Follower(applier, _asking(agent), agent.heartbeats.beat_now))


def _asking(agent: Agent) -> Callable[[str], Any]:
    question = msgspec.json.encode(Request(agent.identity.node_id))

    async def fetch(hub_id: str) -> bytes:
        return await agent.ask_hub(hub_id, "/edge/config", question, DOCUMENT_BYTES_MAX)

    return fetch
