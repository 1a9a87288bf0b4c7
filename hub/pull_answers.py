"""What a peer answers when chunks are pulled from it, read and doubted. Pure.

A peer may be newer, older, damaged or a liar. Whatever it says is bounded and checked against what it
was asked before anything of it is kept; a fault names what is wrong in words and in one short reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from hub.accept import check_integrity
from hub.replicate import LogKey, missing
from shared.envelope import BATCH_BYTES_MAX, read_batch
from shared.errors import BadInput, TooLarge
from shared.ranges import SEQ_MAX, Ranges, from_wire, of_seqs
from shared.records import Chunk

VERSION = 1
"""The version of the messages between hubs. Fields may be added; another number means other rules."""

ANNOUNCED_MAX = 65_536  # Sixteen times what a hub announces at once.
NAME_LENGTH_MAX = 64

Announced = dict[LogKey, dict[int, bytes]]
"""The hashes of announced chunks. A peer of an older version names none."""


class PeerFault(BadInput):
    """A peer said what no sound hub says. `reason` is one word for counting, the text for people."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Asked:
    """Where a question began: the life of the peer's store, and the last arrival that is known."""

    store_epoch: str
    since: int


@dataclass(frozen=True, slots=True)
class Announcement:
    """What came to a peer after a number; everything up to `through` is told with it."""

    store_epoch: str
    through: int
    head: int
    logs: dict[LogKey, Ranges]
    hashes: Announced

    @property
    def count(self) -> int:
        """How many chunks are announced."""
        return sum(ranges.count for ranges in self.logs.values())


@dataclass(frozen=True, slots=True)
class ChunkPage:
    """Sound chunks that were asked for, when each was first taken in, and what is lacking still."""

    chunks: tuple[Chunk, ...]
    received_ms: tuple[int, ...]
    lacking: dict[LogKey, Ranges]


def check_version(message: Mapping[str, Any]) -> None:
    """A message of other rules is refused; raises PeerFault. Hubs before versions name none."""
    version = message.get("version", VERSION)
    if version != VERSION or isinstance(version, bool):
        text = f"it speaks version {str(version)[:20]} of the messages between hubs"
        raise PeerFault("version", f"{text}, this hub speaks version {VERSION}: update the older")


def read_object(body: bytes) -> dict[str, Any]:
    """An answer as a JSON object of a version that is known here; raises PeerFault."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise PeerFault("unreadable", f"its answer is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise PeerFault("unreadable", "its answer is not a JSON object")
    check_version(value)
    return value


def read_key(origin: object, epoch: object) -> LogKey:
    """The name of a log; raises PeerFault."""
    for name in (origin, epoch):
        if not isinstance(name, str) or not 0 < len(name) <= NAME_LENGTH_MAX:
            text = f"origin and epoch are texts of 1 to {NAME_LENGTH_MAX} characters"
            raise PeerFault("unreadable", text)
    return str(origin), str(epoch)


def read_number(value: object, name: str) -> int:
    """A whole number from 0 that fits 64 bits; raises PeerFault."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= SEQ_MAX:
        raise PeerFault("unreadable", f"{name} must be a whole number from 0 to {SEQ_MAX}")
    return value


def read_logs(value: object) -> dict[LogKey, Ranges]:
    """`[[origin, epoch, ranges], ...]`; raises PeerFault."""
    if not isinstance(value, list):
        raise PeerFault("unreadable", "its answer lists no logs")
    logs: dict[LogKey, Ranges] = {}
    for item in value:
        match item:
            case [origin, epoch, spans]:
                key = read_key(origin, epoch)
                if key in logs:
                    raise PeerFault("unreadable", f"it names the log {key[0]} {key[1]} twice")
                logs[key] = read_ranges(spans)
            case _:
                raise PeerFault("unreadable", "each log is [origin, epoch, ranges]")
    return logs


def read_ranges(spans: object) -> Ranges:
    """Ranges in their wire form; raises PeerFault."""
    try:
        return from_wire(spans)
    except BadInput as error:
        raise PeerFault("bad_ranges", str(error)) from error


# ---- what is new


