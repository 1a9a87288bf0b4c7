"""The order in which the spans of a trace are drawn: parents before their children, by start.

Clocks of nodes differ, so a child may seem to begin before its parent: it stays below it all the
same. A span whose parent is not there stands at the root, and a ring of spans that name each other
is opened at its earliest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shared.otlp_rows import SpanRow


@dataclass(frozen=True, slots=True)
class PlacedSpan:
    """One span and the node that sent it."""

    node: str
    row: SpanRow

    @property
    def place(self) -> tuple[int, str, str]:
        """Orders spans of equal parents."""
        return self.row.start_ns, self.row.span_id, self.node


def waterfall(spans: Sequence[PlacedSpan]) -> Iterator[tuple[int, PlacedSpan]]:
    """Every span once, with its depth. Copies of a span, as retries make them, are left out."""
    ordered = sorted(_distinct(spans), key=lambda span: span.place)
    known = {span.row.span_id for span in ordered if span.row.span_id}
    children: dict[str, list[PlacedSpan]] = {}
    roots: list[PlacedSpan] = []
    for span in ordered:
        parent = span.row.parent_span_id
        if parent in known and parent != span.row.span_id:
            children.setdefault(parent, []).append(span)
        else:
            roots.append(span)
    seen: set[int] = set()
    # After the roots come all others: whoever was not reached from a root is part of a ring.
    for start in (*roots, *ordered):
        yield from _descend(start, children, seen)


def _descend(
    start: PlacedSpan, children: dict[str, list[PlacedSpan]], seen: set[int]
) -> Iterator[tuple[int, PlacedSpan]]:
    waiting = [(0, start)]  # A list, since a trace may be deeper than Python's stack.
    while waiting:
        depth, span = waiting.pop()
        if id(span) in seen:
            continue
        seen.add(id(span))
        yield depth, span
        below = children.get(span.row.span_id, ()) if span.row.span_id else ()
        waiting.extend((depth + 1, child) for child in reversed(below))


def _distinct(spans: Sequence[PlacedSpan]) -> list[PlacedSpan]:
    first: dict[tuple[str, str, str, int, int], PlacedSpan] = {}
    nameless: list[PlacedSpan] = []
    for span in spans:
        row = span.row
        if row.span_id:
            first.setdefault((span.node, row.span_id, row.name, row.start_ns, row.end_ns), span)
        else:
            nameless.append(span)
    return [*first.values(), *nameless]
