"""What the receivers count, for the operator's Prometheus."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from shared.records import Part, Signal

METRICS_TYPE = CONTENT_TYPE_LATEST


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one request ended. `reason` is "" for what was stored, else one short word."""

    signal: str
    outcome: str
    reason: str = ""


class ReceiveCounters:
    """Requests by signal, outcome and reason, and what came in by signal."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._ended: dict[Outcome, Counter] = {}
        self._stored: dict[Signal, tuple[Counter, Counter]] = {}
        self._requests = Counter(
            "headwater_receive_requests",
            "OTLP requests by what became of them.",
            ["signal", "outcome", "reason"],
            registry=registry,
        )
        self._records = Counter(
            "headwater_receive_records", "Records stored.", ["signal"], registry=registry
        )
        self._bytes = Counter(
            "headwater_receive_bytes",
            "Bytes of OTLP bodies stored, before compression.",
            ["signal"],
            registry=registry,
        )
        self.held_bytes = Gauge(
            "headwater_receive_held_bytes",
            "Bytes of request bodies in memory that wait for their commit.",
            registry=registry,
        )

    def count(self, outcome: Outcome) -> None:
        """One request has ended."""
        ended = self._ended.get(outcome)
        if ended is None:  # Finding the labels costs more than all the rest of counting.
            labels = (outcome.signal, outcome.outcome, outcome.reason)
            ended = self._ended[outcome] = self._requests.labels(*labels)
        ended.inc()

    def count_stored(self, part: Part) -> None:
        """The records and bytes of a part are on disk."""
        known = self._stored.get(part.signal)
        if known is None:
            name = part.signal.value
            known = self._stored[part.signal] = (
                self._records.labels(name),
                self._bytes.labels(name),
            )
        records, size_bytes = known
        records.inc(part.records)
        size_bytes.inc(len(part.body))

    def exposition(self) -> bytes:
        """Everything in the registry in the text format of Prometheus."""
        return generate_latest(self._registry)
