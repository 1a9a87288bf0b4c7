"""What a Prometheus target answers, as families of samples: text format 0.0.4 and OpenMetrics 1.0.

The parsers are those of prometheus_client, behind a gate that bounds lines and samples, counts the
lines, and keeps the names of counters: the text parser would rename `x` to `x_total`. They take
11 to 16 us a sample (10,000 samples: 0.15 s), so call this off the event loop. The OpenMetrics one
is stricter than Prometheus: it refuses a whole answer for one family that breaks a rule of meaning,
such as a unit that is not in the name. Targets should therefore be asked for the text format first.

Sources: https://prometheus.io/docs/instrumenting/exposition_formats/ and
https://prometheus.io/docs/specs/om/open_metrics_spec/.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TextIO, cast

from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_fd_to_metric_families as read_open_metrics
from prometheus_client.parser import text_fd_to_metric_families as read_text
from prometheus_client.samples import Sample

from shared.errors import BadInput

OPEN_METRICS_TYPE = "application/openmetrics-text"

ACCEPT = f"text/plain;version=0.0.4,{OPEN_METRICS_TYPE};version=1.0.0;q=0.5,*/*;q=0.1"
"""The header that asks for what is read here, the more forgiving format first."""

SAMPLES_MAX = 100_000
LINE_BYTES_MAX = 64 * 1024
"""Characters, in fact. The parsers' time grows with the square of a line: here 0.04 s at the worst."""

_SHOWN_MAX = 80

_FOREIGN_ERRORS = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
"""The parsers promise ValueError; fuzzing the OpenMetrics one found KeyError and IndexError too."""


@dataclass(frozen=True, slots=True)
class Family:
    """The samples of one metric.

    `kind` is counter, gauge, histogram, summary, info, stateset, gaugehistogram or unknown. Samples
    bear the names that they were written with; their times are seconds or None.
    """

    name: str
    kind: str
    text: str
    unit: str
    samples: list[Sample]


def read_exposition(
    body: bytes, content_type: str, samples_max: int = SAMPLES_MAX
) -> tuple[Family, ...]:
    """The families of one answer, each name once; raises BadInput that names the line."""
    is_open = content_type.partition(";")[0].strip().lower() == OPEN_METRICS_TYPE
    gate = _Gate(_decoded(body).split("\n"), samples_max, is_open=is_open)
    read = read_open_metrics if is_open else read_text
    try:
        return _merged(read(cast(TextIO, iter(gate))), gate.counters)
    except _FOREIGN_ERRORS as error:
        raise BadInput(gate.complaint(error)) from error


def _decoded(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise BadInput(f"line {line}: bytes that are not UTF-8") from error


def _merged(metrics: Iterable[Metric], counters: set[str]) -> tuple[Family, ...]:
    """One family for each name: the text parser makes one of every sample without a type."""
    found: dict[str, Family] = {}
    for metric in metrics:
        _check_native(metric)
        kind = "counter" if metric.name in counters else metric.type
        family = Family(metric.name, kind, metric.documentation, metric.unit, [])
        found.setdefault(metric.name, family).samples.extend(metric.samples)
    return tuple(family for family in found.values() if family.samples)


def _check_native(metric: Metric) -> None:
    if metric.type == "histogram" and any(sample.native_histogram for sample in metric.samples):
        raise BadInput(f"{metric.name[:80]}: native histograms are not part of OpenMetrics 1.0")


@dataclass(slots=True)
class _Gate:
    """Hands one line after the other to a parser, and knows where it is."""

    lines: list[str]
    samples_max: int
    is_open: bool
    counters: set[str] = field(default_factory=set)
    number: int = 0
    samples: int = 0

    def __iter__(self) -> Iterator[str]:
        if self.lines[-1] == "":
            self.lines.pop()  # What stands after the last line end is no line.
        for self.number, line in enumerate(self.lines, 1):  # noqa: B020  # The place is the point.
            self._check(line)
            yield (line if self.is_open else self._without_counter(line)) + "\n"

    def complaint(self, error: Exception) -> str:
        """One sentence; an error over a whole family is found at the line after it."""
        line = self.lines[self.number - 1] if self.number else ""
        shown = line if len(line) <= _SHOWN_MAX else f"{line[:_SHOWN_MAX]}..."
        why = str(error)[:_SHOWN_MAX] or "cannot be read"
        return f"line {self.number}: {shown!r}: {why}"

    def _check(self, line: str) -> None:
        if len(line) > LINE_BYTES_MAX:
            raise BadInput(f"line {self.number}: longer than {LINE_BYTES_MAX} characters")
        self.samples += not line.startswith("#") and not line.isspace() and line != ""
        if self.samples > self.samples_max:
            raise BadInput(f"line {self.number}: more than {self.samples_max} samples")

    def _without_counter(self, line: str) -> str:
        """A counter passes as a gauge, whose names the parser leaves alone, and is remembered."""
        if not line.startswith("#"):
            return line
        words = line.split()
        if len(words) != 4 or words[1] != "TYPE" or words[3] != "counter":
            return line
        self.counters.add(words[2].strip('"'))
        return f"# TYPE {words[2]} gauge"
