"""A log that keeps parts in memory as the buffer does on disk: a part and its checkpoint together."""

from collections.abc import Iterator

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from shared.errors import BufferFull
from shared.records import Checkpoint, Part, Signal


class Kept:
    """What was kept. `is_full` refuses everything."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.checkpoints: dict[str, bytes] = {}
        self.is_full = False

    async def append(self, part: Part, checkpoint: Checkpoint | None = None) -> None:
        if self.is_full:
            raise BufferFull("no room", 0.01)
        self.parts.append(part)
        if checkpoint is not None:
            self.checkpoints[checkpoint.key] = checkpoint.state

    async def checkpoint(self, key: str) -> bytes | None:
        return self.checkpoints.get(key)

    def lines(self) -> Iterator[tuple[str, str]]:
        """Each kept log line with the name of its machine."""
        for part in self.parts:
            if part.signal is not Signal.LOGS:
                continue
            for held in ExportLogsServiceRequest.FromString(part.body).resource_logs:
                names = {pair.key: pair.value.string_value for pair in held.resource.attributes}
                for scope in held.scope_logs:
                    assert scope.scope.name == "headwater.vm.console"
                    for record in scope.log_records:
                        yield names["vm.name"], record.body.string_value

    def texts(self, name: str = "box") -> list[str]:
        """The lines of one machine."""
        return [text for owner, text in self.lines() if owner == name]

    def points(self) -> dict[tuple[str, str, str], float]:
        """The newest value by metric, machine and direction."""
        found = {}
        for part in self.parts:
            if part.signal is not Signal.METRICS:
                continue
            for held in ExportMetricsServiceRequest.FromString(part.body).resource_metrics:
                for metric in held.scope_metrics[0].metrics:
                    for point in (*metric.sum.data_points, *metric.gauge.data_points):
                        names = {pair.key: pair.value.string_value for pair in point.attributes}
                        value = point.as_int or point.as_double
                        found[metric.name, names["vm.name"], names.get("direction", "")] = value
        return found
