"""Questions to one index of logs or events: which chunks may hold a hit, and how many are when."""

import contextlib
import json
import sqlite3
from collections.abc import Collection, Iterator
from typing import Self

from hub.index import files
from hub.index.log_gist import BIN_SECONDS
from hub.index.log_needs import expression_of
from hub.query.needs import Needs
from shared.errors import BadInput

Bin = tuple[int, str, int, str, int]
"""(bin_s, origin, severity number, service, records): records whose time is in the BIN_SECONDS from
bin_s on. `service` is "" for those without a name that is text."""

_BY_WORDS = "SELECT rowid FROM words WHERE words MATCH CAST(? AS TEXT)"
_BY_SEVERITY = "SELECT arrival FROM facet WHERE severity_max >= ?"
_BY_BOTH = (
    "SELECT words.rowid FROM words JOIN facet ON facet.arrival = words.rowid"
    " WHERE words MATCH CAST(? AS TEXT) AND severity_max >= ?"
)
_WANTED_BINS = (
    " FROM bin WHERE bin_s >= :start AND bin_s < :end AND severity >= :severity"
    " AND (:service IS NULL OR service = :service)"
    " AND (:nodes IS NULL OR origin IN (SELECT value FROM json_each(:nodes)))"
)


class LogIndex:
    """One index as it is at the moment of opening: what is written later is not seen.

    All methods raise BadInput when the file is damaged; the caller then reads the chunks instead.
    Close it soon: the file's log of changes cannot be emptied as long as somebody reads.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Takes over the connection, as open_for_read gives it."""
        self._connection = connection
        try:
            with _in_our_words():
                connection.execute("BEGIN")  # So that all answers are about the same chunks.
                self.through = files.through(connection)
        except BadInput:
            connection.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def candidates(self, needs: Needs) -> set[int] | None:
        """The chunks up to `through` that may hold a hit; None when that may be any of them."""
        expression = expression_of(needs)
        with _in_our_words():
            if expression and needs.severity_min > 0:
                rows = self._connection.execute(_BY_BOTH, (expression, needs.severity_min))
            elif expression:
                rows = self._connection.execute(_BY_WORDS, (expression,))
            elif needs.severity_min > 0:
                rows = self._connection.execute(_BY_SEVERITY, (needs.severity_min,))
            else:
                return None
            return {arrival for (arrival,) in rows} | files.opaque(self._connection)

    def bins(
        self,
        start_s: int,
        end_s: int,
        nodes: Collection[str] | None = None,
        severity_min: int = 0,
        service: str | None = None,
    ) -> Iterator[Bin]:
        """The bins that begin in [start_s, end_s), in order of time.

        They say nothing of the chunks in `unbinned`, nor of those after `through`.
        """
        columns = "SELECT bin_s, origin, severity, service, records"
        with _in_our_words():
            yield from self._connection.execute(
                f"{columns}{_WANTED_BINS} ORDER BY bin_s",
                _wanted(start_s, end_s, nodes, severity_min, service),
            )

    def sums(
        self,
        start_s: int,
        end_s: int,
        step_s: int,
        nodes: Collection[str] | None = None,
        severity_min: int = 0,
        service: str | None = None,
    ) -> Iterator[tuple[int, int, int]]:
        """(start of the step, severity number, records) of the same bins, added up in steps.

        Steps are counted from `start_s`; all three times are multiples of BIN_SECONDS.
        """
        wanted = _wanted(start_s, end_s, nodes, severity_min, service)
        step = "(bin_s - :start) / :step * :step + :start"
        with _in_our_words():
            yield from self._connection.execute(
                f"SELECT {step} AS at, severity, sum(records){_WANTED_BINS}"
                " GROUP BY at, severity ORDER BY at, severity",
                {**wanted, "step": max(step_s, BIN_SECONDS)},
            )

    def unbinned(self) -> set[int]:
        """The chunks up to `through` that are in no bin."""
        with _in_our_words():
            rows = self._connection.execute("SELECT arrival FROM unbinned")
            return {arrival for (arrival,) in rows} | files.opaque(self._connection)


def _wanted(
    start_s: int,
    end_s: int,
    nodes: Collection[str] | None,
    severity_min: int,
    service: str | None,
) -> dict[str, object]:
    return {
        "start": start_s,
        "end": end_s,
        "severity": severity_min,
        "service": service,
        "nodes": None if nodes is None else json.dumps(sorted(nodes)),
    }


@contextlib.contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise BadInput(f"the index cannot be read: {error}") from error
