"""Chunks written to a file for other programs: as OTLP JSON lines, or byte for byte as they are.

JSON lines follow https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/: each line is one
OTLP/JSON export request. Chunks are batches as edges push them (shared.envelope), each behind its
length as four bytes, the most significant first.
"""

import base64
import os
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import orjson
from google.protobuf.json_format import MessageToDict

from edge.offline_query import RAW_BYTES_MAX, Account
from shared.codec import decompress
from shared.envelope import BATCH_BYTES_MAX, read_batch, write_batch
from shared.errors import BadInput, SettingsError, Unavailable
from shared.otlp_body import read_proto
from shared.records import MIB, Chunk, Encoding, Signal
from shared.sqlite import sync_folder

LOT_BYTES = 1 * MIB
LOT_CHUNKS = 1024
ID_FIELDS = frozenset({"traceId", "spanId", "parentSpanId"})
_LENGTH = struct.Struct(">I")

Writer = Callable[[Iterable[Chunk], BinaryIO, Account], None]


def write_lines(chunks: Iterable[Chunk], file: BinaryIO, account: Account) -> None:
    """Write the chunks as OTLP JSON lines; what is no OTLP is left out and noted in the account."""
    for chunk in chunks:
        try:
            lines = [orjson.dumps(request) + b"\n" for request in _requests(chunk)]
        except (BadInput, ValueError, TypeError) as error:
            account.leave_out(chunk, error)
            continue
        file.writelines(lines)
        _count(account, chunk)


def _requests(chunk: Chunk) -> Iterator[Any]:
    body = decompress(chunk.body, RAW_BYTES_MAX)
    if chunk.header.encoding == Encoding.JSON:
        yield from orjson.loads(body)
        return
    request = read_proto(Signal(chunk.header.signal), body)
    yield _with_hex_ids(MessageToDict(request, use_integers_for_enums=True))


def _with_hex_ids(value: Any) -> Any:
    """OTLP/JSON writes ids in hex, where protobuf's own JSON writes base64."""
    if isinstance(value, list):
        return [_with_hex_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: base64.b64decode(held).hex() if key in ID_FIELDS else _with_hex_ids(held)
        for key, held in value.items()
    }


def write_chunks(chunks: Iterable[Chunk], file: BinaryIO, account: Account) -> None:
    """Write the chunks as they are, for `read_chunks`."""
    lot: list[Chunk] = []
    for chunk in chunks:
        if lot and (len(lot) >= LOT_CHUNKS or _bytes_of([*lot, chunk]) > LOT_BYTES):
            _write_lot(lot, file)
            lot = []
        lot.append(chunk)
        _count(account, chunk)
    if lot:
        _write_lot(lot, file)


def _bytes_of(lot: Iterable[Chunk]) -> int:
    return sum(len(chunk.body) for chunk in lot)


def _write_lot(lot: list[Chunk], file: BinaryIO) -> None:
    batch = write_batch(lot)
    file.write(_LENGTH.pack(len(batch)))
    file.write(batch)


def _count(account: Account, chunk: Chunk) -> None:
    account.chunks += 1
    account.records += chunk.header.records


def read_chunks(file: BinaryIO) -> Iterator[Chunk]:
    """The chunks that `write_chunks` wrote; raises BadInput or TooLarge for anything else."""
    while prefix := file.read(_LENGTH.size):
        if len(prefix) < _LENGTH.size:
            raise BadInput("the file ends inside a length")
        (size_bytes,) = _LENGTH.unpack(prefix)
        if size_bytes > BATCH_BYTES_MAX:
            raise BadInput(f"a batch of {size_bytes} bytes is larger than any that is written")
        batch = file.read(size_bytes)
        if len(batch) < size_bytes:
            raise BadInput("the file ends inside a batch")
        yield from read_batch(batch).chunks


FORMATS: dict[str, Writer] = {"jsonl": write_lines, "chunks": write_chunks}


@contextmanager
def replacing(path: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    """A file that gets its name only once everything is in it and on the disk.

    Raises SettingsError when the name is taken and `overwrite` is off, Unavailable when the disk
    refuses. On any failure nothing is left behind, and what had the name before keeps it.
    """
    if path.is_dir() or (path.exists() and not overwrite):
        kind = "a folder" if path.is_dir() else "there already: say --overwrite to replace it"
        raise SettingsError(f"{path} is {kind}")
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    except OSError as error:
        raise SettingsError(f"cannot write in {path.parent}: {error.strerror}") from error
    unfinished = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise Unavailable(f"cannot write {path}: {error.strerror}", 0) from error
    finally:
        unfinished.unlink(missing_ok=True)
