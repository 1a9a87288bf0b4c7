"""Records of peers that could not be applied: kept with their bytes, so that nothing is lost unseen.

The stream goes on without them, and nothing that they stood for is claimed: the numbers are *withheld*
until the node comes in a form that can be applied, or this hub starts anew and asks again. Pure.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.peering.vector import Stream
from shared.ranges import NOTHING, Ranges, of_spans

ENTRIES_MAX = 1000
ENTRY_BYTES_MAX = 16 * 1024
WITHHELD_SPANS_MAX = 1000
REASON_LENGTH_MAX = 300


@dataclass(frozen=True, slots=True)
class ParkedRecord:
    """One record as it came; `body` is cut at 16 KiB. `spans` are withheld for it."""

    node: str
    sender: str
    at_ms: int
    reason: str
    body: bytes
    size_bytes: int
    spans: Mapping[Stream, tuple[int, int]]

    def to_dict(self) -> dict[str, Any]:
        """As people and programs see it."""
        return {
            "node": self.node,
            "sender": self.sender,
            "at_ms": self.at_ms,
            "reason": self.reason,
            "size_bytes": self.size_bytes,
            "body": self.body.decode("utf-8", "backslashreplace"),
            "changes": [[*stream, *span] for stream, span in sorted(self.spans.items())],
        }


@dataclass(slots=True)
class Parked:
    """The newest thousand, one for each node; `total` counts all that ever were."""

    entries: "OrderedDict[str, ParkedRecord]" = field(default_factory=OrderedDict)
    total: int = 0
    _evicted: dict[Stream, Ranges] = field(default_factory=dict)

    def park(self, entry: ParkedRecord) -> bool:
        """Keep a record; returns whether it is news (and not the same one come again)."""
        before = self.entries.pop(entry.node, None)
        self.entries[entry.node] = _with_spans_of(entry, before)
        if len(self.entries) > ENTRIES_MAX:
            self._evict()
        is_news = before is None or before.body != entry.body
        self.total += is_news
        return is_news

    def _evict(self) -> None:
        _, gone = self.entries.popitem(last=False)
        for stream, span in gone.spans.items():
            self._evicted[stream] = _few(self._evicted.get(stream, NOTHING).add(*span))

    def settle(self, node: str, dots: Mapping[Stream, int]) -> bool:
        """The node has been applied with these dots; returns whether what was parked is in that."""
        entry = self.entries.get(node)
        if entry is None:
            return False
        if any(dots.get(stream, 0) < last for stream, (_, last) in entry.spans.items()):
            return False
        del self.entries[node]
        return True

    def withheld(self) -> dict[Stream, Ranges]:
        """The numbers that this hub must not claim."""
        spans: dict[Stream, list[tuple[int, int]]] = {}
        for entry in self.entries.values():
            for stream, span in entry.spans.items():
                spans.setdefault(stream, []).append(span)
        for stream, held in self._evicted.items():
            spans.setdefault(stream, []).extend(held.spans)
        return {stream: of_spans(each) for stream, each in spans.items()}

    def newest(self, limit: int) -> list[dict[str, Any]]:
        """The newest first, as people and programs see them."""
        return [entry.to_dict() for entry in list(reversed(self.entries.values()))[:limit]]


def parked_record(
    node: str,
    sender: str,
    at_ms: int,
    reason: str,
    body: bytes,
    spans: Mapping[Stream, tuple[int, int]],
) -> ParkedRecord:
    """A record to be parked, cut to its bounds."""
    kept, short = body[:ENTRY_BYTES_MAX], reason[:REASON_LENGTH_MAX]
    return ParkedRecord(node, sender, at_ms, short, kept, len(body), dict(spans))


def _with_spans_of(entry: ParkedRecord, before: ParkedRecord | None) -> ParkedRecord:
    if before is None:
        return entry
    spans = dict(before.spans)
    for stream, (first, last) in entry.spans.items():
        low, high = spans.get(stream, (first, last))
        spans[stream] = (min(low, first), max(high, last))
    return ParkedRecord(
        entry.node, entry.sender, entry.at_ms, entry.reason, entry.body, entry.size_bytes, spans
    )


def _few(ranges: Ranges) -> Ranges:
    """As few spans as are kept: withholding more than needed is safe."""
    if len(ranges.spans) <= WITHHELD_SPANS_MAX:
        return ranges
    (first, _), (_, last) = ranges.spans[0], ranges.spans[1]
    return Ranges(((first, last), *ranges.spans[2:]))
