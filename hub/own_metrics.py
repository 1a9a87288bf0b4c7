"""The metrics of a hub: one registry, for Prometheus to ask and for the hub's own log to keep."""

import platform
from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry

from hub.exposition import HubCollector, Snapshot
from shared.receive.self_metrics import SelfMetrics
from shared.receive.sink import Sink
from shared.runtime import Runtime

INTERVAL_SECONDS = 10.0


def registry_of(snapshot: Callable[[], Snapshot]) -> CollectorRegistry:
    """A registry with the families of this hub; receivers add their own."""
    registry = CollectorRegistry()
    registry.register(HubCollector(snapshot))
    return registry


def own_resource(hub_id: str) -> Mapping[str, str]:
    """Who is speaking, in what a hub says of itself."""
    return {
        "service.name": "headwater-hub",
        "service.instance.id": hub_id,
        "headwater.hub": hub_id,
        "host.name": platform.node(),
    }


def own_metrics(
    hub_id: str,
    runtime: Runtime,
    sink: Sink,
    registry: CollectorRegistry,
    interval_seconds: float = INTERVAL_SECONDS,
) -> SelfMetrics:
    """Keeps what the registry says in the hub's own log, every interval; keep its `run` running."""
    return SelfMetrics(runtime, sink, own_resource(hub_id), registry, interval_seconds)
