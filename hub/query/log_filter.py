"""Which log records are wanted, apart from when and from whom."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hub.index.words import WORD_BYTES_MAX, inner_words
from hub.query.log_attributes import AttributeTest, is_sent_as_text
from hub.query.match import has_text, has_word, severity_number
from hub.query.needs import Needs
from hub.query.probe import Probe, fold
from shared.otlp_log_entries import LogEntry
from shared.otlp_rows import LogRow

SERVICE_KEY = "service.name"


@dataclass(frozen=True)
class LogFilter:
    """All conditions must hold. `words` are folded; `services` None means any."""

    severity_min: int = 0
    severity_max: int | None = None
    text: str = ""
    words: tuple[bytes, ...] = ()
    services: frozenset[str] | None = None
    trace_id: str | None = None
    attributes: tuple[AttributeTest, ...] = ()
    backfilled: bool | None = None
    """Whether the chunk must have come late; see hub.query.log_chunk.is_backfilled."""
    event_name: str = ""
    event_name_begins: bool = False
    """Whether `event_name` is only how the name begins."""
    subject: str | None = None

    def accepts(self, entry: LogEntry) -> bool:
        """Whether the record is wanted; the cheap tests come first. Raises BadInput.

        Text and words are looked for in the body, the event name and the values of attributes, but
        not in numbers.
        """
        if self._bounds_severity and not self._has_severity(entry):
            return False
        if self.services is not None and not self.accepts_resource(entry.origin.resource):
            return False
        if self.trace_id is not None and entry.trace_id != self.trace_id:
            return False
        return not self.reads_rows or self._accepts_row(entry.row())

    def accepts_resource(self, resource: Mapping[str, Any]) -> bool:
        """Whether records of this resource can be wanted."""
        if self.services is None:
            return True
        service = resource.get(SERVICE_KEY)
        return isinstance(service, str) and service in self.services

    @cached_property
    def reads_rows(self) -> bool:
        """Whether whole rows must be made to tell."""
        return bool(
            self.text
            or self.words
            or self.attributes
            or self.event_name
            or self.subject is not None
        )

    @cached_property
    def _bounds_severity(self) -> bool:
        return self.severity_min > 0 or self.severity_max is not None

    @cached_property
    def folded_text(self) -> bytes:
        """What `text` is looked for as."""
        return fold(self.text)

    @cached_property
    def probe(self) -> Probe:
        """What the body of a chunk with a hit must contain."""
        texts = [self.text, self.event_name, *map(_unfold, self.words)]
        if self.services is not None and len(self.services) == 1:
            texts.extend(self.services)
        for test in self.attributes:
            if test.is_needed:
                texts.extend((test.key, test.only_text or ""))
        if self.subject and is_sent_as_text(self.subject):
            texts.append(self.subject)
        ids = (self.trace_id,) if self.trace_id else ()
        return Probe(tuple(dict.fromkeys(text for text in texts if text)), ids)

    def _has_severity(self, entry: LogEntry) -> bool:
        number = severity_number(entry.severity_number, entry.severity_text)
        return self.severity_min <= number and (
            self.severity_max is None or number <= self.severity_max
        )

    def _accepts_row(self, row: LogRow) -> bool:
        if self.event_name and not self._is_named(row.event_name):
            return False
        if not all(test.accepts(row.attributes, row.resource) for test in self.attributes):
            return False
        if self.subject is not None and self.subject not in row.attributes.values():
            return False
        values = (row.body, row.event_name, row.attributes)
        if not all(has_word(word, values) for word in self.words):
            return False
        return not self.text or has_text(self.folded_text, values)

    def _is_named(self, name: str) -> bool:
        if self.event_name_begins:
            return name.startswith(self.event_name)
        return name == self.event_name


def needs_of(wanted: LogFilter) -> Needs:
    """What an index can prune by: never more than a record with a hit has."""
    services = wanted.services
    return Needs(
        words=tuple(sorted(_needed_words(wanted))),
        service=next(iter(services)) if services is not None and len(services) == 1 else None,
        trace_id=wanted.trace_id,
        attributes=tuple(
            (test.key, test.only) for test in wanted.attributes if test.only is not None
        ),
        severity_min=wanted.severity_min,
    )


def _needed_words(wanted: LogFilter) -> set[bytes]:
    words = {word[:WORD_BYTES_MAX] for word in wanted.words} | inner_words(wanted.text)
    # Between spaces a word is whole: nothing comes before a name, or after a full one.
    words |= inner_words(f" {wanted.event_name}" + ("" if wanted.event_name_begins else " "))
    return words | inner_words(f" {wanted.subject or ''} ")


def _unfold(folded: bytes) -> str:
    return folded.decode("utf-8", "surrogatepass")
