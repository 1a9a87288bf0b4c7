"""Which records of a protobuf body to decode: those whose bytes hold what is looked for.

As with the probe, a record may pass that is not wanted, but none is held back that is. Strings stand
in one piece on the wire, so whatever must be in a record is found between its first and last byte.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hub.query.log_filter import LogFilter
from hub.query.probe import Haystack, fold
from shared.otlp_log_wire import Sieve

Needle = tuple[bytes, bytes]
"""The bytes to search in, raw or folded, and what to look for there."""


class NeedleSieve:
    """Passes records that hold all needles. The first needle leads from record to record."""

    def __init__(self, needles: Sequence[Needle]) -> None:
        (self._where, self._first), *self._others = needles

    def next_hit(self, start: int) -> int:
        """Where the first needle is found next."""
        at = self._where.find(self._first, start)
        return at if at >= 0 else len(self._where)

    def may_want(self, start: int, end: int) -> bool:
        """Whether all needles are within the record."""
        if self._where.find(self._first, start, end) < 0:
            return False
        return all(where.find(needle, start, end) >= 0 for where, needle in self._others)


class OpenSieve:
    """Passes every record."""

    def next_hit(self, start: int) -> int:
        """Every place will do."""
        return start

    def may_want(self, start: int, end: int) -> bool:
        """Every record will do."""
        return start <= end


class LogSieve:
    """Chooses the sieve for the records of each resource of one body."""

    def __init__(self, wanted: LogFilter, haystack: Haystack) -> None:
        self._wanted = wanted
        self._haystack = haystack
        texts = [wanted.folded_text, *wanted.words, fold(wanted.event_name)]
        self._texts = [text for text in texts if text]

    def __call__(self, resource: Mapping[str, Any]) -> Sieve | None:
        """None when no record of this resource is wanted."""
        if not self._wanted.accepts_resource(resource):
            return None
        needles = [*self._id_needles(), *self._text_needles(resource)]
        return NeedleSieve(needles) if needles else OpenSieve()

    def _id_needles(self) -> list[Needle]:
        trace_id = self._wanted.trace_id
        return [(self._haystack.raw, bytes.fromhex(trace_id))] if trace_id else []

    def _text_needles(self, resource: Mapping[str, Any]) -> list[Needle]:
        texts = list(self._texts)
        for test in self._wanted.attributes:
            if test.is_needed and test.key not in resource:
                texts.extend(fold(text) for text in (test.key, test.only_text) if text)
        longest_first = sorted(set(texts), key=len, reverse=True)
        return [(self._folded_for(text), text) for text in longest_first]

    def _folded_for(self, text: bytes) -> bytes:
        # Without ASCII letters a text is found in the raw bytes as well.
        return self._haystack.raw if text == text.upper() else self._haystack.folded


def can_sift(wanted: LogFilter) -> bool:
    """Whether there is something to tell records apart by before they are decoded."""
    return bool(
        wanted.text
        or wanted.words
        or wanted.event_name
        or wanted.trace_id
        or any(test.is_needed for test in wanted.attributes)
    )
