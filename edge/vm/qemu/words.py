"""What the QEMU of one machine said of itself: a file in the machine's folder that QEMU appends to.

QEMU says little, but a guest can make it complain for ever: whoever looks at the machine moves a
long file aside. While no agent looks, nothing bounds it. Blocking.
"""

import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

WORDS_FILE, OLDER_FILE, WAITING_FILE = "qemu.log", "qemu.old.log", "qemu.old.tmp"
WORDS_BYTES_MAX = 256 * 1024
"""Of each of the two files: some thousand complaints."""


def open_words(folder: Path) -> int:
    """A descriptor to append with, for a QEMU that is about to be started. Raises OSError."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    return os.open(folder / WORDS_FILE, flags, 0o600)


def words_size(folder: Path) -> int:
    """How long the file is that QEMU writes to."""
    try:
        return (folder / WORDS_FILE).stat().st_size
    except FileNotFoundError:
        return 0


def words_since(folder: Path, offset: int) -> str:
    """What was said after that byte, its newest part. Raises OSError."""
    return _newest(folder / WORDS_FILE, offset).decode(errors="replace")


def is_long(folder: Path) -> bool:
    """Whether the file must be shortened."""
    return words_size(folder) > WORDS_BYTES_MAX


def shorten(folder: Path) -> None:
    """Move the newest part of a long file aside; not for two at a time. Raises OSError."""
    if not is_long(folder):
        return
    newest = _newest(folder / WORDS_FILE)
    waiting = folder / WAITING_FILE
    try:
        waiting.write_bytes(newest[newest.find(b"\n") + 1 :])
        os.replace(waiting, folder / OLDER_FILE)
    except OSError as error:  # On a full disk an end of the complaints matters more than they do.
        log.warning("what QEMU said in %s is not kept: %s", folder, error)
        waiting.unlink(missing_ok=True)
    # Emptied, not replaced: QEMU keeps its file open.
    os.truncate(folder / WORDS_FILE, 0)


def read_words(folder: Path, lines_max: int) -> list[str]:
    """The newest lines, oldest first; none when there are none. Raises OSError."""
    data = b"".join(_newest(folder / name) for name in (OLDER_FILE, WORDS_FILE))
    return data.decode(errors="replace").splitlines()[-lines_max:]


def _newest(path: Path, offset: int = 0) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(offset, file.seek(0, os.SEEK_END) - WORDS_BYTES_MAX))
            return file.read(WORDS_BYTES_MAX)
    except FileNotFoundError:
        return b""
