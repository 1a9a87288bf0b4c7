"""A naive model of log queries: it decodes everything, and knows no index, no bytes and no order but
the sorted one. Also what tests draw for it: stored records and questions about them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from shared.otlp_rows import LogRow, log_rows
from shared.records import Encoding, Signal
from tests.unit.query.stock import HeldChunk, ListReader, S, log, logs

TRACES = ("0af7651916cd43dd8448eb211c80319c", "a" * 32)
NAMES = {1: "TRACE", 9: "INFO", 10: "INFO", 13: "WARN", 17: "ERROR", 20: "ERROR"}
LATE_MS = 60_001

Place = tuple[int, str, str, int, int]


@dataclass(frozen=True)
class Seen:
    """A record of the model."""

    place: Place
    row: LogRow
    late: bool


def all_seen(reader: ListReader) -> Iterator[Seen]:
    """Every record of a store."""
    for held in reader.chunks:
        header = held.header
        for row in log_rows(Encoding(header.encoding), held.body):
            place = (row.time_ns, header.origin, header.epoch, header.seq, row.index)
            yield Seen(place, row, held.received_ms - header.created_ms > LATE_MS - 1)


def wanted(seen: Seen, asked: dict[str, Any]) -> bool:
    """Whether the parameters of a query ask for this record."""
    row = seen.row
    texts = [row.body, row.event_name, *(v for v in row.attributes.values() if isinstance(v, str))]
    folded = [_fold(text) for text in texts]
    services = [*asked.get("services", ()), *([asked["service"]] if "service" in asked else ())]
    return (
        asked.get("start", 0) * S <= row.time_ns < asked.get("end", 10**9) * S
        and ("nodes" not in asked or seen.place[1] in asked["nodes"])
        and asked.get("severity", 0) <= row.severity_number <= asked.get("severity_max", 24)
        and any(_fold(asked.get("text", "")) in text for text in folded)
        and all(
            any(_has_word(text, _fold(word)) for text in folded) for word in asked.get("words", ())
        )
        and (not services or row.resource.get("service.name") in services)
        and asked.get("trace_id", row.trace_id).lower() == row.trace_id
        and all(_is_like(row, key, wish) for key, wish in asked.get("attributes", {}).items())
        and asked.get("backfilled", seen.late) == seen.late
    )


def _fold(text: str) -> str:
    return "".join(each.lower() if each.isascii() else each for each in text)


def _has_word(text: str, word: str) -> bool:
    return word in re.split(r"[^0-9a-z_\u0080-\U0010ffff]", text)


def _is_like(row: LogRow, key: str, wish: Any) -> bool:
    both = {**row.resource, **row.attributes}
    if key not in both:
        return isinstance(wish, dict) and "prefix" not in wish
    text = as_text(both[key])
    if isinstance(wish, list):
        return text in map(as_text, wish)
    if not isinstance(wish, dict):
        return text == as_text(wish)
    refused = wish.get("not", [])
    refused = refused if isinstance(refused, list) else [refused]
    return text.startswith(wish.get("prefix", "")) and text not in map(as_text, refused)


def as_text(value: Any) -> str:
    """How attributes are compared."""
    return value if isinstance(value, str) else json.dumps(value)


words = st.sampled_from(
    [
        "boot",
        "Disk full",
        "naïve café",
        'say "hi"',
        "a\\b",
        "tab\there",
        "日本",
        "disk_full",
        "POST 404",
    ]
)
values = words | st.sampled_from([404, True, 1.5, "404", "aGVsbG8=", "/api/v1", "shop"])
records = st.builds(
    lambda second, fraction, body, severity, attributes, trace, name: log(
        second * S + fraction, body, severity, attributes, trace, event_name=name
    ),
    st.integers(1, 25),
    st.integers(0, 1),
    words,
    st.sampled_from(list(NAMES)),
    st.dictionaries(st.sampled_from(["word", "code", "service.name"]), values, max_size=3),
    st.sampled_from(["", *TRACES]),
    st.sampled_from(["", "vm.started", "vm.stopped"]),
)
chunks = st.tuples(
    st.lists(records, min_size=1, max_size=5),
    st.sampled_from(["edge-1", "edge-2"]),
    st.sampled_from(["proto", "json"]),
    st.sampled_from(["shop", "Shop", "mail"]),
    st.booleans(),
)
wishes = st.one_of(
    values,
    st.lists(values, min_size=1, max_size=2),
    st.builds(lambda value: {"not": value}, values),
    st.builds(lambda several: {"not": several}, st.lists(values, min_size=1, max_size=2)),
    st.sampled_from([{"prefix": "Disk"}, {"prefix": "4"}, {"prefix": "/api", "not": "/api/v2"}]),
)
plain_filters = {
    "start": st.integers(0, 9),
    "end": st.integers(10, 30),
    "nodes": st.lists(st.sampled_from(["edge-1", "edge-2"]), unique=True),
    "severity": st.integers(0, 17),
    "severity_max": st.integers(1, 24),
    "service": st.sampled_from(["shop", "mail", "none"]),
    "services": st.lists(st.sampled_from(["shop", "Shop"]), unique=True, min_size=1),
}
filters = {
    **plain_filters,
    "text": st.sampled_from(["o", "DISK", "é", 'y "h', "a\\b", "b\th", "本", "/", "absent", "404"]),
    "words": st.lists(st.sampled_from(["disk", "FULL", "hi", "café", "caf", "404"]), max_size=2),
    "trace_id": st.sampled_from([TRACES[0].upper(), "b" * 32]),
    "attributes": st.dictionaries(
        st.sampled_from(["word", "code", "service.name", "absent"]), wishes, max_size=2
    ),
    "backfilled": st.booleans(),
}


def stock_of(stored: list[Any], signal: Signal = Signal.LOGS) -> ListReader:
    """A store with the drawn chunks."""
    reader = ListReader()
    for held, node, encoding, service, late in stored:
        chunk = reader.put(signal, logs(held, service), node, encoding)
        if late:
            reader.chunks[-1] = late_copy(chunk)
    return reader


def late_copy(chunk: HeldChunk) -> HeldChunk:
    """The chunk as it is when it came just too late to count as fresh."""
    return replace(chunk, received_ms=chunk.header.created_ms + LATE_MS)
