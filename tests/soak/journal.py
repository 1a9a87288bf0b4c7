"""What the oracle was promised, on disk: one line for each step of each request, only ever appended.

A line is `sent FIRST COUNT`, written before the request goes out, and then `acked FIRST COUNT`,
`refused FIRST COUNT STATUS`, or `unheard FIRST COUNT` when nobody took the connection. What was sent and
has no second line got no answer. Each connection has a file of its own, and its records are numbered
from 0 without a hole, so a line names all of its ids.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

SUFFIX = ".journal"
VERBS = ("sent", "acked", "refused", "unheard")


def record_id(connection: str, number: int) -> str:
    """The name of one record, unlike that of any other."""
    return f"{connection}-{number}"


class JournalWriter:
    """Appends the lines of one connection; each has left this process when its method returns."""

    def __init__(self, folder: Path, connection: str) -> None:
        self._file: TextIO = (folder / f"{connection}{SUFFIX}").open("a", encoding="ascii")

    def sent(self, first: int, count: int) -> None:
        """The request is about to go out."""
        self._write(f"sent {first} {count}")

    def acked(self, first: int, count: int) -> None:
        """The edge has promised to keep it."""
        self._write(f"acked {first} {count}")

    def refused(self, first: int, count: int, status: int) -> None:
        """The edge has said that it does not keep it."""
        self._write(f"refused {first} {count} {status}")

    def unheard(self, first: int, count: int) -> None:
        """Nobody listened, so nobody has a byte of it."""
        self._write(f"unheard {first} {count}")

    def _write(self, line: str) -> None:
        self._file.write(f"{line}\n")
        self._file.flush()  # The kernel has it: the end of this process takes nothing along.

    def close(self) -> None:
        """Write no more."""
        self._file.close()


@dataclass(slots=True)
class Promises:
    """What became of all records of one connection, by number of records and by number of the first."""

    connection: str
    sent: dict[int, int] = field(default_factory=dict)
    acked: dict[int, int] = field(default_factory=dict)
    refused: dict[int, int] = field(default_factory=dict)
    unheard: dict[int, int] = field(default_factory=dict)
    statuses: set[int] = field(default_factory=set)

    @property
    def records_acked(self) -> int:
        """How many records the edge has promised to keep."""
        return sum(self.acked.values())

    @property
    def records_refused(self) -> int:
        """How many records the edge has turned away."""
        return sum(self.refused.values())

    @property
    def records_unheard(self) -> int:
        """How many records were for nobody."""
        return sum(self.unheard.values())

    @property
    def records_unanswered(self) -> int:
        """How many records are kept or not, and nobody said which."""
        told = self.records_acked + self.records_refused + self.records_unheard
        return sum(self.sent.values()) - told

    def ids(self, requests: dict[int, int]) -> Iterator[str]:
        """The names of all records of some of these requests."""
        for first, count in requests.items():
            for number in range(first, first + count):
                yield record_id(self.connection, number)

    def note(self, line: str) -> None:
        """Take in one line; raises ValueError or KeyError for one that was not written here."""
        verb, first, count, *status = line.split()
        told = (self.sent, self.acked, self.refused, self.unheard)
        dict(zip(VERBS, told, strict=True))[verb][int(first)] = int(count)
        self.statuses.update(int(each) for each in status)


def read_promises(folder: Path) -> list[Promises]:
    """All that was promised so far; a line that is just being written is left out."""
    return [_read(path) for path in sorted(folder.glob(f"*{SUFFIX}"))]


def _read(path: Path) -> Promises:
    promises = Promises(path.name.removesuffix(SUFFIX))
    whole, _, _ = path.read_text(encoding="ascii").rpartition("\n")
    for line in whole.splitlines():
        promises.note(line)
    return promises
