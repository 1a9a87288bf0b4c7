"""What the log says about itself: losses, new lives and damage, as events for people and as header
fields for hubs."""

import hashlib
from collections.abc import Mapping, Sequence

from shared.codec import compress
from shared.otlp_make import Event, event_part
from shared.receive.gather import Packed
from shared.records import Gap
from shared.signals import Scalar

SCOPE = "headwater.buffer"

_WHY = {
    "shed": "to make room in a full buffer",
    "damaged": "because the disk no longer holds what was written",
    "dead_letter": "because hubs refuse it; it is kept as a dead letter",
    "discarded": "when its dead letter was discarded",
    "split": "and put smaller chunks with the same records in its place",
}


def gap_statement(origin: str, gaps: Sequence[Gap], now_ns: int) -> Packed:
    """A chunk that declares losses, to hubs in its header and to people in its body."""
    events = [Event(now_ns, "buffer.gap", _severity(gap), _text(gap), _facts(gap)) for gap in gaps]
    return _statement(origin, events, now_ns, gaps=tuple(gaps))


def finding_statement(origin: str, text: str, now_ns: int) -> Packed:
    """A chunk that tells people of damage that no range of numbers describes."""
    return _statement(origin, [Event(now_ns, "buffer.damaged", "error", text)], now_ns)


def epoch_statement(origin: str, reason: str, former: tuple[str, int], now_ns: int) -> Packed:
    """The first chunk of a new life of the log, which names the life before."""
    text = f"a new life of this log begins: {reason}"
    facts: Mapping[str, Scalar] = {
        "headwater.epoch.predecessor": former[0],
        "headwater.epoch.predecessor_seq": former[1],
    }
    events = [Event(now_ns, "buffer.epoch", "warn", text, facts)]
    return _statement(origin, events, now_ns, predecessor=former)


def _severity(gap: Gap) -> str:
    return "info" if gap.reason == "split" else "warn"


def _text(gap: Gap) -> str:
    first, last = gap.ranges[0][0], gap.ranges[-1][1]
    numbers = f"{first}" if first == last else f"{first} to {last}"
    what = f"{gap.chunks} chunks ({gap.records} records, {gap.stored_bytes} bytes) of {gap.signal}"
    return f"gave up {what}, numbers {numbers}, {_WHY.get(gap.reason, gap.reason)}"


def _facts(gap: Gap) -> Mapping[str, Scalar]:
    return {
        "headwater.gap.reason": gap.reason,
        "headwater.gap.signal": gap.signal,
        "headwater.gap.first_seq": gap.ranges[0][0],
        "headwater.gap.last_seq": gap.ranges[-1][1],
        "headwater.gap.chunks": gap.chunks,
        "headwater.gap.records": gap.records,
        "headwater.gap.bytes": gap.stored_bytes,
    }


def _statement(
    origin: str,
    events: Sequence[Event],
    now_ns: int,
    *,
    gaps: tuple[Gap, ...] = (),
    predecessor: tuple[str, int] | None = None,
) -> Packed:
    resource = {"service.name": "headwater-edge", "headwater.node": origin}
    part = event_part(resource, SCOPE, events)
    body = compress(part.body)
    return Packed(
        part.signal,
        part.encoding,
        part.records,
        len(part.body),
        body,
        hashlib.sha256(body).digest(),
        part.time_min_ns,
        part.time_max_ns,
        now_ns // 1_000_000,
        gaps,
        predecessor,
    )
