"""The log file of a child process: bounded, and read along for what a person should see at once."""

import json
import re
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

LOG_BYTES_MAX = 16 * 2**20  # With the one older file kept: days of an ordinary hub.
READ_BYTES_MAX = 256 * 1024
SHOWN_LINES_MAX = 20  # A child in trouble must not drown what the others have to say.
REPEAT_SECONDS_MIN = 60.0  # A hub that is away is news once a minute, not with every attempt.
SHOWN_LEVELS = frozenset({"warning", "error", "critical"})


def worth_showing(line: str) -> str | None:
    """The line as a person should see it; None when it is a log line below a warning."""
    try:
        entry = json.loads(line)
    except ValueError:
        return line.rstrip() or None
    if not isinstance(entry, dict):
        return line
    if entry.get("level") not in SHOWN_LEVELS:
        return None
    return f"{entry['level']}: {entry.get('message', '')}"


@dataclass(slots=True)
class ChildLog:
    """The log of one child, which writes to the file itself and so outlives its supervisor."""

    path: Path
    _at: int = 0
    _rest: bytes = b""
    _shown_at: dict[str, float] = field(default_factory=dict)
    _open: IO[bytes] | None = field(default=None)

    def open(self) -> IO[bytes]:
        """The file to give to the child. Reading along starts at its present end."""
        self._open = self.path.open("ab")
        self._at = self._open.tell()
        return self._open

    def close(self) -> None:
        """Let go of the file; the child keeps its own hold on it."""
        if self._open:
            self._open.close()

    def new_lines(self) -> list[str]:
        """What is new and worth showing, at most SHOWN_LINES_MAX lines of it."""
        with self.path.open("rb") as file:
            file.seek(self._at)
            fresh = file.read(READ_BYTES_MAX)
        self._at += len(fresh)
        *lines, self._rest = (self._rest + fresh).split(b"\n")
        self._rest = self._rest[:READ_BYTES_MAX]
        texts = (worth_showing(line.decode("utf-8", "replace")) for line in lines)
        shown = [text for text in texts if text and self._is_news(text)]
        if len(shown) > SHOWN_LINES_MAX:
            more = len(shown) - SHOWN_LINES_MAX
            return [*shown[:SHOWN_LINES_MAX], f"... and {more} more lines in {self.path}"]
        return shown

    def _is_news(self, text: str) -> bool:
        """Whether nothing like it, numbers aside, was shown a short while ago."""
        alike = re.sub(r"[0-9.]+", "#", text)
        now = time.monotonic()
        recent = {key: at for key, at in self._shown_at.items() if now - at < REPEAT_SECONDS_MIN}
        self._shown_at = {alike: now, **recent}
        return alike not in recent

    def rotate(self) -> None:
        """Keep the file small: copy and cut, since the child holds it open for appending.

        A line written between the copy and the cut is lost: a price worth paying for children that
        need not be told to open their log again.
        """
        if self.path.stat().st_size <= LOG_BYTES_MAX:
            return
        shutil.copyfile(self.path, self.path.with_name(self.path.name + ".1"))
        with self.path.open("r+b") as file:
            file.truncate(0)
        self._at = 0
        self._rest = b""
