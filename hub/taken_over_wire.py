"""The question "what became of these numbers?" between hubs, and its answer, read and doubted. Pure."""

from collections.abc import Mapping
from typing import Any

from hub.pull_answers import VERSION, PeerFault, read_key, read_number, read_object, read_ranges
from hub.replicate import LogKey
from hub.taken_over import Fate, Fates, Went
from hub.vectors import LOG_CHUNKS_MAX
from shared.errors import BadInput
from shared.ranges import Ranges, of_spans
from shared.sums import Sum

ASKED_SPANS_MAX = 5000
COUNT_MAX = 2**55  # Beyond the records and bytes of any log, and sums of some still fit 64 bits.
_HASH_LENGTH = 64

Asked = Mapping[LogKey, Ranges]


def check_asked(asked: Asked) -> None:
    """A question must be small enough to be answered at once; raises BadInput."""
    spans = sum(len(seqs.spans) for seqs in asked.values())
    if spans > ASKED_SPANS_MAX:
        raise BadInput(f"a question names at most {ASKED_SPANS_MAX} ranges, not {spans}")


def part_of(asked: Asked) -> dict[LogKey, Ranges]:
    """As much of it as fits into one question."""
    room, part = ASKED_SPANS_MAX, {}
    for key in sorted(asked):
        if room <= 0:
            break
        part[key] = Ranges(asked[key].spans[:room])
        room -= len(part[key].spans)
    return part


def write_answer(fates: Fates) -> dict[str, Any]:
    """The answer as JSON carries it. A log that is left out was not judged."""
    return {"version": VERSION, "logs": [_item(key, fate) for key, fate in fates.items()]}


def _item(key: LogKey, fate: Fate) -> dict[str, Any]:
    return {
        "origin": key[0],
        "epoch": key[1],
        "judged": fate.judged.to_wire(),
        "held": fate.held.to_wire(),
        "dropped": fate.dropped.to_wire(),
        "went": _went_to_wire(fate.went) if fate.went and fate.dropped else None,
    }


def _went_to_wire(went: Went) -> list[Any]:
    ends = [went.first_seq, went.last_seq, went.last_hash.hex()]
    sums = [went.sum.chunks, went.sum.records, went.sum.stored_bytes]
    return [*ends, *sums, went.first_received_ms]


# ---- reading


def read_answer(body: bytes, asked: Asked) -> dict[LogKey, Fate]:
    """A peer's answer, all of it within what was asked; raises PeerFault."""
    logs = read_object(body).get("logs")
    if not isinstance(logs, list):
        raise PeerFault("unreadable", "its answer lists no logs")
    if len(logs) > len(asked):
        raise PeerFault(
            "too_many", f"it was asked about {len(asked)} logs and tells of {len(logs)}"
        )
    fates: dict[LogKey, Fate] = {}
    for item in logs:
        key, fate = _read_item(item, asked)
        if key in fates:
            raise PeerFault("twice", f"it names the log {key[0]} {key[1]} twice")
        fates[key] = fate
    if asked and not any(fate.judged for fate in fates.values()):
        raise PeerFault("no_progress", "it was asked what became of chunks and tells of none")
    return fates


def _read_item(item: object, asked: Asked) -> tuple[LogKey, Fate]:
    if not isinstance(item, dict):
        raise PeerFault("unreadable", "each log of its answer must be an object")
    key = read_key(item.get("origin"), item.get("epoch"))
    if key not in asked:
        raise PeerFault("not_asked", f"it tells of {key[0]} {key[1]}, which nobody asked for")
    judged, held, dropped = (_strict(item.get(name)) for name in ("judged", "held", "dropped"))
    if judged - asked[key]:
        raise PeerFault("not_asked", f"it judges numbers of {key[0]} that nobody asked for")
    if (held | dropped) - judged or held & dropped:
        text = f"what it holds and what it dropped of {key[0]} are not two parts of what it judged"
        raise PeerFault("contradiction", text)
    went = _read_went(item.get("went"), dropped) if dropped else None
    return key, Fate(judged, held, dropped, went)


def _strict(spans: object) -> Ranges:
    """Ranges in the one form that a hub writes: in order, apart, and within bounds."""
    ranges = read_ranges(spans)
    if ranges.to_wire() != spans:
        raise PeerFault("bad_ranges", "its ranges overlap, touch, or are not in order")
    return ranges


def _read_went(value: object, dropped: Ranges) -> Went:
    match value:
        case [first, last, str(text), *counts, received_ms] if len(counts) == 3:
            went = Went(
                read_number(first, "first_seq"),
                read_number(last, "last_seq"),
                _read_hash(text),
                Sum(*(_read_count(each) for each in counts)),
                _read_count(received_ms),
            )
        case _:
            raise PeerFault("unreadable", "it does not tell what its retention took")
    _check_went(went, dropped)
    return went


def _read_count(value: object) -> int:
    count = read_number(value, "a count")
    if count > COUNT_MAX:
        raise PeerFault("too_many", f"a count of {count} is beyond any log")
    return count


def _read_hash(text: str) -> bytes:
    try:
        digest = bytes.fromhex(text)
    except ValueError as error:
        raise PeerFault("unreadable", f"a hash is not hexadecimal: {error}") from error
    if len(text) != _HASH_LENGTH or len(digest) * 2 != _HASH_LENGTH:
        raise PeerFault("unreadable", f"a hash has {_HASH_LENGTH} hexadecimal digits")
    return digest


def _check_went(went: Went, dropped: Ranges) -> None:
    span = of_spans([(went.first_seq, went.last_seq)]) if went.first_seq else Ranges()
    if not 1 <= went.first_seq <= went.last_seq or dropped - span:
        raise PeerFault("contradiction", "it dropped numbers beyond those that it ever dropped")
    if not dropped.count <= went.sum.chunks <= min(span.count, LOG_CHUNKS_MAX):
        text = f"it dropped {dropped.count} of {went.sum.chunks} chunks between {went.first_seq}"
        raise PeerFault("contradiction", f"{text} and {went.last_seq}: that cannot be")
