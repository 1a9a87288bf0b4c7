"""Hubs and edges that each have a machine of their own, with a network between them that can fail."""

from collections.abc import Sequence

from tests.system.namespaces import PORT, Network
from tests.system.processes import (
    CLUSTER_KEY,
    EdgeProcess,
    Fleet,
    HubProcess,
    Role,
    start_together,
)


def scatter(
    fleet: Fleet, network: Network, hub_words: Sequence[str] = ()
) -> tuple[list[HubProcess], list[EdgeProcess]]:
    """A hub or an edge on every machine, as it is called; all are told of all hubs, and ready."""
    names = [name for name in network.machines if name.startswith("hub")]
    hubs = [_hub(fleet, network, name, names, hub_words) for name in names]
    edges = [_edge(fleet, network, name, names) for name in network.machines if name not in names]
    roles: list[Role] = [*hubs, *edges]
    fleet.roles += roles
    start_together(roles)
    return hubs, edges


def _addresses(network: Network, names: Sequence[str]) -> str:
    return ",".join(f"{network.machines[name].address}:{PORT}" for name in names)


def _hub(
    fleet: Fleet, network: Network, name: str, names: Sequence[str], more: Sequence[str]
) -> HubProcess:
    machine = network.machines[name]
    words = (
        "MODE=master",
        f"HUB_ID={name}",
        f"HOST={machine.address}",
        f"PORT={PORT}",
        "INSECURE=1",  # Nothing leaves this kernel.
        f"PEER_MASTERS={_addresses(network, [each for each in names if each != name])}",
        f"CLUSTER_KEY={CLUSTER_KEY}",
        *more,
    )
    ready_url = f"{machine.url}/readyz"
    hub = HubProcess(name, fleet.folder / name, words, fleet.venv, ready_url, url=machine.url)
    hub.before = machine.words
    return hub


def _edge(fleet: Fleet, network: Network, name: str, hubs: Sequence[str]) -> EdgeProcess:
    machine = network.machines[name]
    words = (
        "MODE=worker",
        f"NODE_ID={name}",
        f"MASTERS={_addresses(network, hubs)}",
        f"OTLP_PORT={PORT}",
        f"CLUSTER_KEY={CLUSTER_KEY}",
        "HOST_METRICS_SECONDS=0",
        "VMS_ON_STOP=stop",
    )
    ready_url = f"{machine.url}/livez"
    edge = EdgeProcess(
        name, fleet.folder / name, words, fleet.venv, ready_url, otlp_url=machine.url
    )
    edge.before = machine.words
    return edge
