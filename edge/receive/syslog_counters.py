"""What the syslog receiver counts, for the operator's Prometheus. No label is chosen by a sender."""

from collections.abc import Mapping
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge

Transport = Literal["udp", "tcp"]

Loss = Literal["queue_full", "kernel", "stopping"]
"""Why messages were not kept: no room while a commit was awaited, no room in the system's own queue
of the UDP socket, or a stop that could not wait for the commit."""

Ending = Literal[
    "closed", "reset", "idle", "too_large", "out_of_step", "connections_max", "stopping"
]
"""Why a connection ended; the sender's orderly end is "closed"."""

_PREFIX = "headwater_edge_syslog"


class SyslogCounters:
    """Messages kept, lost and cut, and connections by how they ended."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._messages = Counter(
            f"{_PREFIX}_messages", "Messages stored.", ["transport", "form"], registry=registry
        )
        self._bytes = Counter(
            f"{_PREFIX}_bytes",
            "Bytes of the messages stored, without framing.",
            ["transport"],
            registry=registry,
        )
        self._lost = Counter(
            f"{_PREFIX}_lost", "Messages lost.", ["transport", "reason"], registry=registry
        )
        self._cut = Counter(
            f"{_PREFIX}_cut",
            "Messages stored without their end, by how their connection ended.",
            ["reason"],
            registry=registry,
        )
        self._ended = Counter(
            f"{_PREFIX}_connections_ended", "Connections ended.", ["reason"], registry=registry
        )
        self.connections = Gauge(
            f"{_PREFIX}_connections", "Connections open now.", registry=registry
        )
        self.queue_bytes = Gauge(
            f"{_PREFIX}_queue_bytes", "Bytes from UDP that wait for a commit.", registry=registry
        )
        self.lost: dict[tuple[Transport, Loss], int] = {}

    def count_stored(self, transport: Transport, forms: Mapping[str, int], size_bytes: int) -> None:
        """Messages of these forms are on disk."""
        for form, messages in forms.items():
            self._messages.labels(transport, form).inc(messages)
        self._bytes.labels(transport).inc(size_bytes)

    def count_lost(self, transport: Transport, reason: Loss, messages: int) -> None:
        """Messages are gone for good."""
        self._lost.labels(transport, reason).inc(messages)
        self.lost[transport, reason] = self.lost.get((transport, reason), 0) + messages

    def count_cut(self, reason: Ending) -> None:
        """A message will be stored without its end."""
        self._cut.labels(reason).inc()

    def count_ended(self, reason: Ending) -> None:
        """A connection has ended."""
        self._ended.labels(reason).inc()
