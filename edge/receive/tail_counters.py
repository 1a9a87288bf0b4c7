"""What the file tail counts, for the operator's Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from shared.records import Part


class TailCounters:
    """Files and records of the file tail."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.followed = Gauge(
            "headwater_edge_tail_files", "Log files that are followed.", registry=registry
        )
        self.beyond = Gauge(
            "headwater_edge_tail_files_beyond",
            "Log files that rules find and that are not followed, since there are too many.",
            registry=registry,
        )
        self._records = Counter(
            "headwater_edge_tail_records", "Records of log files kept.", registry=registry
        )
        self._bytes = Counter(
            "headwater_edge_tail_bytes", "Bytes of OTLP made of log files.", registry=registry
        )

    def count(self, part: Part) -> None:
        """A part is on disk."""
        self._records.inc(part.records)
        self._bytes.inc(len(part.body))
