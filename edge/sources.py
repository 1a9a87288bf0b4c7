"""Everything that takes data in on this machine, built from the settings."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from edge.receive.alert_rule import AlertRule, at_mountpoint
from edge.receive.alerts import Watch, Watched, mountpoint_of
from edge.receive.host import HostMetrics
from edge.receive.host_sample import host_facts, take_sample
from edge.receive.journal import Journal
from edge.receive.otlp import otlp_app
from edge.receive.scrape import Scrape
from edge.receive.sink import Sink
from edge.receive.syslog import Syslog
from edge.receive.syslog_counters import SyslogCounters
from edge.receive.syslog_keep import SyslogLimits
from edge.receive.tail import FileTail
from edge.settings import EdgeSettings
from shared.receive.counters import ReceiveCounters
from shared.receive.self_metrics import SelfMetrics
from shared.runtime import Runtime

Loop = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Sources:
    """The door for OTLP, the loops of all other sources, and how they stop taking in."""

    door: ASGIApp
    loops: list[Loop] = field(default_factory=list)
    syslog: Syslog | None = None

    async def stop(self) -> None:
        """Take in no more; what senders were promised to be kept is kept."""
        if self.syslog is not None:
            await self.syslog.stop()


async def build_sources(
    settings: EdgeSettings, runtime: Runtime, scrubbed: Sink, registry: CollectorRegistry
) -> Sources:
    """Build all sources that the settings ask for. Raises SettingsError for a taken address.

    What they take in goes to `scrubbed`, which keeps back what the owner's rules name.
    """
    rules = await runtime.offload(lambda: _placed_rules(settings))
    # Alert rules see what came, also what is dropped; what they say of it is scrubbed like the rest.
    watch = Watch(runtime, scrubbed, settings.node_id, rules, registry=registry)
    sink = Watched(scrubbed, watch)
    door = otlp_app(sink, ReceiveCounters(registry), offload=runtime.offload)
    sources = Sources(door, [watch.run])
    sources.loops += _machine(settings, runtime, sink, registry)
    sources.loops += _asked(settings, runtime, sink, registry)
    if settings.syslog_udp or settings.syslog_tcp:
        sources.syslog = _syslog(settings, runtime, sink, registry)
        sources.loops.append(sources.syslog.run)
    return sources


def _placed_rules(settings: EdgeSettings) -> tuple[AlertRule, ...]:
    """The rules, those about "the data folder" with the file system that it is on."""
    mountpoint = mountpoint_of(settings.data, take_sample(0).filesystems)
    return at_mountpoint(settings.alerts, mountpoint)


def _machine(
    settings: EdgeSettings, runtime: Runtime, sink: Sink, registry: CollectorRegistry
) -> list[Loop]:
    """What this machine and this agent say of themselves."""
    seconds = settings.host_metrics_seconds
    if seconds <= 0:
        return []
    own = {
        **host_facts(),
        "service.name": "headwater-edge",
        "headwater.node": settings.node_id,
    }
    return [
        HostMetrics(runtime, sink, settings.node_id, seconds).run,
        SelfMetrics(runtime, sink, own, registry, seconds).run,
    ]


def _asked(
    settings: EdgeSettings, runtime: Runtime, sink: Sink, registry: CollectorRegistry
) -> list[Loop]:
    """What is read where it lies: files, the journal, and metrics of programs."""
    loops: list[Loop] = []
    node_id = settings.node_id
    if settings.tail:
        loops.append(FileTail(runtime, sink, node_id, settings.tail, registry=registry).run)
    if settings.journal:
        loops.append(Journal(runtime, sink, node_id, registry=registry).run)
    if settings.scrape:
        seconds = (settings.scrape_seconds, settings.scrape_timeout_seconds)
        scrape = Scrape(runtime, sink, node_id, settings.scrape, *seconds, registry=registry)
        loops.append(scrape.run)
    return loops


def _syslog(
    settings: EdgeSettings, runtime: Runtime, sink: Sink, registry: CollectorRegistry
) -> Syslog:
    limits = SyslogLimits(utc_offset_seconds=int(settings.syslog_utc_offset_seconds))
    counters = SyslogCounters(registry)
    udp, tcp = settings.syslog_udp, settings.syslog_tcp
    return Syslog.open(runtime, sink, settings.node_id, udp, tcp, counters, limits)
