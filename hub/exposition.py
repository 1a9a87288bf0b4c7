"""The hub's own metrics for Prometheus, read when somebody asks: nothing is counted twice."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

MEANINGS: Mapping[str, str] = {
    "chunks": "Chunks that this hub has on its disk",
    "records": "Records in these chunks",
    "stored_bytes": "Bytes of their bodies, compressed",
    "links": "Edges that are connected to this hub and take orders through it",
    "uptime_seconds": "Time since this hub started",
    "conflicts": "Chunks that contradicted what was held under their number",
    "conflict_chunks": "Such chunks that were kept beside their logs",
    "undeclared_holes": "Chunk numbers that are neither here nor declared lost by their edge",
    "edges_with_backlog": "Edges that are sending what they could not send before",
    "credit_bytes_per_second": "What each of these may send; 0 while there is no limit",
    "heartbeat_interval_seconds": "How often nodes are asked to beat",
    "heartbeats_per_second_max": "Heartbeats that this hub bears, as far as it has found out",
    "braked": "1 while silent nodes are unknown, since many or half of the hubs vanished at once",
    "isolated": "1 while this hub reaches no other hub, and so declares nobody dead or offline",
    "peer_deaths": "How often this hub has declared a peer dead since it started",
    "hints_given": "Edges that this hub has sent to their preferred hub since it started",
    "checks": "Active checks of nodes that are planned, on whichever hub they run",
    "checks_running": "Active checks that this hub runs now",
    "checks_missed": "Runs of checks that this hub left out, because the budget did not suffice",
    "checks_failing": "Active checks that fail as this hub ran them last",
    "nodes_with_unreadable_checks": "Nodes whose stored checks this hub cannot read",
    "history_logs": "Logs of observations that are held here, one for each store of a hub",
    "history_logs_refused": "How often a log of a peer was not taken, since there are too many",
    "history_changes_refused": "Changes of nodes that were not kept, since the disk was behind",
    "history_rows_purged": "Rows of the history that were dropped for their age",
    "damaged_chunks": "Chunks that were lost here by damage and are not back yet",
    "disk_free_bytes": "Free room on the disk of this hub",
    "disk_reserve_bytes": "Room that is kept free: below it no data is taken in",
    "accepting": "1 while data is taken in, 0 while the disk is too full for it",
    "replication_lag_p99_seconds": "Time from the first hub to this one's disk, of recent chunks",
    "index_behind_chunks": "Chunks that are not indexed yet: questions read these whole",
    "records_parked": "Records of peers that could not be applied and were set aside, in all",
    "records_withheld": "Records that this hub has in part, since orders in them wait for a clock",
    "changes_rescued": "Changes that their hub had lost in a crash, and this one told anew",
    "consoles": "Consoles of machines that people look at through this hub",
    "unbalanced_ledgers": "Nodes whose own sums do not add up to what they produced",
}
"""What the plain gauges tell, by name."""

REPAIR_REASONS = ("push", "answer", "sweep")
"""What brought a record that should not have been news."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The figures of one moment."""

    events: Counter[str]
    gauges: dict[str, float]
    nodes: dict[str, int]
    peer_lag_chunks: dict[str, int]
    peer_up: dict[str, bool]
    peer_lag_seconds: dict[str, float] = field(default_factory=dict)
    peer_repaired: dict[str, int] = field(default_factory=dict)
    """Chunks that a sweep found lacking, by peer: 0 in a sound mesh."""
    origin_lag_chunks: dict[tuple[str, str], int] = field(default_factory=dict)
    """Chunks that a peer has and this hub lacks, by peer and origin; those of the most."""
    peer_faults: dict[tuple[str, str], int] = field(default_factory=dict)
    """Answers that made no sense, by peer and reason."""
    gap_records: dict[str, int] = field(default_factory=dict)
    """Records that edges have declared lost, by reason."""
    nodes_repaired: dict[str, int] = field(default_factory=dict)
    """Records of nodes that were not what their numbers said, by what found it: 0 for ever."""
    ledger_records: dict[str, int] = field(default_factory=dict)
    """What all edges together have produced, and what became of it."""
    peer_states: dict[str, int] = field(default_factory=dict)
    """Peers by what this hub says of them; held are those that are away by plan."""
    nodes_taken: Mapping[str, int] = field(default_factory=dict)
    """Records of nodes that peers told, by what became of them."""


class HubCollector(Collector):
    """Turns a snapshot into metric families."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        """All families of this hub."""
        now = self._snapshot()
        events = CounterMetricFamily(
            "headwater_hub_events", "What this hub has done since it started", labels=["event"]
        )
        for name, count in sorted(now.events.items()):
            events.add_metric([name], count)
        yield events
        for name, value in now.gauges.items():
            yield GaugeMetricFamily(f"headwater_hub_{name}", MEANINGS[name], value=value)
        yield _labelled("nodes", "Nodes by state", "state", now.nodes)
        yield _labelled(
            "peer_lag_chunks", "Chunks of a peer not yet looked at", "peer", now.peer_lag_chunks
        )
        yield _labelled("peer_up", "1 when the peer answers", "peer", now.peer_up)
        text = "Peers by what this hub says of them; held: away by plan"
        yield _labelled("peers", text, "state", now.peer_states)
        text = "For how long chunks of a peer have been lacking here"
        yield _labelled("peer_lag_seconds", text, "peer", now.peer_lag_seconds)
        text = "Chunks of a peer that a sweep found lacking; 0 in a sound mesh"
        yield _labelled("peer_repaired_chunks", text, "peer", now.peer_repaired)
        text = (
            "Chunks of an origin that a peer has and this hub lacks, of the origins with the most"
        )
        labels = ("peer", "origin")
        yield _doubly_labelled("origin_lag_chunks", text, labels, now.origin_lag_chunks)
        yield _repairs(now.nodes_repaired)
        text = "Records of nodes that peers told since this hub started, by what became of them"
        yield _labelled("records_taken", text, "outcome", now.nodes_taken)
        text = "Answers of peers that made no sense"
        yield _doubly_labelled("peer_faults", text, ("peer", "reason"), now.peer_faults)
        text = "Records in gaps that edges have declared"
        yield _labelled("gap_records", text, "reason", now.gap_records)
        text = "Records of all edges by what became of them: produced is the sum of the others"
        yield _labelled("ledger_records", text, "fate", now.ledger_records)


def _repairs(by_reason: Mapping[str, int]) -> Metric:
    text = "Records of nodes that anti-entropy repaired: a number above 0 is an error of ours"
    family = CounterMetricFamily("headwater_hub_anti_entropy_repaired", text, labels=["reason"])
    for reason in REPAIR_REASONS:
        family.add_metric([reason], float(by_reason.get(reason, 0)))
    return family


def _doubly_labelled(
    name: str, text: str, labels: tuple[str, str], values: dict[tuple[str, str], int]
) -> Metric:
    family = GaugeMetricFamily(f"headwater_hub_{name}", text, labels=labels)
    for pair, count in values.items():
        family.add_metric(pair, count)
    return family


def _labelled(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"headwater_hub_{name}", text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], float(value))
    return family


def exposition(snapshot: Callable[[], Snapshot]) -> Callable[[], bytes]:
    """A function that gives the metrics in Prometheus text format."""
    registry = CollectorRegistry()
    registry.register(HubCollector(snapshot))
    return lambda: generate_latest(registry)
