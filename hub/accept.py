"""Judges chunks that arrive, from an edge or from a peer. Pure: what is held comes in as arguments."""

import hashlib
from collections.abc import Mapping, Sequence

from shared.errors import BadInput, Refused
from shared.receipt import ChunkOutcome, Outcome
from shared.records import Chunk, Encoding, Signal

_SIGNALS = frozenset(signal.value for signal in Signal)
_ENCODINGS = frozenset(encoding.value for encoding in Encoding)
_TIME_NS_MAX = 2**63 - 1
_COUNT_MAX = 2**40  # Beyond any chunk, and a log of them still adds up within 64 bits.


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


def judge(chunk: Chunk, held_hash: bytes | None) -> ChunkOutcome:
    """The outcome of one chunk, given the hash held under its key, if any."""
    seq = chunk.header.seq
    if held_hash is not None:
        if held_hash == chunk.hash:
            return ChunkOutcome(seq, Outcome.DUPLICATE)
        return ChunkOutcome(seq, Outcome.REJECTED, "cloned_origin: other bytes under the same key")
    reason = _what_is_wrong(chunk)
    if reason:
        return ChunkOutcome(seq, Outcome.REJECTED, reason)
    return ChunkOutcome(seq, Outcome.ACCEPTED)


def judge_all(
    chunks: Sequence[Chunk], held: Mapping[int, bytes]
) -> tuple[tuple[ChunkOutcome, ...], list[Chunk]]:
    """The outcome of each chunk of one log, and the chunks to store; `held` maps seq to hash."""
    known = dict(held)
    outcomes: list[ChunkOutcome] = []
    fresh: list[Chunk] = []
    for chunk in chunks:
        outcome = judge(chunk, known.get(chunk.header.seq))
        outcomes.append(outcome)
        if outcome.outcome is Outcome.ACCEPTED:
            fresh.append(chunk)
            known[chunk.header.seq] = chunk.hash
    return tuple(outcomes), fresh


def _what_is_wrong(chunk: Chunk) -> str:
    header = chunk.header
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
    if len(header.origin) > 64 or len(header.epoch) > 64:
        return "bad_key: origin and epoch are at most 64 characters"
    return ""
