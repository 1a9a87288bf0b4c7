"""What verify finds in a folder, and where things lie in it."""

import json
import sqlite3
from pathlib import Path
from typing import Any

from edge.offline import find_place
from edge.offline_verify import verify
from edge.segments import path_of
from shared.ranges import Ranges
from tests.unit.offline.conftest import Run


def found(run: Run) -> list[dict[str, Any]]:
    """What verify finds."""
    result = run("verify", "--json")
    answer = json.loads(result.stdout)
    assert result.exit_code == (0 if answer["sound"] else 3)
    assert answer["sound"] == (not answer["findings"])
    findings: list[dict[str, Any]] = answer["findings"]
    return findings


def live_in(folder: Path, number: int) -> Ranges:
    """What the books say that a file holds."""
    books = verify(find_place(folder)).books
    assert books is not None
    return next(each.live for each in books.segments if each.number == number)


def place_of(folder: Path, number: int, seq: int) -> int:
    """Where in its file the body of a chunk lies, some bytes into it."""
    path = path_of(folder / "buffer", number)
    connection = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    (body,) = connection.execute("SELECT body FROM chunk WHERE seq = ?", (seq,)).fetchone()
    connection.close()
    # A long body is spread over pages: its end lies whole in one of them.
    return path.read_bytes().index(body[-500:])


def name_of(number: int) -> str:
    return f"buffer/{number:08d}.segment"
