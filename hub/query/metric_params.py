"""The parameters of the queries about metrics, with their defaults and bounds."""

from typing import Annotated, Literal

from msgspec import Meta, field

from hub.query.params import Name, Nodes, Params, Scalar
from hub.query.times import TimeInput

Aggregation = Literal["avg", "min", "max", "sum", "count", "last", "rate", "increase", "quantile"]
Combination = Literal["sum", "avg", "min", "max", "count"]
OneOf = Annotated[list[Scalar], Meta(min_length=1, max_length=100)]
Selection = Annotated[dict[Name, Scalar | OneOf], Meta(max_length=20)]
"""Attributes that a series must have: `value`, `!=value`, `start*`, `!=start*`, or a list of values
of which one must fit. `=value` means the text as it stands. A number is compared as text."""


class MetricParams(Params, frozen=True):
    """metric.query. Without `start` the last hour; without `step` up to 200 points."""

    name: Name
    step: TimeInput | None = None
    nodes: Nodes = None
    aggregation: Aggregation | None = None
    quantile: Annotated[float, Meta(ge=0, le=1)] | None = None
    attributes: Selection = field(default_factory=dict)
    group_by: Annotated[list[Name], Meta(max_length=10)] | None = None
    group: Combination | None = None


class MetricNamesParams(Params, frozen=True):
    """metric.names. Without `start` the last hour."""

    nodes: Nodes = None


class SeriesListParams(Params, frozen=True):
    """series.list. Without `start` the last hour; without `name` all metrics."""

    name: Name | None = None
    nodes: Nodes = None
    attributes: Selection = field(default_factory=dict)
    limit: Annotated[int, Meta(ge=1, le=5000)] = 1000


class LabelValuesParams(Params, frozen=True):
    """label.values. `label` is an attribute, `node` or one of the service's keys."""

    label: Name
    name: Name | None = None
    nodes: Nodes = None
    attributes: Selection = field(default_factory=dict)
    limit: Annotated[int, Meta(ge=1, le=5000)] = 1000
