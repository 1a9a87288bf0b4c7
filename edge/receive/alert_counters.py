"""What the alerts count, for the operator's Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class AlertCounters:
    """Alerts, their events, and what could not be looked at."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.firing = Gauge(
            "headwater_edge_alerts_firing", "Alerts that are firing now.", registry=registry
        )
        self.beyond = Gauge(
            "headwater_edge_alert_values_beyond",
            "Values since the start that broke a rule which has its most alerts already.",
            registry=registry,
        )
        self.lost = Counter(
            "headwater_edge_alert_events_lost",
            "Alert events given up because too many waited for room in the buffer.",
            registry=registry,
        )
        self._told = Counter(
            "headwater_edge_alert_events", "Alert events kept.", ["event"], registry=registry
        )
        self._skipped = Counter(
            "headwater_edge_alert_parts_skipped",
            "Parts that were kept but not looked at for alerts.",
            ["reason"],
            registry=registry,
        )

    def told(self, event: str) -> None:
        """An event is on disk."""
        self._told.labels(event).inc()

    def skip(self, reason: str) -> None:
        """A part was not looked at: "busy" or "unreadable"."""
        self._skipped.labels(reason).inc()
