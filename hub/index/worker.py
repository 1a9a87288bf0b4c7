"""The process that makes the indexes of one hub: `python -m hub.index.worker FOLDER IDENTITY`.

It reads what the hub has committed and writes index files, so that neither the hub's event loop nor
its answers to edges wait for that. The hub writes a line to its standard input when there is something
new and reads one line of JSON for each bunch, or each look, from its standard output. It ends with
its standard input, so that it never outlives its hub. It may be killed at any time.
"""

import contextlib
import logging
import os
import select
import signal
import sqlite3
import sys
from pathlib import Path

import orjson

from hub.index.filling import Filler
from shared.errors import Unavailable
from shared.log import configure

log = logging.getLogger(__name__)

NICENESS = 10  # On a full machine edges are answered first.
LOOK_SECONDS = 5.0  # Also without word from the hub: a deleted index is noticed by this.
PAUSE_SECONDS = 2.0
_INPUT_BYTES = 65536


def main() -> int:
    """Index until standard input ends; returns the exit code."""
    folder, identity = Path(sys.argv[1]), sys.argv[2]
    configure(sys.argv[3] if len(sys.argv) > 3 else "info")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the hub, which then ends us.
    with contextlib.suppress(OSError):  # Only a courtesy.
        os.nice(NICENESS)
    filler = Filler(folder, identity)
    try:
        while _wait(_work(filler)):
            pass
    except BrokenPipeError:  # The hub was killed: let the flush at the end go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        filler.close()
    return 0


def _work(filler: Filler) -> float:
    """Index one bunch; returns how long to wait for news before the next look."""
    try:
        seen = filler.head_arrival()  # First: what comes in between may count twice.
        late = filler.behind()
        done = filler.fill_some(late)
        if not done:
            filler.settle()
    except (Unavailable, sqlite3.Error, OSError) as error:
        log.warning("indexing: %s", error)
        _report(None, 0, 0, str(error))
        return PAUSE_SECONDS
    _report(sum(each.chunks for each in late) - done, seen, done)
    return 0.0 if done else LOOK_SECONDS


def _report(behind: int | None, seen: int, done: int, error: str = "") -> None:
    """How many chunks of those up to the arrival `seen` are left, None when that is not known.

    Below zero when later ones were done, too: together with what came after `seen` it is right.
    """
    line = {"behind_chunks": behind, "seen": seen, "done": done, "error": error}
    sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
    sys.stdout.buffer.flush()


def _wait(seconds: float) -> bool:
    """Wait for a word from the hub; False once there will be none any more."""
    ready, _, _ = select.select([0], [], [], seconds)
    return not ready or os.read(0, _INPUT_BYTES) != b""


if __name__ == "__main__":
    sys.exit(main())
