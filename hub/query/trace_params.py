"""The parameters of the questions about traces, with their defaults and bounds."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from hub.query.params import Attributes, Name, Nodes, Params, TraceId

Milliseconds = Annotated[float, Meta(ge=0, le=1e13)]


class TraceSearchParams(Params, frozen=True):
    """trace.search. `service`, `name` and `attributes` match any span of the trace, in full; all of
    the attributes must be on one span or on its resource. `slowest` is one page without a cursor."""

    nodes: Nodes = None
    service: Name | None = None
    name: Name | None = None
    attributes: Attributes = msgspec.field(default_factory=dict)
    min_duration_ms: Milliseconds | None = None
    max_duration_ms: Milliseconds | None = None
    errors_only: bool = False
    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    cursor: str | None = None
    order: Literal["newest", "slowest"] = "newest"


class TraceGetParams(Params, frozen=True):
    """trace.get. The range is only a hint that saves reading."""

    trace_id: TraceId


class TraceLabelParams(Params, frozen=True):
    """The services of spans, or the names of spans, in a range. Without `start` the last hour."""

    label: Literal["service", "name"]
    nodes: Nodes = None
    limit: Annotated[int, Meta(ge=1, le=5000)] = 1000
