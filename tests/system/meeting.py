"""Hubs that have met: who was never seen is missed by nobody, so a test waits for it first."""

from collections.abc import Sequence
from functools import partial

from tests.system.processes import HubProcess, eventually

KNOWN_SECONDS = 6.0
"""Hubs compare what they believe each second, in the gossip of each second."""


def state_age_seconds(hub: HubProcess, peer: str) -> float:
    """For how long a hub has said the same of a peer."""
    rows = hub.call("hub.matrix")["rows"]
    (row,) = (row for row in rows if row["hub"] == hub.name)
    (entry,) = (entry for entry in row["entries"] if entry["peer"] == peer)
    return float(entry["state_age_s"])


def knows_all(hub: HubProcess, names: Sequence[str]) -> bool:
    """Whether it has known for some rounds that all these hubs reach each other."""
    said = {view["hub"]: view["hubs"] for view in hub.call("hub.views")["views"]}
    all_alive = all(
        said.get(by, {}).get(name, {}).get("state") == "alive" for by in names for name in names
    )
    others = [name for name in names if name != hub.name]
    return all_alive and all(state_age_seconds(hub, name) > KNOWN_SECONDS for name in others)


def wait_until_met(hubs: Sequence[HubProcess]) -> None:
    """Return once each of them knows that all are together."""
    names = [hub.name for hub in hubs]
    for hub in hubs:
        eventually(partial(knows_all, hub, names), f"{hub.name} knows all others")
