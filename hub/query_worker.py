"""A process that answers questions: `python -m hub.query_worker FOLDER IDENTITY`.

It reads questions from its standard input and writes answers to its standard output, each a frame: its
length as 4 bytes, little endian, and JSON. It ends with its standard input, and may be killed at any
time.
"""

import logging
import os
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from shared.errors import HeadwaterError, RpcError
from shared.loading import loading
from shared.log import configure

with loading():
    from hub.archive import Archive
    from hub.query_pool import FRAME
    from hub.store.day_readers import DayReaders
    from hub.store.days import DayKey
    from hub.store.files import FILE_NAME
    from shared.sqlite import Readers

log = logging.getLogger(__name__)

NICENESS = 5  # Edges that push come first; people who ask come before the index.


def main() -> int:
    """Answer until standard input ends; returns the exit code."""
    folder, identity = Path(sys.argv[1]), sys.argv[2] or None
    configure(sys.argv[3] if len(sys.argv) > 3 else "info")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the hub, which then ends us.
    os.nice(NICENESS)
    suspects: dict[str, str] = {}

    def suspect(key: DayKey, why: str) -> None:
        suspects[key.file_name] = why

    archive = Archive(folder, identity, Readers(folder / FILE_NAME), DayReaders(folder), suspect)
    while (question := _read_frame(sys.stdin.buffer)) is not None:
        answered = _answer(archive, orjson.loads(question))
        answered["suspects"] = dict(suspects)
        suspects.clear()
        archive.days.leave_gone()
        try:
            _write_frame(sys.stdout.buffer, orjson.dumps(answered, default=str))
        except BrokenPipeError:  # The hub was killed: let the flush at the end go nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _answer(archive: Archive, question: dict[str, Any]) -> dict[str, Any]:
    method = question["method"]
    try:
        result = archive.answer(method, question["params"], question["now_ns"])
    except RpcError as error:
        return {"error": [error.kind, str(error), error.data]}
    except HeadwaterError as error:
        return {"error": ["invalid_params", str(error), {}]}
    except sqlite3.Error as error:
        log.warning("%s: %s", method, error)
        return {"error": ["internal", f"the store cannot be read: {error}", {}]}
    except Exception as error:  # A fault in one method must not end the process for others.
        log.exception("%s failed", method)
        return {"error": ["internal", f"{method} failed here: {type(error).__name__}", {}]}
    return {"result": result}


def _read_frame(stream: BinaryIO) -> bytes | None:
    head = stream.read(FRAME.size)
    if len(head) < FRAME.size:
        return None
    (size,) = FRAME.unpack(head)
    body = stream.read(size)
    return body if len(body) == size else None


def _write_frame(stream: BinaryIO, body: bytes) -> None:
    stream.write(FRAME.pack(len(body)) + body)
    stream.flush()


if __name__ == "__main__":
    sys.exit(main())
