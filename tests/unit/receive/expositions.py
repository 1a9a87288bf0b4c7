"""Expositions for tests, and the points that they become; every part is read back as OTLP."""

from shared.otlp import read_part
from shared.otlp_points import MetricPoint
from shared.otlp_rows import metric_points
from shared.receive.exposition_numbers import Moment
from shared.receive.scrape_part import Readout, read_out, scrape_parts
from shared.records import Part, Signal

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"
NOW_NS = 1_795_000_000 * 10**9
OURS = {"service.name": "job", "service.instance.id": "host:1"}


def lines(*written: str) -> bytes:
    return "".join(f"{line}\n" for line in written).encode()


def read(body: bytes, kind: str = TEXT, *, honour: bool = True) -> Readout:
    return read_out(body, kind, Moment(NOW_NS, honour), 1000)


def checked(part: Part) -> list[MetricPoint]:
    assert read_part(Signal.METRICS, "application/x-protobuf", part.body) == part
    return list(metric_points(part.encoding, part.body))


def points(readout: Readout) -> list[MetricPoint]:
    found = [point for part in scrape_parts(readout, 0.5, NOW_NS, OURS) for point in checked(part)]
    assert [point.name for point in found[:3]] == [
        "up",
        "scrape_duration_seconds",
        "scrape_samples_scraped",
    ]
    return found[3:]
