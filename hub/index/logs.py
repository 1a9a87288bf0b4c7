"""The index of logs and events: the vocabulary of each chunk, and records by time and severity."""

from collections.abc import Sequence
from typing import Any

from hub.index.log_gist import LogGist, read_gist
from shared.records import ChunkHeader

BINS_MAX = 20_000
"""Of one chunk. One that has more is scattered over so many times, severities and services that
reading it for a histogram is no worse than keeping them all."""

# Only which chunks have a word is kept: neither the text nor where in it (detail, columnsize).
_TABLES = (
    "CREATE VIRTUAL TABLE words USING fts5(term, content='', detail=none, columnsize=0,"
    " tokenize=\"ascii tokenchars '_'\")",
    "CREATE TABLE facet (arrival INTEGER PRIMARY KEY, severity_max INTEGER NOT NULL)",
    "CREATE INDEX facet_severity ON facet (severity_max)",
    "CREATE TABLE bin (bin_s INTEGER NOT NULL, origin TEXT NOT NULL, severity INTEGER NOT NULL,"
    " service TEXT NOT NULL, records INTEGER NOT NULL,"
    " PRIMARY KEY (bin_s, origin, severity, service)) WITHOUT ROWID",
    "CREATE TABLE unbinned (arrival INTEGER PRIMARY KEY)",
)
_ADD_WORDS = "INSERT INTO words (rowid, term) VALUES (?, CAST(? AS TEXT))"
_ADD_BIN = (
    "INSERT INTO bin (bin_s, origin, severity, service, records) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET records = records + excluded.records"
)


class LogIndexer:
    """Writes what one day file of logs or events is found by. Its tables: `words` has a document
    for each chunk, `facet` the severities, `bin` the records of 10 s of event time, and `unbinned`
    the chunks that are in no bin."""

    def tables(self) -> Sequence[str]:
        """The statements that make the tables."""
        return _TABLES

    def add(self, connection: Any, arrival: int, header: ChunkHeader, body: bytes) -> None:
        """Index a chunk; raises BadInput, before anything is written, when it cannot be read."""
        gist = read_gist(header, body)
        connection.execute(_ADD_WORDS, (arrival, b" ".join(gist.vocabulary())))
        connection.execute("INSERT INTO facet VALUES (?, ?)", (arrival, gist.severity_max))
        if len(gist.bins) > BINS_MAX:
            connection.execute("INSERT INTO unbinned VALUES (?)", (arrival,))
        else:
            _add_bins(connection, header.origin, gist)


def _add_bins(connection: Any, origin: str, gist: LogGist) -> None:
    connection.executemany(
        _ADD_BIN,
        (
            (bin_s, origin, severity, service, records)
            for (bin_s, severity, service), records in gist.bins.items()
        ),
    )
