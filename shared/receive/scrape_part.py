"""One answer of a scrape target as OTLP: its families, and what is said of every scrape."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from prometheus_client.samples import Sample

from shared.otlp_make import resource_of
from shared.receive.exposition import Family, read_exposition
from shared.receive.exposition_numbers import Moment
from shared.receive.exposition_points import metrics_of
from shared.records import KIB, Encoding, Part, Signal
from shared.signals import Scalar

SCOPE = "headwater.scrape"

PART_BYTES_MAX = 512 * KIB  # Well below a chunk of 1 MiB, so that a large target is no large chunk.

_IDENTITY = frozenset({"job", "instance"})


@dataclass(frozen=True, slots=True)
class Readout:
    """What a target said: metrics, how many samples they were, and labels of the target itself."""

    metrics: list[Metric] = field(default_factory=list)
    samples: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)


def read_out(body: bytes, content_type: str, moment: Moment, samples_max: int) -> Readout:
    """Read an answer; raises BadInput with a reason that names the line or the series."""
    families = read_exposition(body, content_type, samples_max)
    kept = [family for family in families if not _is_target_info(family)]
    metrics = [metric for family in kept for metric in metrics_of(family, moment)]
    return Readout(metrics, sum(len(family.samples) for family in families), _labels(families))


def scrape_parts(
    readout: Readout | None, seconds: float, time_ns: int, resource: Mapping[str, Scalar]
) -> list[Part]:
    """The parts of one scrape, the first of them with `up`; a failed one (None) has nothing else.

    What a target says of itself never changes who we say that it is.
    """
    seen = readout or Readout()
    whole = resource_of({**seen.labels, **resource})
    metrics = [*_synthetic(readout, seconds, time_ns), *seen.metrics]
    return [_part(some, whole) for some in _portions(metrics)]


def _is_target_info(family: Family) -> bool:
    # OpenMetrics: the family "target"; the text format has only the name of the sample.
    return (family.name, family.kind) == ("target", "info") or family.name == "target_info"


def _labels(families: Iterable[Family]) -> dict[str, str]:
    """The labels of target_info: by the rules of OpenTelemetry they describe the resource."""
    told = next((family.samples[0] for family in families if _is_target_info(family)), None)
    labels = told.labels if told else {}
    return {name: value for name, value in labels.items() if name not in _IDENTITY}


def _synthetic(readout: Readout | None, seconds: float, time_ns: int) -> Iterator[Metric]:
    samples = readout.samples if readout else 0
    told = (
        ("up", "1 if the target was scraped, 0 if it could not be.", "1", float(bool(readout))),
        ("scrape_duration_seconds", "How long the scrape took.", "s", seconds),
        ("scrape_samples_scraped", "Samples in the answer.", "{sample}", float(samples)),
    )
    for name, text, unit, value in told:
        family = Family(name, "gauge", text, unit, [Sample(name, {}, value)])
        yield from metrics_of(family, Moment(time_ns))


def _portions(metrics: Iterable[Metric]) -> Iterator[list[Metric]]:
    """The metrics in their order, in portions of about PART_BYTES_MAX."""
    portion: list[Metric] = []
    size_bytes = 0
    for metric in metrics:
        if portion and size_bytes + metric.ByteSize() > PART_BYTES_MAX:
            yield portion
            portion, size_bytes = [], 0
        portion.append(metric)
        size_bytes += metric.ByteSize()
    yield portion


def _part(metrics: list[Metric], resource: Resource) -> Part:
    request = ExportMetricsServiceRequest()
    held = request.resource_metrics.add(resource=resource)
    scoped = held.scope_metrics.add()
    scoped.scope.name = SCOPE
    scoped.metrics.extend(metrics)
    times = [time for metric in metrics for time in _times(metric)]
    body = request.SerializeToString()
    return Part(Signal.METRICS, Encoding.PROTO, body, len(times), min(times), max(times))


def _times(metric: Metric) -> Iterator[int]:
    """The time of each point."""
    points = getattr(metric, metric.WhichOneof("data") or "gauge").data_points
    return (point.time_unix_nano for point in points)
