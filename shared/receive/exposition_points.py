"""Families of samples as OTLP metrics: the many samples of a histogram become one point again."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    HistogramDataPoint,
    Metric,
    SummaryDataPoint,
)
from prometheus_client.samples import Sample

from shared.otlp_make import key_values
from shared.receive.exposition import Family
from shared.receive.exposition_numbers import (
    Labels,
    Moment,
    blocks,
    described,
    double,
    exemplars_of,
    is_created,
    labels_of,
    number_metrics,
    starts_of,
)

COUNT_MAX = 2**63
"""Counts from here on fit no store."""

_INNER_LABELS = {"histogram": "le", "summary": "quantile"}
_INNER_SUFFIXES = {"histogram": "_bucket", "summary": ""}


@dataclass(slots=True)
class _Group:
    """The samples that make one point of a histogram or a summary."""

    labels: Labels
    time_ns: int
    samples: list[Sample] = field(default_factory=list)
    inner: list[tuple[float, float]] = field(default_factory=list)
    """Buckets as (upper bound, cumulative count), or quantiles as (quantile, value)."""
    count: float = 0.0
    sum: float | None = None


def metrics_of(family: Family, moment: Moment) -> Iterator[Metric]:
    """The family as OTLP; raises BadInput for times that cannot be.

    Counters, info and state sets are sums, gauges and what has no type gauges. A histogram or
    summary is one point for each set of labels; numbers that make no such point, because counts
    fall or bounds are missing, are kept one by one as they came.
    """
    starts = starts_of(family)
    samples = [sample for sample in family.samples if not is_created(family, sample)]
    if family.kind not in _INNER_LABELS:
        yield from number_metrics(family, samples, moment, starts)
        return
    sound: list[_Group] = []
    odd: list[Sample] = []
    for group in _groups(family, samples, moment):
        if _is_sound(group, family.kind):
            sound.append(group)
        else:
            odd += group.samples
    yield from _group_metrics(family, sound, starts)
    # A gauge may be anything, even what a histogram may not.
    yield from number_metrics(family, odd, moment, {})


def _groups(family: Family, samples: list[Sample], moment: Moment) -> list[_Group]:
    label = _INNER_LABELS[family.kind]
    inner = family.name + _INNER_SUFFIXES[family.kind]
    found: dict[tuple[Labels, int], _Group] = {}
    for sample in samples:
        shared = labels_of({k: v for k, v in sample.labels.items() if k != label})
        time_ns = moment.of(sample)
        group = found.setdefault((shared, time_ns), _Group(shared, time_ns))
        group.samples.append(sample)
        if sample.name == inner:
            group.inner.append((_bound(sample.labels.get(label)), double(sample.value)))
        elif sample.name == f"{family.name}_count":
            group.count = double(sample.value)
        else:
            group.sum = double(sample.value)
    return list(found.values())


def _is_sound(group: _Group, kind: str) -> bool:
    """Whether OTLP can say it: whole counts that grow from bound to bound, each bound once."""
    group.inner.sort()
    counts = [group.count]
    if kind == "histogram":
        counts += [count for _, count in group.inner]
        if not _is_rising(group.inner):
            return False
    bounds = [bound for bound, _ in group.inner]
    return not any(map(math.isnan, bounds)) and all(map(_is_count, counts))


def _is_rising(buckets: list[tuple[float, float]]) -> bool:
    return all(low < high and few <= many for (low, few), (high, many) in pairwise(buckets))


def _is_count(value: float) -> bool:
    return 0 <= value < COUNT_MAX and value == math.floor(value)


def _group_metrics(
    family: Family, groups: list[_Group], starts: Mapping[Labels, int]
) -> Iterator[Metric]:
    for some in blocks(groups):
        metric = described(family.name, family)
        if family.kind == "summary":
            metric.summary.data_points.extend(_summary_point(group, starts) for group in some)
        else:
            metric.histogram.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
            metric.histogram.data_points.extend(_histogram_point(group, starts) for group in some)
        yield metric


def _histogram_point(group: _Group, starts: Mapping[Labels, int]) -> HistogramDataPoint:
    buckets = [(bound, int(count)) for bound, count in group.inner]
    if buckets and buckets[-1][0] != math.inf:
        buckets.append((math.inf, max(buckets[-1][1], int(group.count))))
    point = HistogramDataPoint(
        time_unix_nano=group.time_ns,
        start_time_unix_nano=starts.get(group.labels, 0),
        attributes=key_values(dict(group.labels)),
        # The sum of the buckets, even when the target was caught between two increments.
        count=buckets[-1][1] if buckets else int(group.count),
        explicit_bounds=[bound for bound, _ in buckets[:-1]],
        bucket_counts=[many - few for (_, few), (_, many) in pairwise([(0.0, 0), *buckets])],
        exemplars=exemplars_of(group.samples),
    )
    if group.sum is not None:
        point.sum = group.sum
    return point


def _summary_point(group: _Group, starts: Mapping[Labels, int]) -> SummaryDataPoint:
    return SummaryDataPoint(
        time_unix_nano=group.time_ns,
        start_time_unix_nano=starts.get(group.labels, 0),
        attributes=key_values(dict(group.labels)),
        count=int(group.count),
        sum=group.sum or 0.0,
        quantile_values=[
            SummaryDataPoint.ValueAtQuantile(quantile=quantile, value=value)
            for quantile, value in group.inner
        ],
    )


def _bound(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan  # Not sound, and seen to be so.
