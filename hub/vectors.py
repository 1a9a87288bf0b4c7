"""Version vectors: what a hub holds of every log, as one digest and in bounded pages. Pure.

Two hubs whose digests are equal hold the same chunk numbers. Where they differ, the vector travels in
the order of (origin, epoch, seq), so that a page can end anywhere, even inside a log full of holes.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from hub.pull_answers import (
    VERSION,
    PeerFault,
    check_version,
    read_key,
    read_logs,
    read_number,
    read_object,
)
from hub.replicate import LogKey
from shared.errors import BadInput
from shared.ranges import Ranges
from shared.readers import NAME

LOGS_MAX = 1000
SPANS_MAX = 20_000
LOG_CHUNKS_MAX = 2**40  # A thousand chunks a second for 35 years.
DIGEST_LENGTH = 64

Vector = Mapping[LogKey, Ranges]
Position = tuple[str, str, int]
"""Origin, epoch and number: everything up to here has been told."""

START: Position = ("", "", 0)


@dataclass(frozen=True, slots=True)
class VectorQuestion:
    """A peer's wish to see our vector from a position on, unless it equals its own."""

    hub_id: str
    after: Position
    digest: str


@dataclass(frozen=True, slots=True)
class VectorPage:
    """A part of a vector; `after` is where the next part begins, None when this is the last one."""

    logs: dict[LogKey, Ranges]
    after: Position | None


@dataclass(frozen=True, slots=True)
class VectorAnswer:
    """What a peer told of its vector, with its last arrival at that moment."""

    digest: str
    head: int
    page: VectorPage


def digest(vector: Vector) -> str:
    """SHA-256 (hex) of all logs with their ranges: equal for equal vectors, whatever their order."""
    logs = [[*key, vector[key].to_wire()] for key in sorted(vector) if vector[key]]
    return hashlib.sha256(msgspec.msgpack.encode(logs)).hexdigest()


def page(vector: Vector, after: Position, logs_max: int, spans_max: int) -> VectorPage:
    """What follows `after`, as much as fits; both bounds are at least 1."""
    logs: dict[LogKey, Ranges] = {}
    room = spans_max
    position = after
    for key, ranges in _following(vector, after):
        if len(logs) >= logs_max or room <= 0:
            return VectorPage(logs, position)
        logs[key] = Ranges(ranges.spans[:room])
        position = (*key, logs[key].last)
        if len(ranges.spans) > room:
            return VectorPage(logs, position)
        room -= len(ranges.spans)
    return VectorPage(logs, None)


def _following(vector: Vector, after: Position) -> Iterator[tuple[LogKey, Ranges]]:
    origin, epoch, seq = after
    keys = sorted(vector)
    for key in keys[bisect_left(keys, (origin, epoch)) :]:
        ranges = vector[key]
        if key == (origin, epoch) and seq > 0:
            ranges = ranges - Ranges(((1, seq),))
        if ranges:
            yield key, ranges


# ---- questions


def write_question(question: VectorQuestion) -> dict[str, Any]:
    """The question as JSON carries it."""
    after = None if question.after == START else list(question.after)
    return {
        "version": VERSION,
        "hub_id": question.hub_id,
        "after": after,
        "digest": question.digest,
    }


def read_question(value: Mapping[str, Any]) -> VectorQuestion:
    """A question from anybody; raises BadInput."""
    check_version(value)
    hub_id, told = value.get("hub_id"), value.get("digest", "")
    if not isinstance(hub_id, str) or not NAME.fullmatch(hub_id):
        raise BadInput("hub_id must be the name of a hub")
    if not isinstance(told, str) or len(told) not in (0, DIGEST_LENGTH):
        raise BadInput(f"digest must be {DIGEST_LENGTH} hexadecimal digits")
    after = value.get("after")
    return VectorQuestion(hub_id, START if after is None else _read_position(after), told)


def _read_position(value: object) -> Position:
    match value:
        case [origin, epoch, seq]:
            return (*read_key(origin, epoch), read_number(seq, "the number in a position"))
    raise PeerFault("unreadable", "a position in a vector is [origin, epoch, seq]")


# ---- answers


def answer(vector: Vector, question: VectorQuestion, head: int) -> dict[str, Any]:
    """The answer to a question; no logs when the asker's vector is the same."""
    mine = digest(vector) if question.after == START else ""
    same = bool(mine) and mine == question.digest
    nothing = VectorPage({}, None)
    part = nothing if same else page(vector, question.after, LOGS_MAX, SPANS_MAX)
    return {
        "version": VERSION,
        "digest": mine,
        "head": head,
        "logs": [[*key, ranges.to_wire()] for key, ranges in part.logs.items()],
        "next": None if part.after is None else list(part.after),
    }


def read_answer(body: bytes, after: Position) -> VectorAnswer:
    """A peer's answer to a question from `after` on; raises PeerFault when it makes no sense."""
    value = read_object(body)
    told, logs = value.get("digest", ""), value.get("logs")
    if not isinstance(told, str) or len(told) not in (0, DIGEST_LENGTH):
        raise PeerFault("unreadable", f"digest must be {DIGEST_LENGTH} hexadecimal digits")
    if isinstance(logs, list) and len(logs) > LOGS_MAX:
        text = f"a page of a vector holds at most {LOGS_MAX} logs, not {len(logs)}"
        raise PeerFault("too_many", text)
    found = read_logs(logs)
    _check_size(found)
    _check_order(found, after)
    following = value.get("next")
    end = None if following is None else _read_position(following)
    if end is not None and end != _last_position(found):
        raise PeerFault("no_progress", "the next page of its vector would not follow this one")
    return VectorAnswer(told, read_number(value.get("head"), "head"), VectorPage(found, end))


def _check_size(logs: Vector) -> None:
    if sum(len(ranges.spans) for ranges in logs.values()) > SPANS_MAX:
        raise PeerFault("too_many", f"a page of a vector holds at most {SPANS_MAX} ranges")
    for (origin, epoch), ranges in logs.items():
        if not ranges:
            raise PeerFault("unreadable", f"a page of a vector names {origin} {epoch} for nothing")
        if ranges.count > LOG_CHUNKS_MAX:
            text = f"it claims {ranges.count} chunks of {origin}, epoch {epoch}: no log is so long"
            raise PeerFault("too_many", text)


def _check_order(logs: Vector, after: Position) -> None:
    """Pages go up, so that they come to an end."""
    before = after
    for (origin, epoch), ranges in logs.items():
        if (origin, epoch, ranges.first) <= before:
            raise PeerFault("no_progress", f"its vector goes back to {origin}, epoch {epoch}")
        before = (origin, epoch, ranges.last)


def _last_position(logs: Vector) -> Position | None:
    if not logs:
        return None
    key = next(reversed(list(logs)))
    return (*key, logs[key].last)
