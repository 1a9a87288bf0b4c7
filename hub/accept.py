"""Judges chunks that arrive, from an edge or from a peer. Pure: what is held comes in as arguments."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.errors import BadInput, Refused
from shared.ranges import NOTHING, RANGES_MAX, SEQ_MAX, Ranges
from shared.receipt import ChunkOutcome, Outcome
from shared.records import Chunk, ChunkHeader, Encoding, Gap, Signal

_SIGNALS = frozenset(signal.value for signal in Signal)
_ENCODINGS = frozenset(encoding.value for encoding in Encoding)
_TIME_NS_MAX = 2**63 - 1
_COUNT_MAX = 2**40  # Beyond any chunk, and a log of them still adds up within 64 bits.
_TIME_MS_MAX = 2**53
_NAME_LENGTH_MAX = 64
GAPS_MAX = 256  # A header declares one to a handful; it is read into memory as a whole.


@dataclass(frozen=True, slots=True)
class Link:
    """A held chunk as a link of the chain of its log; `previous_hash` is None when it cannot be read."""

    hash: bytes
    previous_hash: bytes | None


@dataclass(frozen=True, slots=True)
class Conflict:
    """A chunk that contradicts what is held of the same log: two machines write under one name."""

    chunk: Chunk
    held_seq: int
    held_hash: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """The outcome of each chunk of one log, in order, and what follows from it."""

    outcomes: tuple[ChunkOutcome, ...]
    fresh: tuple[Chunk, ...]
    conflicts: tuple[Conflict, ...]


def check_integrity(chunks: Sequence[Chunk]) -> None:
    """Every body must have the hash that its header names; raises BadInput for the whole batch.

    One wrong byte means that the rest cannot be trusted either.
    """
    for chunk in chunks:
        if hashlib.sha256(chunk.body).digest() != chunk.header.body_sha256:
            raise BadInput(f"chunk {chunk.header.seq}: the body does not match its SHA-256")


def check_sender(chunks: Sequence[Chunk], node_id: str) -> None:
    """An edge may only send its own log, one epoch at a time; raises Refused."""
    for chunk in chunks:
        if chunk.header.origin != node_id:
            raise Refused(f"{node_id} sent a chunk of {chunk.header.origin}: refused")
        if chunk.header.epoch != chunks[0].header.epoch:
            raise BadInput("one batch holds chunks of one epoch only")


def judge(chunk: Chunk, held: Mapping[int, Link]) -> ChunkOutcome:
    """The outcome of one chunk, given what is held at its own number and next to it."""
    return judge_all([chunk], held).outcomes[0]


def judge_all(
    chunks: Sequence[Chunk], held: Mapping[int, Link], gone: Ranges = NOTHING
) -> Judgement:
    """Judge chunks of one log in order; `held` has what is held at their numbers and next to them,
    and `gone` the numbers of what was here until its time was over."""
    known = dict(held)
    refused: dict[bytes, Conflict] = {}
    outcomes: list[ChunkOutcome] = []
    fresh: list[Chunk] = []
    for chunk in chunks:
        seq = chunk.header.seq
        if seq in gone or (seq in known and known[seq].hash == chunk.hash):
            outcomes.append(ChunkOutcome(seq, Outcome.DUPLICATE))
            continue
        conflict = contradiction(chunk, known) or _of_refused(chunk, refused)
        if conflict:
            refused[chunk.hash] = conflict
        reason = conflict.reason if conflict else what_is_wrong(chunk.header)
        if reason:
            outcomes.append(ChunkOutcome(seq, Outcome.REJECTED, reason))
            continue
        outcomes.append(ChunkOutcome(seq, Outcome.ACCEPTED))
        fresh.append(chunk)
        known[seq] = Link(chunk.hash, chunk.header.previous_hash)
    return Judgement(tuple(outcomes), tuple(fresh), tuple(refused.values()))


def contradiction(chunk: Chunk, held: Mapping[int, Link]) -> Conflict | None:
    """What held chunk says that this one cannot be of the same log, if any does.

    The chain of hashes tells a clone even where it does not use the same number: the chunk before
    must be the one that this chunk follows, and the chunk after must follow this one.
    """
    seq = chunk.header.seq
    mine, before, after = (held.get(number) for number in (seq, seq - 1, seq + 1))
    if mine is not None and mine.hash != chunk.hash:
        return Conflict(chunk, seq, mine.hash, "cloned_origin: other bytes under the same key")
    if before is not None and before.hash != chunk.header.previous_hash:
        text = f"cloned_origin: it does not follow the chunk held at {seq - 1}"
        return Conflict(chunk, seq - 1, before.hash, text)
    if after is not None and after.previous_hash not in (None, chunk.hash):
        text = f"cloned_origin: the chunk held at {seq + 1} does not follow it"
        return Conflict(chunk, seq + 1, after.hash, text)
    return None


def _of_refused(chunk: Chunk, refused: Mapping[bytes, Conflict]) -> Conflict | None:
    """A batch of a clone is refused from its first contradiction on, not just around it."""
    first = refused.get(chunk.header.previous_hash)
    if first is None:
        return None
    text = f"cloned_origin: it follows a chunk that contradicts the one held at {first.held_seq}"
    return Conflict(chunk, first.held_seq, first.held_hash, text)


def what_is_wrong(header: ChunkHeader) -> str:
    """Why no hub can keep a chunk with this header; empty when one can."""
    if header.signal not in _SIGNALS:
        return f"unknown_signal: {header.signal[:50]}"
    if header.encoding not in _ENCODINGS:
        return f"unknown_encoding: {header.encoding[:50]}"
    if header.codec != "zstd":
        return f"unknown_codec: {header.codec[:50]}"
    if header.records < 0 or header.raw_bytes < 0:
        return "negative_length: counts must not be negative"
    if header.records > _COUNT_MAX or header.raw_bytes > _COUNT_MAX:
        return "bad_length: counts are at most 2^40"
    if not (0 <= header.time_min_ns <= _TIME_NS_MAX and 0 <= header.time_max_ns <= _TIME_NS_MAX):
        return "bad_time: event times must be 0 to 2^63-1 nanoseconds"
    if len(header.origin) > _NAME_LENGTH_MAX or len(header.epoch) > _NAME_LENGTH_MAX:
        return "bad_key: origin and epoch are at most 64 characters"
    return _wrong_gaps(header) or _wrong_predecessor(header)


def _wrong_gaps(header: ChunkHeader) -> str:
    if len(header.gaps) > GAPS_MAX:
        return f"bad_gap: a header declares at most {GAPS_MAX} gaps, not {len(header.gaps)}"
    ranges = sum(len(gap.ranges) for gap in header.gaps)
    if ranges > RANGES_MAX:
        return f"bad_gap: a header declares at most {RANGES_MAX} ranges, not {ranges}"
    reasons = (_wrong_gap(gap, header.seq) for gap in header.gaps)
    return next((f"bad_gap: {reason}" for reason in reasons if reason), "")


def _wrong_gap(gap: Gap, seq: int) -> str:
    if not (0 < len(gap.signal) <= _NAME_LENGTH_MAX and 0 < len(gap.reason) <= _NAME_LENGTH_MAX):
        return "signal and reason are 1 to 64 characters"
    if not gap.ranges:
        return "it names no range"
    if any(not 1 <= first <= last for first, last in gap.ranges):
        return "a range is a pair [first, last] with 1 <= first <= last"
    if any(last >= seq for _, last in gap.ranges):
        return "a chunk declares the loss of earlier chunks only"
    if any(not 0 <= count <= _COUNT_MAX for count in (gap.chunks, gap.records, gap.stored_bytes)):
        return "counts are 0 to 2^40"
    if any(not 0 <= time_ms <= _TIME_MS_MAX for time_ms in (gap.since_ms, gap.until_ms)):
        return "times are 0 to 2^53 milliseconds"
    return ""


def _wrong_predecessor(header: ChunkHeader) -> str:
    if header.predecessor is None:
        return ""
    epoch, seq = header.predecessor
    if not 0 < len(epoch) <= _NAME_LENGTH_MAX or not 0 <= seq <= SEQ_MAX:
        return "bad_predecessor: it is an epoch of 1 to 64 characters and its last number"
    if epoch == header.epoch:
        return "bad_predecessor: an epoch does not follow itself"
    return ""