def read_have(body: bytes, asked: Asked) -> Announcement:
    """The answer to "what came after this number?"; raises PeerFault."""
    value = read_object(body)
    store_epoch = value.get("store_epoch")
    if not isinstance(store_epoch, str):
        raise PeerFault("unreadable", "store_epoch must be a text")
    told = Announcement(
        store_epoch,
        read_number(value.get("through"), "through"),
        read_number(value.get("head"), "head"),
        read_logs(value.get("have")),
        _read_hashes(value.get("proofs", [])),
    )
    _check_progress(told, asked.since if told.store_epoch == asked.store_epoch else 0)
    return told


def _check_progress(told: Announcement, since: int) -> None:
    """Arrival numbers only grow, and each belongs to one chunk."""
    if told.count > ANNOUNCED_MAX:
        text = f"it announces {told.count} chunks at once, at most {ANNOUNCED_MAX} can be"
        raise PeerFault("too_many", text)
    if told.through > told.head:
        text = f"it tells of arrivals up to {told.through}, but its last one is {told.head}"
        raise PeerFault("beyond_head", text)
    if told.through < since:
        # A hub that has lost chunks says so by another store_epoch.
        text = f"it was asked what came after {since} and answers up to {told.through}"
        raise PeerFault("backwards", text)
    if told.count > told.through - since:
        text = f"it lists {told.count} chunks between the arrivals {since} and {told.through}"
        raise PeerFault("no_progress", text)


def _read_hashes(value: object) -> Announced:
    if not isinstance(value, list):
        raise PeerFault("unreadable", "proofs must be a list")
    announced: Announced = {}
    for item in value:
        match item:
            case [origin, epoch, list(pairs)]:
                announced[read_key(origin, epoch)] = dict(_read_pair(pair) for pair in pairs)
            case _:
                raise PeerFault("unreadable", "each proof is [origin, epoch, [[seq, hash], ...]]")
    return announced


def _read_pair(pair: object) -> tuple[int, bytes]:
    match pair:
        case [int(seq), str(text)] if 1 <= seq <= SEQ_MAX and len(text) == 64:
            try:
                return seq, bytes.fromhex(text)
            except ValueError as error:
                raise PeerFault("unreadable", f"a hash is not hexadecimal: {error}") from error
    raise PeerFault("unreadable", "a proof is a pair of a number and a SHA-256 in hexadecimal")


# ---- chunks


def read_chunks(wire: bytes, lacking: Mapping[LogKey, Ranges], announced: Announced) -> ChunkPage:
    """A page of chunks, every one of them asked for, whole and as it was announced.

    Raises PeerFault; then nothing of the page is to be kept. Costs a hash of every byte.
    """
    try:
        batch = read_batch(wire, BATCH_BYTES_MAX)
    except TooLarge as error:
        raise PeerFault("too_large", str(error)) from error
    except BadInput as error:
        raise PeerFault("unreadable", str(error)) from error
    came = _check_asked(batch.chunks, lacking)
    _check_bytes(batch.chunks, announced)
    return ChunkPage(batch.chunks, batch.received_ms, missing(lacking, came))


def _check_asked(
    chunks: tuple[Chunk, ...], lacking: Mapping[LogKey, Ranges]
) -> dict[LogKey, Ranges]:
    came: dict[LogKey, set[int]] = {}
    for chunk in chunks:
        key, seq = (chunk.header.origin, chunk.header.epoch), chunk.header.seq
        where = f"chunk {seq} of {key[0][:80]}, epoch {key[1][:80]}"
        if key not in lacking or seq not in lacking[key]:
            raise PeerFault("not_asked", f"it sent {where}, which nobody asked for")
        if seq in came.setdefault(key, set()):
            raise PeerFault("twice", f"it sent {where} twice in one answer")
        came[key].add(seq)
    return {key: of_seqs(seqs) for key, seqs in came.items()}


def _check_bytes(chunks: tuple[Chunk, ...], announced: Announced) -> None:
    try:
        check_integrity(chunks)
    except BadInput as error:
        raise PeerFault("wrong_body", f"it sent damaged bytes: {error}") from error
    for chunk in chunks:
        header = chunk.header
        expected = announced.get((header.origin, header.epoch), {}).get(header.seq)
        if expected is not None and chunk.hash != expected:
            text = f"chunk {header.seq} of {header.origin} has not the hash that was announced"
            raise PeerFault("wrong_hash", text)
