"""The calls about dead letters: list them, look into one, put them back, give them up."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Annotated, Any, Protocol, TypeVar

import msgspec
from msgspec import Meta

from edge.letters import DeadLetter
from shared.codec import decompress
from shared.errors import HeadwaterError, RpcError
from shared.otlp_rows import log_rows, metric_points, span_rows
from shared.ranges import Ranges, of_seqs
from shared.records import MIB, Chunk, Encoding, Signal

RECORDS_MAX = 100
LISTED_MAX = 1000
RAW_BYTES_MAX = 72 * MIB

Seq = Annotated[int, Meta(ge=1)]
Request = Annotated[str, Meta(max_length=128)]
Params = TypeVar("Params")
Method = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class Holder(Protocol):
    """What the calls need of the buffer."""

    async def dead_letters(self) -> list[DeadLetter]: ...
    async def dead_letter(self, seq: int) -> Chunk | None: ...
    async def retry_dead_letters(self, seqs: Ranges | None = None) -> int: ...
    async def discard_dead_letters(self, seqs: Ranges | None = None) -> int: ...


class _List(msgspec.Struct, forbid_unknown_fields=True):
    limit: Annotated[int, Meta(ge=1, le=LISTED_MAX)] = 100


class _Show(msgspec.Struct, forbid_unknown_fields=True):
    seq: Seq
    limit: Annotated[int, Meta(ge=1, le=RECORDS_MAX)] = 10


class _Choose(msgspec.Struct, forbid_unknown_fields=True):
    """Which letters: some numbers, or all of them. A repeated call finds nothing left to do."""

    seqs: list[Seq] = []
    all: bool = False
    request_id: Request | None = None


def letter_methods(buffer: Holder) -> dict[str, Method]:
    """The methods by name; they raise RpcError."""

    async def list_letters(raw: dict[str, Any]) -> dict[str, Any]:
        wanted = _read(_List, raw)
        letters = await buffer.dead_letters()
        items = [asdict(letter) for letter in letters[: wanted.limit]]
        return {"items": items, "total": len(letters)}

    async def show(raw: dict[str, Any]) -> dict[str, Any]:
        wanted = _read(_Show, raw)
        letter = next(
            (each for each in await buffer.dead_letters() if each.seq == wanted.seq), None
        )
        chunk = await buffer.dead_letter(wanted.seq)
        if letter is None or chunk is None:
            raise RpcError("not_found", f"there is no dead letter {wanted.seq}")
        return {**asdict(letter), "sample": records_of(chunk, wanted.limit)}

    async def retry(raw: dict[str, Any]) -> dict[str, Any]:
        return {"retried": await buffer.retry_dead_letters(await _chosen(raw))}

    async def discard(raw: dict[str, Any]) -> dict[str, Any]:
        return {"discarded": await buffer.discard_dead_letters(await _chosen(raw))}

    return {
        "edge.dead_letters.list": list_letters,
        "edge.dead_letters.show": show,
        "edge.dead_letters.retry": retry,
        "edge.dead_letters.discard": discard,
    }


async def _chosen(raw: dict[str, Any]) -> Ranges | None:
    wanted = _read(_Choose, raw)
    if wanted.all == bool(wanted.seqs):
        raise RpcError("invalid_params", "name the seqs of some dead letters, or say all: true")
    return None if wanted.all else of_seqs(wanted.seqs)


def _read(kind: type[Params], raw: dict[str, Any]) -> Params:
    # A hub passes on the name of the node with which it found us.
    given = {key: value for key, value in raw.items() if key != "node"}
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise RpcError("invalid_params", str(error)) from error


def records_of(chunk: Chunk, limit: int) -> Sequence[dict[str, Any]]:
    """The first records of a chunk as objects; what cannot be read is said in their place."""
    try:
        encoding = Encoding(chunk.header.encoding)
        body = decompress(chunk.body, RAW_BYTES_MAX)
        rows = _rows(chunk.header.signal, encoding, body)
        return [msgspec.to_builtins(row) for row in islice(rows, limit)]
    except (HeadwaterError, ValueError) as error:
        return [{"unreadable": str(error)}]


def _rows(signal: str, encoding: Encoding, body: bytes) -> Any:
    if signal == Signal.METRICS:
        return metric_points(encoding, body)
    if signal == Signal.TRACES:
        return span_rows(encoding, body)
    return log_rows(encoding, body)
