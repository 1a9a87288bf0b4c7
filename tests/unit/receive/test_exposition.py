"""Prometheus text and OpenMetrics become OTLP by pure rules, and garbage a reason with its line."""

import math

import pytest
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Enum,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    Summary,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_open

from shared.errors import BadInput
from shared.receive.exposition import LINE_BYTES_MAX, Family, read_exposition
from shared.receive.exposition_numbers import POINTS_MAX, Moment
from shared.receive.scrape_part import PART_BYTES_MAX, Readout, read_out, scrape_parts
from tests.unit.receive.expositions import NOW_NS, OPEN, OURS, TEXT, checked, lines, points, read


def family(body: bytes, kind: str = TEXT) -> Family:
    (found,) = read_exposition(body, kind)
    return found


def filled() -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("http_requests", "Requests.", ["path"], registry=registry).labels('a"b\\c\nd').inc(5)
    Gauge("temperature", "Degrees.\nOf all.", registry=registry, unit="celsius").set(-1.5)
    seconds = Histogram("took_seconds", "Time.", ["op"], registry=registry, buckets=(0.1, 1, 10))
    for value in (0.05, 0.5, 0.5, 100):
        seconds.labels("read").observe(value)
    Summary("size", "Size.", registry=registry).observe(7)
    Info("build", "Build.", registry=registry).info({"version": "1.2"})
    Enum("mood", "Mood.", states=["good", "bad"], registry=registry).state("bad")
    ProcessCollector(registry=registry)
    return registry


@pytest.mark.parametrize(
    ("kind", "body"),
    [(TEXT, generate_latest(filled())), (OPEN, generate_open(filled()))],  # type: ignore[no-untyped-call]  # Ships no types there.
)
def test_what_the_client_of_prometheus_writes_arrives_under_its_names(
    kind: str, body: bytes
) -> None:
    found = {(p.name, *map(str, p.attributes.values())): p for p in points(read(body, kind))}
    requests = found["http_requests_total", 'a"b\\c\nd']
    assert (requests.value, requests.kind, requests.monotonic) == (5, "sum", True)
    assert requests.temporality == 2
    degrees = found[("temperature_celsius",)]
    assert (degrees.value, degrees.kind, degrees.time_ns) == (-1.5, "gauge", NOW_NS)
    took = found["took_seconds", "read"]
    assert (took.kind, took.count, took.sum) == ("histogram", 4, 101.05)
    assert took.buckets["bounds"] == [0.1, 1.0, 10.0]
    assert took.buckets["counts"] == [1, 2, 0, 1]
    size = found[("size",)]
    assert (size.kind, size.count, size.sum) == ("summary", 1, 7)
    assert found["build_info", "1.2"].value == 1
    assert [found["mood", state].value for state in ("good", "bad")] == [0, 1]
    assert found[("process_cpu_seconds_total",)].kind == "sum"


def test_open_metrics_tells_when_a_series_began() -> None:
    body = lines(
        "# TYPE jobs counter",
        'jobs_total{q="a"} 3',
        'jobs_created{q="a"} 1794999000.25',
        "# TYPE took histogram",
        'took_bucket{le="+Inf"} 2',
        "took_count 2",
        "took_sum 1.5",
        "took_created 1794999001",
        "# EOF",
    )
    jobs, took = points(read(body, OPEN))
    assert (jobs.name, jobs.start_ns) == ("jobs_total", 1_794_999_000_250_000_000)
    assert (took.name, took.start_ns) == ("took", 1_794_999_001 * 10**9)


def test_open_metrics_keeps_units_exemplars_info_and_state_sets() -> None:
    body = lines(
        "# TYPE took_seconds histogram",
        "# UNIT took_seconds seconds",
        "# HELP took_seconds How long.",
        'took_seconds_bucket{le="1.0"} 2 # {trace_id="abc"} 0.5 1794999000.5',
        'took_seconds_bucket{le="+Inf"} 2',
        "took_seconds_count 2",
        "took_seconds_sum 0.75",
        "# TYPE build info",
        'build_info{version="1"} 1',
        "# TYPE mood stateset",
        'mood{mood="good"} 0',
        'mood{mood="bad"} 1',
        "# EOF",
    )
    readout = read(body, OPEN)
    took, build, *moods = points(readout)
    assert (took.unit, took.buckets["counts"]) == ("seconds", [2, 0])
    (exemplar,) = readout.metrics[0].histogram.data_points[0].exemplars
    assert (exemplar.as_double, exemplar.time_unix_nano) == (0.5, 1_794_999_000_500_000_000)
    assert exemplar.filtered_attributes[0].value.string_value == "abc"
    assert (build.kind, build.monotonic, build.value) == ("sum", False, 1)
    assert [(mood.kind, mood.monotonic, mood.value) for mood in moods] == [
        ("sum", False, 0),
        ("sum", False, 1),
    ]
    types = [metric.metadata[0].value.string_value for metric in readout.metrics]
    assert types == ["histogram", "info", "stateset"]


