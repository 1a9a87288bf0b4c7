"""Spans: blocks of a program, how long they took, and which block is inside of which."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from edge.client_records import Place, span_frame

_here: ContextVar[Place] = ContextVar("headwater_span")


class Span:
    """A piece of work under way."""

    def __init__(self, place: Place, attributes: dict[str, object]) -> None:
        self.place = place
        self.attributes = attributes
        self.error: Exception | None = None

    def set(self, /, **attributes: object) -> None:
        """Add attributes, or replace them."""
        self.attributes.update(attributes)

    @property
    def traceparent(self) -> str:
        """The header that tells another program where it was called from (W3C Trace Context)."""
        return f"00-{self.place.trace_id.hex()}-{self.place.span_id.hex()}-01"


def here() -> Place:
    """The innermost span of this thread or task."""
    return _here.get(Place())


@contextmanager
def under_way(
    name: str, attributes: dict[str, object], keep: Callable[[Callable[[], bytes]], None]
) -> Iterator[Span]:
    """A span as long as the block; what writes its frame goes to `keep` at the end."""
    parent = here()
    span = Span(Place(parent.trace_id or os.urandom(16), os.urandom(8)), attributes)
    start_ns, began_ns, token = time.time_ns(), time.monotonic_ns(), _here.set(span.place)
    try:
        yield span
    except Exception as error:  # Others, as GeneratorExit and CancelledError, are no failures.
        span.error = error
        raise
    finally:
        # An async generator may be closed in another context, which never saw this place.
        with suppress(ValueError):
            _here.reset(token)
        # The wall clock may be set meanwhile; how long it took is not touched by that.
        times_ns = (start_ns, start_ns + time.monotonic_ns() - began_ns)
        keep(lambda: span_frame(name, span.place, parent, times_ns, span.attributes, span.error))
