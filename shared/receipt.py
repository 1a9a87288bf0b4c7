"""What a hub answers to a batch: an outcome for each chunk, and what it now holds of the origin."""

from enum import StrEnum
from typing import Any

import msgspec

from shared.errors import BadInput


class Outcome(StrEnum):
    """What became of one chunk. Accepted and duplicate both mean: this hub has it on disk."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"


class ChunkOutcome(msgspec.Struct, frozen=True):
    """The outcome of one chunk; `reason` is set when it was rejected."""

    seq: int
    outcome: Outcome
    reason: str = ""

    @property
    def held(self) -> bool:
        """Whether the hub has the chunk."""
        return self.outcome is not Outcome.REJECTED


class Receipt(msgspec.Struct, frozen=True):
    """The answer to one batch. A replay of the same bytes gets the same receipt again."""

    batch: str
    origin: str
    epoch: str
    outcomes: tuple[ChunkOutcome, ...]


class PushReply(msgspec.Struct, frozen=True):
    """A receipt with what the hub holds of this log now: `have` on its disk, `safe` on enough disks.

    Both are lists of inclusive ranges. They may move between two answers; the receipt does not.
    `proofs` names, for the last seq of the newest spans of `have`, the hash (hex) of the chunk held
    there, so that an edge can tell its own log from that of a clone. `credit_bytes_per_s` bounds
    how fast the edge may push its backlog; None leaves it to the edge.
    """

    hub_id: str
    receipt: Receipt
    have: list[list[int]]
    safe: list[list[int]]
    proofs: list[tuple[int, str]] = []
    credit_bytes_per_s: float | None = None


_reply_decoder = msgspec.json.Decoder(PushReply)


def write_reply(reply: PushReply) -> bytes:
    """The reply as JSON."""
    return msgspec.json.encode(reply)


def read_reply(body: bytes) -> PushReply:
    """Read a reply; raises BadInput."""
    try:
        return _reply_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"the hub's answer is not a receipt: {error}") from error


def encode_receipt(receipt: Receipt) -> bytes:
    """The receipt as it is stored beside the chunks."""
    return msgspec.msgpack.encode(receipt)


def decode_receipt(stored: bytes) -> Receipt:
    """Read a stored receipt."""
    result: Any = msgspec.msgpack.decode(stored, type=Receipt)
    return result  # type: ignore[no-any-return]  # msgspec's stubs lose the type here.
