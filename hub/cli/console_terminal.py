"""The terminal of a console: raw while it is open, and as it was afterwards, whatever happens."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from typing import Any

READ_BYTES = 4096
READS_AHEAD_MAX = 16
FILES_MAX = 4096
_DONE = b"."


def window() -> tuple[int, int]:
    """Columns and rows."""
    size = shutil.get_terminal_size()
    return max(1, min(size.columns, 1000)), max(1, min(size.lines, 1000))


@contextlib.contextmanager
def raw(terminal: int) -> Iterator[None]:
    """Hand over every key as it is typed. The terminal is as it was afterwards, even if we are killed."""
    saved = termios.tcgetattr(terminal)
    done = _guard(terminal, saved)
    try:
        tty.setraw(terminal, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, saved)
        os.write(done, _DONE)
        os.close(done)
        os.wait()


def _guard(terminal: int, saved: list[Any]) -> int:
    """Start a process that restores the terminal if we end without saying that we have."""
    hears, done = os.pipe()
    if os.fork():
        os.close(hears)
        return done
    try:  # From here on in the guard, which no key and no hang-up may end before us.
        for held in {*range(3, FILES_MAX)} - {hears, terminal}:
            with contextlib.suppress(OSError):
                os.close(held)  # A socket that we keep open would not look closed to its hub.
        os.setpgid(0, 0)
        for number in (signal.SIGTTOU, signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        if os.read(hears, 1) != _DONE:
            termios.tcsetattr(terminal, termios.TCSANOW, saved)
    finally:
        os._exit(0)


class Typing:
    """What comes on standard input: a terminal, a pipe or a file. None at the end."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._room = threading.Semaphore(READS_AHEAD_MAX)
        # A read cannot be ended from outside; such a thread does not hold up our end.
        threading.Thread(target=self._read, name="typing", daemon=True).start()

    async def next(self) -> bytes | None:
        """The next piece; waits for it."""
        data = await self._queue.get()
        self._room.release()
        return data

    def _read(self) -> None:
        while self._room.acquire():
            try:
                data = os.read(sys.stdin.fileno(), READ_BYTES)
            except OSError:  # The terminal hung up.
                data = b""
            with contextlib.suppress(RuntimeError):  # The loop has ended before us.
                self._loop.call_soon_threadsafe(self._queue.put_nowait, data or None)
            if not data:
                return


def write_out(data: bytes) -> None:
    """Write all of it on standard output; raises BrokenPipeError when nobody reads there."""
    while data:
        data = data[os.write(sys.stdout.fileno(), data) :]
