"""Parts that were joined, compressed: this is where the processor time of a commit goes."""

import hashlib

from shared.codec import compress
from shared.otlp import join_bodies
from shared.receive.gather import Joined, Packed


def pack(joined: Joined, created_ms: int) -> Packed:
    """Join and compress; it takes milliseconds, so call it beside the event loop."""
    raw = join_bodies(joined.encoding, joined.bodies)
    body = compress(raw)
    return Packed(
        joined.signal,
        joined.encoding,
        joined.records,
        len(raw),
        body,
        hashlib.sha256(body).digest(),
        # A chunk without any event time is found under the time at which it was made.
        joined.time_min_ns or created_ms * 1_000_000,
        joined.time_max_ns or created_ms * 1_000_000,
        created_ms,
    )
