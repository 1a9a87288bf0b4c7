"""Putting traces together from the index and from the chunks that it does not cover."""

from collections.abc import Iterator, Sequence
from itertools import chain

from hub.query.scan import ChunkReader, Held, Tally, open_chunk
from hub.query.times import NS_PER_S
from hub.query.trace_attributes import traces_with
from hub.query.trace_index import BUCKET_NS, TraceDay, TraceIndexes
from hub.query.trace_spans import LightSpan, light_spans
from hub.query.trace_summary import Summary, TraceQuery
from shared.errors import BadInput
from shared.records import ChunkHeader, Encoding, Signal

_REACH_NS = 3600 * NS_PER_S
"""How far from the span that led to a trace the days are asked for more of it."""
_LOOKUP_ROWS = 4  # Finding a trace in a day takes as long as reading so many spans.


class Gathering:
    """The traces that were met, each with all of its spans as far as they are indexed.

    Spans of one trace in chunks outside of the index are added as these are read.
    """

    def __init__(
        self, reader: ChunkReader, query: TraceQuery, tally: Tally, index: TraceIndexes | None
    ) -> None:
        self.traces: dict[bytes, Summary] = {}
        self.days = days_in(query.start_ns, query.end_ns, index)
        self._met: set[bytes] = set()
        self._matching: dict[int, set[bytes]] = {}
        self._reader, self._query, self._tally, self._index = reader, query, tally, index

    def rest(self, end_ns: int) -> Iterator[Held]:
        """The chunks that must be read, latest first."""
        query = self._query
        return uncovered(self._reader, self._index, query.nodes, query.start_ns, end_ns)

    def read(self, held: Held) -> None:
        """Take the spans of a chunk; one that is damaged must not hide the others, so it is only
        counted. Raises RpcError quota."""
        try:
            encoding, body = open_chunk(self._reader, held, self._tally)
            self._tally.rows += held.header.records
            spans = self._wanted(light_spans(held.header, encoding, body))
            new = self._add(spans, held.header.origin)
            self._note_attributes(held.header, encoding, body)
        except BadInput:
            self._tally.unreadable += 1
            return
        for trace_id, at_ns in new:
            self.meet(trace_id, at_ns)

    def knows(self, trace_id: bytes) -> bool:
        """Whether the index has told all that it has of the trace."""
        return trace_id in self._met

    def meet(self, trace_id: bytes, at_ns: int) -> Summary | None:
        """The trace with all that the index has of it; None when none of it is wanted.

        `at_ns` is when any of its spans begins. Raises BadInput when the index cannot be read.
        """
        if trace_id not in self._met:
            self._met.add(trace_id)
            for day in self.days:
                if day.first_ns - _REACH_NS <= at_ns <= day.last_ns + BUCKET_NS + _REACH_NS:
                    self._complete(day, trace_id)
        return self.traces.get(trace_id)

    def accepts(self, trace: Summary) -> bool:
        """Whether the trace is wanted; may read chunks to know its attributes."""
        if not self._query.accepts(trace):
            return False
        if not self._query.attributes or trace.has_attributes:
            return True
        trace_id = bytes.fromhex(trace.trace_id)
        trace.has_attributes = any(
            trace_id in self._traces_matching(arrival) for arrival in sorted(trace.indexed_in)
        )
        trace.indexed_in.clear()
        return trace.has_attributes

    def must_read_for(self, trace: Summary) -> bool:
        """Whether only its chunks tell whether it has the attributes."""
        return bool(self._query.attributes and trace.indexed_in and not trace.has_attributes)

    def _complete(self, day: TraceDay, trace_id: bytes) -> None:
        self._tally.rows += _LOOKUP_ROWS
        query = self._query
        for arrival, node, spans in day.parts_of(trace_id):
            self._tally.rows += len(spans)
            if query.nodes is not None and node not in query.nodes:
                continue
            self._add(self._wanted(spans), node)
            trace = self.traces.get(trace_id)
            if trace is not None and query.attributes:
                trace.indexed_in.add(arrival)

    def _wanted(self, spans: Sequence[LightSpan] | Iterator[LightSpan]) -> Iterator[LightSpan]:
        start_ns, end_ns = self._query.start_ns, self._query.end_ns
        return (span for span in spans if start_ns <= span[1] < end_ns)

    def _add(self, spans: Iterator[LightSpan], node: str) -> list[tuple[bytes, int]]:
        """Returns the traces that were not known before, and a start of each."""
        name, traces = self._query.name, self.traces
        new: list[tuple[bytes, int]] = []
        for span in spans:
            trace = traces.get(span[0])
            if trace is None:
                trace = traces[span[0]] = Summary(span[0].hex(), span[1], span[2])
                new.append((span[0], span[1]))
            trace.add(span, node, name)
        return new

    def _note_attributes(self, header: ChunkHeader, encoding: Encoding, body: bytes) -> None:
        query = self._query
        if not query.attributes:
            return
        for trace_id in traces_with(
            query.attributes, header, encoding, body, query.start_ns, query.end_ns
        ):
            if trace_id in self.traces:
                self.traces[trace_id].has_attributes = True

    def _traces_matching(self, arrival: int) -> set[bytes]:
        """Those in a covered chunk; each chunk is opened once."""
        if arrival not in self._matching:
            held_chunks = self._index.chunks({arrival}) if self._index else ()
            found = (self._matching_in(held) for held in held_chunks)
            self._matching[arrival] = set(chain.from_iterable(found))
        return self._matching[arrival]

    def _matching_in(self, held: Held) -> set[bytes]:
        query = self._query
        try:
            encoding, body = open_chunk(self._reader, held, self._tally)
            self._tally.rows += held.header.records
            return traces_with(
                query.attributes, held.header, encoding, body, query.start_ns, query.end_ns
            )
        except BadInput:
            self._tally.unreadable += 1
            return set()


def uncovered(
    reader: ChunkReader,
    index: TraceIndexes | None,
    nodes: frozenset[str] | None,
    start_ns: int,
    end_ns: int,
) -> Iterator[Held]:
    """The chunks of traces that no day covers; all of them where there is no index."""
    if index is not None:
        return index.rest(nodes=nodes, start_ns=start_ns, end_ns=end_ns)
    return reader.find(signals={Signal.TRACES}, nodes=nodes, start_ns=start_ns, end_ns=end_ns)


def days_in(start_ns: int, end_ns: int, index: TraceIndexes | None) -> Sequence[TraceDay]:
    """The indexed days that know spans of a range; raises BadInput."""
    days = index.days() if index else ()
    return [day for day in days if day.first_ns < end_ns and day.last_ns + BUCKET_NS >= start_ns]
