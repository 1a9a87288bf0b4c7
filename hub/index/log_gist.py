"""What the index keeps of a chunk of logs or events: its vocabulary, and how many records of what.

The body is walked directly: a row for each record would double the time. Whatever a LogFilter can
look for in the rows of shared.otlp_rows must be in the vocabulary; more may be.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hub.index.words import (
    attribute_term,
    many_term,
    service_term,
    trace_term,
    words_of,
)
from hub.query.match import as_text, severity_number
from hub.query.probe import fold
from hub.query.scan import clamp_time
from shared.errors import BadInput
from shared.otlp_body import open_body
from shared.otlp_values import Dialect, any_value, attributes_of, dialect_of
from shared.records import ChunkHeader, Encoding, Signal

BIN_SECONDS = 10
BIN_NS = BIN_SECONDS * 1_000_000_000

VALUES_MAX = 64
"""An attribute with more values than this in one chunk is known by their words: a term for each
would take more room than it saves reading."""

Values = defaultdict[str, set[str]]
"""The values of each attribute, as text."""

_UNDATED = -1


@dataclass(slots=True)
class LogGist:
    """What is found in one chunk."""

    texts: set[str] = field(default_factory=set)
    """What a search for text reads, but for `strings`."""
    strings: Values = field(default_factory=lambda: defaultdict(set))
    """Attributes of records that are text, and so are read by a search, too."""
    others: Values = field(default_factory=lambda: defaultdict(set))
    """Attributes of records that are not text, and those of resources, which no search reads."""
    services: set[str] = field(default_factory=set)
    traces: set[str] = field(default_factory=set)
    bins: Counter[tuple[int, int, str]] = field(default_factory=Counter)
    """Records by the second at which their bin begins, severity number and service."""

    @property
    def severity_max(self) -> int:
        """The highest severity number; 0 when there are no records."""
        return max((severity for _, severity, _ in self.bins), default=0)

    def vocabulary(self) -> set[bytes]:
        """Every word and every term that the chunk can be found by."""
        terms = {service_term(name) for name in self.services}
        terms.update(map(trace_term, self.traces))
        for values in (self.strings, self.others):
            terms.update(_value_terms(values))
        many = (each for each in self.others.values() if len(each) > VALUES_MAX)
        texts = self.texts.union(*self.strings.values(), *many)
        return terms | words_of(fold("\n".join(texts)))


def read_gist(header: ChunkHeader, body: bytes) -> LogGist:
    """Walk a decompressed body once; raises BadInput when it cannot be read."""
    try:
        encoding = Encoding(header.encoding)
    except ValueError as error:
        raise BadInput(f"encoding {header.encoding!r} is not known here") from error
    dialect, gist = dialect_of(encoding), LogGist()
    traces: set[Any] = set()
    for request in open_body(Signal.LOGS, encoding, body):
        for held in request.resource_logs or ():
            service = _add_resource(gist, dialect, held.resource)
            dated = Counter(_add_records(gist, dialect, held.scope_logs or (), traces))
            for (number, severity), records in dated.items():
                gist.bins[_bin_second(header, number), severity, service] += records
    gist.traces.update(filter(None, map(dialect.id_text, traces)))
    return gist


def _value_terms(values: Values) -> Iterator[bytes]:
    for key, texts in values.items():
        if len(texts) > VALUES_MAX:
            yield many_term(key)
        else:
            for text in texts:
                yield attribute_term(key, text)


def _add_resource(gist: LogGist, dialect: Dialect, resource: Any) -> str:
    """Note the attributes of a resource; returns its service, "" when that has no name."""
    own = attributes_of(dialect, resource.attributes) if resource else {}
    for key, value in own.items():
        gist.others[key].add(as_text(value))
    service = own.get("service.name")
    if not isinstance(service, str):
        return ""
    gist.services.add(service)
    return service


def _add_records(
    gist: LogGist, dialect: Dialect, scopes: Iterable[Any], traces: set[Any]
) -> Iterator[tuple[int, int]]:
    """Note what the records hold; yields of each the number of its bin and its severity.

    One loop with the frequent case first: a call for each value would double the time.
    """
    texts, strings = gist.texts, gist.strings
    for scope in scopes:
        for record in scope.log_records or ():
            value = record.body
            if value is not None and (text := value.string_value):
                texts.add(text)
            else:
                texts.update(_leaves(any_value(dialect, value)))
            for pair in record.attributes or ():
                value = pair.value
                if value is not None and (text := value.string_value):
                    strings[pair.key or ""].add(text)
                else:
                    _add_other(gist, pair.key or "", any_value(dialect, value))
            if record.event_name:
                texts.add(record.event_name)
            if record.trace_id:
                traces.add(record.trace_id)
            time_ns = record.time_unix_nano or record.observed_time_unix_nano
            severity = record.severity_number or severity_number(0, record.severity_text or "")
            yield time_ns // BIN_NS if time_ns else _UNDATED, severity


def _add_other(gist: LogGist, key: str, value: Any) -> None:
    gist.others[key].add(as_text(value))
    gist.texts.update(_leaves(value))


def _leaves(value: Any) -> Iterator[str]:
    """The text values in a value at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)


def _bin_second(header: ChunkHeader, number: int) -> int:
    """When a bin begins, once its time is held inside the header's range.

    The same as hub.query.scan.clamp_time does to each record: rounding down keeps the order.
    """
    if number == _UNDATED:
        return clamp_time(header) // BIN_NS * BIN_SECONDS
    inside = min(max(number, header.time_min_ns // BIN_NS), header.time_max_ns // BIN_NS)
    return inside * BIN_SECONDS
