"""What a hub writes itself: data that is sent straight to it, and what it says of itself."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from hub.config import HubConfig
from hub.disk_watch import DiskWatch
from hub.exposition import Snapshot
from hub.otlp_doors import ingest_token
from hub.own_log import OwnLog
from hub.own_metrics import own_metrics, own_resource, registry_of
from hub.own_voice import OwnVoice
from hub.store.chunks import ChunkStore
from shared.receive.body import BodyLimits
from shared.receive.counters import ReceiveCounters
from shared.receive.otlp import OtlpReceiver
from shared.receive.self_metrics import SelfMetrics
from shared.records import MIB
from shared.runtime import Runtime

BODIES_BYTES_MAX = 128 * MIB


@dataclass(frozen=True, slots=True)
class Own:
    """The hub's own log and all that writes to it."""

    log: OwnLog
    voice: OwnVoice
    registry: CollectorRegistry
    metrics: SelfMetrics | None
    otlp: OtlpReceiver

    async def run(self) -> None:
        """Write what comes, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.log.run())
            tasks.create_task(self.voice.run())
            if self.metrics is not None:
                tasks.create_task(self.metrics.run())


def build_own(
    config: HubConfig,
    store_epoch: str,
    store: ChunkStore,
    runtime: Runtime,
    counters: Counter[str],
    disk: DiskWatch,
    snapshot: Callable[[], Snapshot],
) -> Own:
    """Put the parts together; `snapshot` is asked when metrics are."""
    own_log = OwnLog(config.hub_id, store_epoch, store, runtime, counters, disk.check)
    secrets = [config.cluster_key, config.admin_token, ingest_token(config.cluster_key)]
    voice = OwnVoice(own_log, runtime, own_resource(config.hub_id), counters, secrets)
    registry = registry_of(snapshot)
    metrics = None
    if config.own_metrics_seconds > 0:
        metrics = own_metrics(config.hub_id, runtime, own_log, registry, config.own_metrics_seconds)
    limits = BodyLimits(held_bytes_max=BODIES_BYTES_MAX)
    otlp = OtlpReceiver(own_log, ReceiveCounters(registry), limits, runtime.offload)
    return Own(own_log, voice, registry, metrics, otlp)
