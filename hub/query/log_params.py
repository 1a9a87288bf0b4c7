"""The parameters of the log queries, with their defaults and bounds.

No parameter is a regular expression: one hostile pattern could stall a hub. Texts are taken as they
are written, whatever characters they have.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from hub.query.log_attributes import Wish, attribute_test
from hub.query.log_filter import LogFilter
from hub.query.match import is_word, parse_severity, severity_top
from hub.query.params import Name, Nodes, Order, Params, ParamsType, TraceId, read_params
from hub.query.probe import fold
from hub.query.times import TimeInput
from shared.errors import RpcError

Severity = Annotated[str, Meta(max_length=40)] | int
Text = Annotated[str, Meta(max_length=1000)]
Word = Annotated[str, Meta(min_length=1, max_length=200)]
Wishes = Annotated[dict[Name, Wish], Meta(max_length=20)]
CursorText = str  # hub.query.cursor bounds it, and says what is wrong with it.
Limit = Annotated[int, Meta(ge=1, le=1000)]
Key = Annotated[str, Meta(min_length=1, max_length=255)]

_PATTERN_NAMES = frozenset({"regex", "regexp", "re", "pattern", "match", "matches", "glob", "like"})


class LogFilterParams(Params, frozen=True):
    """Which records are wanted. `text` is looked for anywhere, without regard to ASCII case, and
    each of `words` as a whole word; `severity` is the least and `severity_max` the greatest."""

    nodes: Nodes = None
    severity: Severity | None = None
    severity_max: Severity | None = None
    text: Text | None = None
    words: Annotated[list[Word], Meta(max_length=20)] = msgspec.field(default_factory=list)
    service: Name | None = None
    services: Annotated[list[Name], Meta(max_length=100)] | None = None
    trace_id: TraceId | None = None
    attributes: Wishes = msgspec.field(default_factory=dict)
    backfilled: bool | None = None
    signal: Literal["logs", "events"] = "logs"


class LogParams(LogFilterParams, frozen=True):
    """log.query."""

    limit: Limit = 100
    cursor: CursorText | None = None
    order: Order = "newest"


class HistogramParams(LogFilterParams, frozen=True):
    """log.histogram. Without `start` the last hour; without `step` about `bins` of a round size."""

    step: TimeInput | None = None
    bins: Annotated[int, Meta(ge=1, le=1000)] = 60
    by: Literal["severity", "node", "service", "none"] = "severity"


class EventParams(Params, frozen=True):
    """event.list. `type` is the event's name, or with a `*` at the end how it begins; `subject` is
    the value of any of its attributes, such as the name of what it is about."""

    nodes: Nodes = None
    type: Name | None = None
    subject: Text | None = None
    severity: Severity | None = None
    severity_max: Severity | None = None
    text: Text | None = None
    attributes: Wishes = msgspec.field(default_factory=dict)
    backfilled: bool | None = None
    limit: Limit = 100
    cursor: CursorText | None = None
    order: Order = "newest"


class LabelValuesParams(LogFilterParams, frozen=True, kw_only=True):
    """label.values. `label` is service, severity, node, event_name, or the key of an attribute."""

    label: Key
    limit: Limit = 100


def read_log_params(params: dict[str, Any], wanted: type[ParamsType]) -> ParamsType:
    """The checked parameters; raises RpcError invalid_params, which tells of patterns too."""
    for name in params:
        if name in _PATTERN_NAMES and name not in wanted.__struct_fields__:
            raise _no_patterns(name)
    attributes = params.get("attributes")
    for rule in attributes.values() if isinstance(attributes, dict) else ():
        if isinstance(rule, dict) and not _PATTERN_NAMES.isdisjoint(rule):
            raise _no_patterns("attributes")
    return read_params(params, wanted)


def read_filter(asked: LogFilterParams) -> LogFilter:
    """What the parameters of a log query ask for; raises RpcError invalid_params."""
    services = {*(asked.services or ()), *([asked.service] if asked.service is not None else ())}
    return LogFilter(
        severity_min=0 if asked.severity is None else parse_severity(asked.severity),
        severity_max=None if asked.severity_max is None else severity_top(asked.severity_max),
        text=asked.text or "",
        words=tuple(dict.fromkeys(map(_word, asked.words))),
        services=None if asked.services is None and not services else frozenset(services),
        trace_id=asked.trace_id.lower() if asked.trace_id else None,
        attributes=tuple(attribute_test(*wish) for wish in asked.attributes.items()),
        backfilled=asked.backfilled,
    )


def read_event_filter(asked: EventParams) -> LogFilter:
    """What the parameters of an event query ask for; raises RpcError invalid_params."""
    name = asked.type or ""
    return LogFilter(
        severity_min=0 if asked.severity is None else parse_severity(asked.severity),
        severity_max=None if asked.severity_max is None else severity_top(asked.severity_max),
        text=asked.text or "",
        attributes=tuple(attribute_test(*wish) for wish in asked.attributes.items()),
        backfilled=asked.backfilled,
        event_name=name.removesuffix("*"),
        event_name_begins=name.endswith("*"),
        subject=asked.subject,
    )


def _word(word: str) -> bytes:
    folded = fold(word)
    if not is_word(folded):
        raise RpcError(
            "invalid_params",
            f"words: {word[:60]!r} is not one word of letters, digits and underscores; "
            "`text` finds all else",
            {"parameter": "words"},
        )
    return folded


def _no_patterns(name: str) -> RpcError:
    return RpcError(
        "invalid_params",
        f"{name}: there are no regular expressions or patterns here; use `text` or `words`, and for "
        'an attribute a value, a list of values, {"prefix": ...} or {"not": ...}',
        {"parameter": name},
    )