def test_a_counter_keeps_the_name_that_it_was_given() -> None:
    """With or without _total; the parser below would have renamed the first to the second."""
    body = lines(
        "# TYPE a counter",
        "a 1",
        "# HELP a_total Another.",
        "# TYPE a_total counter",
        'a_total{x="1"} 2',
    )
    found = points(read(body))
    assert [(p.name, p.value, p.kind, p.monotonic) for p in found] == [
        ("a", 1, "sum", True),
        ("a_total", 2, "sum", True),
    ]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1", 1.0),
        ("-2.5e3", -2500.0),
        ("NaN", None),
        ("+Inf", None),
        ("-Inf", None),
        ("9" * 400, None),
        ("9223372036854775808", 2.0**63),
    ],
)
def test_every_number_of_the_format_is_read(written: str, value: float | None) -> None:
    readout = read(lines(f"a {written}"))
    assert points(readout)[0].value == value
    held = readout.metrics[0].gauge.data_points[0].as_double
    assert math.isnan(held) == (written == "NaN")
    assert not math.isfinite(held) or held == value


def test_what_has_no_type_is_a_gauge_and_one_metric() -> None:
    found = read(lines('a{x="1"} 1', 'a{x="2"} 2', "# a comment", "", "\tb\t3"))
    assert [metric.name for metric in found.metrics] == ["a", "b"]
    assert [(p.kind, p.value) for p in points(found)] == [("gauge", 1), ("gauge", 2), ("gauge", 3)]
    assert found.samples == 3


def test_the_times_of_the_target_count_if_they_are_to() -> None:
    body = lines("a 1 1794999000123", "b 2")
    assert [p.time_ns for p in points(read(body))] == [1_794_999_000_123_000_000, NOW_NS]
    assert {p.time_ns for p in points(read(body, honour=False))} == {NOW_NS}


@pytest.mark.parametrize("time", ["0", "-5", "NaN", "+Inf", "9" * 30])
def test_a_time_that_cannot_be_is_refused_with_the_name_of_the_series(time: str) -> None:
    with pytest.raises(BadInput, match="odd has the time"):
        read(lines(f"odd 1 {time}"))
    assert points(read(lines(f"odd 1 {time}"), honour=False))


def test_each_set_of_labels_of_a_histogram_is_one_point() -> None:
    body = lines(
        "# TYPE h histogram",
        'h_bucket{x="1",le="5"} 1',
        'h_bucket{le="+Inf",x="1"} 3',
        'h_bucket{x="2",le="+Inf"} 4',
        'h_sum{x="1"} 9',
        'h_count{x="1"} 3',
        'h_count{x="2"} 4',
    )
    first, second = points(read(body))
    assert (first.attributes, first.count, first.sum) == ({"x": "1"}, 3, 9)
    assert (first.buckets["bounds"], first.buckets["counts"]) == ([5.0], [1, 2])
    assert (second.attributes, second.count, second.sum) == ({"x": "2"}, 4, None)


def test_a_histogram_without_a_last_bucket_gets_it_from_its_count() -> None:
    (found,) = points(read(lines("# TYPE h histogram", 'h_bucket{le="5"} 1', "h_count 3")))
    assert (found.count, found.buckets["counts"]) == (3, [1, 2])


def test_the_count_of_a_histogram_is_the_sum_of_its_buckets() -> None:
    """Targets may be caught between two increments."""
    (found,) = points(read(lines("# TYPE h histogram", 'h_bucket{le="+Inf"} 7', "h_count 6")))
    assert (found.count, found.buckets["counts"]) == (7, [7])


@pytest.mark.parametrize(
    "bucket",
    [
        '{le="9"} 0',
        '{le="9"} 2.5',
        '{le="9"} NaN',
        '{le="x"} 3',
        '{le="5"} 3',
        "{} 3",
        '{le="9"} -1',
    ],
)
def test_numbers_that_make_no_histogram_are_kept_one_by_one(bucket: str) -> None:
    body = lines(
        "# TYPE h histogram", 'h_bucket{le="5"} 1', f"h_bucket{bucket}", "h_count 3", "h_sum 4"
    )
    found = points(read(body))
    assert [p.name for p in found] == ["h_bucket", "h_bucket", "h_count", "h_sum"]
    assert {p.kind for p in found} == {"gauge"}
    assert found[0].attributes == {"le": "5"}


