"""What an edge says of itself to Prometheus, taken from its books at the moment of asking."""

import asyncio
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edge.agent import Agent
from edge.circuit import Phase
from edge.ledger import COLUMNS
from edge.push import Next


class AgentCollector(Collector):
    """The buffer, the ledger, the pushes and the hubs of one agent."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def collect(self) -> Iterator[Metric]:
        """The families, made anew each time; no label comes from outside but the ids of hubs."""
        yield from self._buffer()
        yield self._ledger()
        yield from self._pushes()
        yield from self._hubs()

    def describe(self) -> Iterator[Metric]:
        """Nothing in advance: the names are known, and there may be no event loop yet."""
        return iter(())

    def _buffer(self) -> Iterator[Metric]:
        state = self._agent.buffer.state()
        families = [
            _by_signal("chunks", "Chunks in the buffer."),
            _by_signal("records", "Records in the buffer."),
            _by_signal("bytes", "Bytes in the buffer, as stored (compressed)."),
        ]
        for signal, held in sorted(state.by_signal.items()):
            sizes = (held.chunks, held.records, held.stored_bytes)
            for family, size in zip(families, sizes, strict=True):
                family.add_metric([signal], size)
        yield from families
        age_seconds = self._agent.oldest_age_seconds()
        for name, text, value in (
            ("segments", "Files of the buffer.", state.segments),
            ("file_bytes", "Bytes of all files of the buffer.", state.file_bytes),
            ("wal_bytes", "Bytes of write-ahead logs among them.", state.wal_bytes),
            ("dead_letters", "Chunks that hubs refuse, kept for a person.", state.dead_letters),
            ("oldest_age_seconds", "Age of the oldest chunk no hub has.", age_seconds or 0.0),
            ("head_seq", "The last sequence number that was given out.", state.head_seq),
            ("bytes_max", "Bytes that the buffer may hold, as stored.", state.bytes_max),
            ("disk_free_bytes", "Free bytes of the disk.", state.disk_free_bytes),
            ("reserve", "Whether room is set aside for a full disk.", float(state.has_reserve)),
        ):
            yield GaugeMetricFamily(f"headwater_edge_buffer_{name}", text, value=value)
        for name, text, count in (
            ("commits", "Groups of parts that were synced to the disk.", state.commits),
            ("committed_parts", "Parts in those groups.", state.committed_parts),
        ):
            yield CounterMetricFamily(f"headwater_edge_buffer_{name}", text, value=count)

    def _ledger(self) -> Metric:
        family = GaugeMetricFamily(
            "headwater_edge_ledger_records",
            "Records by what became of them: produced is the sum of the others.",
            labels=["signal", "fate"],
        )
        for signal, line in self._agent.ledger_by_signal().items():
            for fate in COLUMNS:
                family.add_metric([signal, fate], line[fate])
        return family

    def _pushes(self) -> Iterator[Metric]:
        shipper = self._agent.shipper
        for name, value in (
            ("chunks", shipper.pushed_chunks),
            ("records", shipper.pushed_records),
            ("bytes", shipper.pushed_bytes),
        ):
            text = f"How many {name} hubs have answered for."
            yield CounterMetricFamily(f"headwater_edge_pushed_{name}", text, value=value)
        pushes = _counts("pushes", "Attempts to push, by what the answer led to.", "outcome")
        for outcome in Next:
            pushes.add_metric([outcome], shipper.verdicts[outcome])
        settled = _counts("settled", "Chunks cut, given up, and new lives of the log.", "how")
        for how in ("split", "dead_letter", "new_epoch"):
            settled.add_metric([how], shipper.settled[how])
        yield from (pushes, settled)

    def _hubs(self) -> Iterator[Metric]:
        now = asyncio.get_running_loop().time()
        linked = _by_hub("linked", "Whether the link to the hub is open.")
        answered = _by_hub("answered_seconds_ago", "Time since the hub last answered.")
        have = _by_hub("have_seq", "The last sequence number that the hub has.")
        safe = _by_hub("safe_seq", "The last sequence number that the hub calls safe.")
        closed = _by_hub("circuit_closed", "Whether the hub gets pushes without restraint.")
        credit = _by_hub("credit_bytes_per_s", "How fast the hub lets the backlog come.")
        removed = _by_hub("removed", "Whether the hub sends this edge away as removed.")
        cloned = _by_hub("cloned", "Whether the hub refuses this edge as a copy of one that runs.")
        for view in self._agent.hubs.views.values():
            labels = [view.hub_id or view.url]
            linked.add_metric(labels, float(view.linked))
            if view.last_answer_at is not None:
                answered.add_metric(labels, now - view.last_answer_at)
            removed.add_metric(labels, float(bool(view.removed)))
            cloned.add_metric(labels, float(bool(view.cloned)))
            have.add_metric(labels, view.have.last)
            safe.add_metric(labels, view.safe.last)
            closed.add_metric(labels, float(view.circuit.phase(now) is Phase.CLOSED))
            if view.credit.bytes_per_s is not None:
                credit.add_metric(labels, view.credit.bytes_per_s)
        yield from (linked, answered, have, safe, closed, credit, removed, cloned)


def _by_signal(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"headwater_edge_buffer_{name}", text, labels=["signal"])


def _counts(name: str, text: str, label: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"headwater_edge_{name}", text, labels=[label])


def _by_hub(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"headwater_edge_hub_{name}", text, labels=["hub"])


def registry_of(agent: Agent) -> CollectorRegistry:
    """A registry that holds what the agent says of itself; receivers add their counters."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # A series for each counter that says when it began: noise.
    registry = CollectorRegistry()
    registry.register(AgentCollector(agent))
    return registry
