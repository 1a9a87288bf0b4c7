"""What a list shows of a trace, and which traces a question wants."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from hub.query.cursor import VERSION, Cursor, digest, read_cursor, write_cursor
from hub.query.params import read_params, read_range
from hub.query.times import NS_PER_S, TIME_NS_MAX, format_time
from hub.query.trace_index import Mark, MarkKind
from hub.query.trace_params import TraceSearchParams
from hub.query.trace_spans import LightSpan
from shared.errors import RpcError

SPREAD_SECONDS = 60
SPREAD_NS = SPREAD_SECONDS * NS_PER_S

_KIND = "trace"

TraceKey = tuple[int, str]
"""The place of a trace: (start_ns, trace_id)."""


@dataclass(slots=True)
class Summary:
    """What a list shows of one trace, as far as its spans have been seen."""

    trace_id: str
    start_ns: int
    end_ns: int
    spans: int = 0
    errors: int = 0
    services: set[str] = field(default_factory=set)
    nodes: set[str] = field(default_factory=set)
    has_name: bool = False
    has_attributes: bool = False
    root: tuple[bool, int, str, str] | None = None
    """(is no root, start_ns, name, service) of the span that comes first in this order."""
    floor_ns: int = 0
    """It is not placed before this time, however early it began."""
    indexed_in: set[int] = field(default_factory=set)
    """The chunks whose index told of it and whose bodies were not read."""

    @property
    def key(self) -> TraceKey:
        """Its place."""
        return max(self.start_ns, self.floor_ns), self.trace_id

    @property
    def duration_ns(self) -> int:
        """From its first start to its last end."""
        return max(0, self.end_ns - self.start_ns)

    def add(self, span: LightSpan, node: str, name: str | None) -> None:
        """Take one more span, in any order; `name` is the one that is looked for."""
        _, start_ns, end_ns, own_name, service, is_error, has_parent = span
        if start_ns < self.start_ns:
            self.start_ns = start_ns
        if end_ns > self.end_ns:
            self.end_ns = end_ns
        self.spans += 1
        self.errors += is_error
        self.nodes.add(node)
        self.has_name = self.has_name or own_name == name
        if service:
            self.services.add(service)
        root = (has_parent, start_ns, own_name, service)
        if self.root is None or root < self.root:
            self.root = root

    def to_wire(self) -> dict[str, Any]:
        """An item of the list."""
        _, _, name, service = self.root or (True, 0, "", "")
        return {
            "trace_id": self.trace_id,
            "root_name": name,
            "service": service,
            "services": sorted(self.services),
            "nodes": sorted(self.nodes),
            "start": format_time(self.start_ns),
            "duration_ms": self.duration_ns / 1_000_000,
            "spans": self.spans,
            "errors": self.errors,
        }


@dataclass(frozen=True, slots=True)
class TraceQuery:
    """One page of a question. `after` is the place that the page begins behind."""

    start_ns: int
    end_ns: int
    nodes: frozenset[str] | None
    service: str | None
    name: str | None
    attributes: dict[str, Any]
    min_duration_ns: int
    max_duration_ns: int
    errors_only: bool
    slowest: bool
    limit: int
    after: TraceKey
    question: int

    @property
    def mark(self) -> Mark | None:
        """What one part of every wanted trace must have: the rarest, as a rule."""
        if self.name is not None:
            return Mark(MarkKind.NAME, self.name)
        if self.errors_only:
            return Mark(MarkKind.ERROR)
        return None if self.service is None else Mark(MarkKind.SERVICE, self.service)

    def has_mark(self, span: LightSpan) -> bool:
        """Whether it is this span that makes its part have the mark."""
        if self.name is not None:
            return span[3] == self.name
        return span[5] if self.errors_only else span[4] == self.service

    def accepts(self, trace: Summary) -> bool:
        """Whether the trace is wanted on this page or a later one, its attributes aside."""
        return (
            trace.key < self.after
            and (self.service is None or self.service in trace.services)
            and (self.name is None or trace.has_name)
            and self.accepts_duration(trace.end_ns - trace.start_ns)
            and (trace.errors > 0 or not self.errors_only)
        )

    def accepts_duration(self, duration_ns: int) -> bool:
        """Whether a trace that took so long is wanted; clocks may make it less than nothing."""
        return self.min_duration_ns <= max(0, duration_ns) <= self.max_duration_ns

    def cursor(self, place: TraceKey) -> str:
        """Where the next page goes on."""
        position = (*place, "", 0, 0)
        return write_cursor(
            Cursor(VERSION, _KIND, self.question, self.start_ns, self.end_ns, position)
        )


def read_trace_query(params: dict[str, Any], now_ns: int) -> TraceQuery:
    """Check the parameters of a page; raises RpcError invalid_params."""
    asked = read_params(params, TraceSearchParams)
    start_ns, end_ns = read_range(asked, now_ns)
    question = digest(msgspec.structs.replace(asked, cursor=None, limit=1))
    after: TraceKey = (end_ns, "")
    if asked.cursor is not None:
        cursor = read_cursor(asked.cursor, _KIND, question)
        start_ns, end_ns, after = cursor.start_ns, cursor.end_ns, cursor.position[:2]
    min_ns, max_ns = _durations(asked)
    return TraceQuery(
        start_ns,
        end_ns,
        None if asked.nodes is None else frozenset(asked.nodes),
        asked.service,
        asked.name,
        asked.attributes,
        min_ns,
        max_ns,
        asked.errors_only,
        asked.order == "slowest",
        asked.limit,
        after,
        question,
    )


def _durations(asked: TraceSearchParams) -> tuple[int, int]:
    min_ns = int((asked.min_duration_ms or 0) * 1_000_000)
    if asked.max_duration_ms is None:
        return min_ns, 2 * TIME_NS_MAX
    max_ns = int(asked.max_duration_ms * 1_000_000)
    if max_ns < min_ns:
        raise RpcError(
            "invalid_params",
            "max_duration_ms: it must not be less than min_duration_ms",
            {"parameter": "max_duration_ms"},
        )
    return min_ns, max_ns