def test_quantiles_are_one_summary() -> None:
    body = lines(
        "# TYPE s summary", 's{quantile="0.9"} 8', 's{quantile="0.5"} 3', "s_sum 11", "s_count 2"
    )
    (found,) = points(read(body))
    assert (found.kind, found.count, found.sum) == ("summary", 2, 11)
    assert found.buckets["quantiles"] == [[0.5, 3.0], [0.9, 8.0]]


def test_a_target_describes_itself_but_not_who_it_is() -> None:
    body = lines('target_info{env="test",job="no",instance="no"} 1', "a 1")
    readout = read(body)
    assert (readout.samples, len(readout.metrics)) == (2, 1)
    assert points(readout)[0].resource == {"env": "test", **OURS}
    opened = lines("# TYPE target info", 'target_info{env="test"} 1', "# EOF")
    assert read(opened, OPEN).labels == {"env": "test"}


def test_every_scrape_tells_whether_the_target_is_up_and_what_it_took() -> None:
    def told(readout: Readout | None) -> list[tuple[str, float | None]]:
        (part,) = scrape_parts(readout, 0.25, NOW_NS, OURS)
        found = checked(part)
        assert all(p.resource == OURS and p.time_ns == NOW_NS for p in found)
        return [(p.name, p.value) for p in found[:3]]

    names = ("up", "scrape_duration_seconds", "scrape_samples_scraped")
    assert told(read(lines("a 1", "b 2"))) == list(zip(names, (1, 0.25, 2), strict=True))
    assert told(None) == list(zip(names, (0, 0.25, 0), strict=True))


def test_a_large_answer_becomes_several_parts_of_bounded_size() -> None:
    body = lines(*(f'a{{label="{number:0500}"}} {number}' for number in range(5000)))
    readout = read_out(body, TEXT, Moment(NOW_NS), 5000)
    parts = scrape_parts(readout, 0.5, NOW_NS, OURS)
    assert len(parts) > 4
    assert max(len(part.body) for part in parts) < PART_BYTES_MAX + POINTS_MAX * 600
    assert sum(part.records for part in parts) == 5003
    assert [p.value for p in points(readout)] == list(range(5000))


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        (TEXT, lines("a 1", "b{x=1} 2"), "line 2: 'b{x=1} 2': Invalid labels"),
        (TEXT, b"<!DOCTYPE html>\n<html>", "line 1: '<!DOCTYPE html>'"),
        (TEXT, b"a 1\n\nb \xff\n", "line 3: bytes that are not UTF-8"),
        (TEXT, lines("a 1", "# TYPE b bogus", "b 1"), "Invalid metric type: bogus"),
        (TEXT, lines("# HELP a x", "# TYPE a"), "line 2: '# TYPE a': cannot be read"),
        (TEXT, lines("a 1", "b " + "x" * 500), "line 2: 'b " + "x" * 78 + r"\.\.\.'"),
        (TEXT, b"a" * (LINE_BYTES_MAX + 1), "line 1: longer than 65536 characters"),
        (TEXT, lines(*["# c", "a 1", " "] * 1001), "line 3002: more than 1000 samples"),
        (OPEN, lines("a 1", "# EOF", "b 1"), "line 3: 'b 1': Received line after # EOF"),
        (OPEN, lines("a 1"), "line 1: 'a 1': Missing # EOF"),
        (OPEN, b"", "line 0: '': Missing # EOF"),
        (OPEN, lines("a 1", "", "# EOF"), "line 2: '': Received blank line"),
        (OPEN, lines("# UNIT \t a{b", "# EOF"), "line 1: "),
    ],
)
def test_garbage_is_refused_with_the_line_that_is_wrong(
    kind: str, body: bytes, reason: str
) -> None:
    with pytest.raises(BadInput, match=reason):
        read(body, kind)


def test_native_histograms_are_refused_with_a_reason() -> None:
    native = "h {count:1,sum:1,schema:0,zero_threshold:0,zero_count:1}"
    with pytest.raises(BadInput, match="h: native histograms"):
        read(lines("# TYPE h histogram", native, "# EOF"), OPEN)


def test_an_answer_without_samples_is_no_error() -> None:
    assert read(b"") == Readout()
    assert read(lines("# HELP a b", "# TYPE a gauge")) == Readout()


def test_help_is_unescaped() -> None:
    found = family(lines(r"# HELP a one\ntwo \\ three", "# TYPE a gauge", "a 1"))
    assert (found.name, found.kind, found.text) == ("a", "gauge", "one\ntwo \\ three")
