"""Hubs that observe nodes, each with its own hub.db."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from sqlite_utils.db import Database

from hub.nodes.history import Change
from hub.nodes.history_share import HistoryShare, Standing, Want, page_of, read_page
from hub.nodes.history_write import Observing
from hub.nodes.uptime_reads import Moment
from hub.store.check_table import append, attend, head_of, heads, history_tables, lines_since
from hub.store.check_time_table import check_time_tables

START_MS = 1_790_000_000_000
"""In September 2026, at no round time."""


def new_database(path: Path) -> sqlite3.Connection:
    """A file with the tables of this part."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")  # Tests cut no power.
    database = Database(connection)
    history_tables(database)
    check_time_tables(database)
    return connection


@dataclass(slots=True)
class Observer:
    """A hub that observes and keeps what others observed; time is given in seconds since START_MS."""

    name: str
    path: Path
    connection: sqlite3.Connection
    observing: Observing = field(default_factory=lambda: Observing(0, 0, 0))
    share: HistoryShare = field(default_factory=lambda: HistoryShare(""))

    @property
    def log(self) -> str:
        return f"{self.name}@1"

    def start(self, at: float) -> None:
        """Read what is on disk and open an attendance at once."""
        held = head_of(self.connection, self.log)
        self.observing = Observing(held.head, held.attendance, held.attended_ms)
        self.share = HistoryShare(self.log)
        self.share.load(
            Standing(each.log, each.head, each.attendance, each.attended_ms)
            for each in heads(self.connection)
        )
        self.observing.begin(at, ms(at))
        self.save(at)

    def note(self, at: float, state: str, node: str = "edge-1", subject: str = "") -> None:
        """A verdict, written to the disk."""
        self.observing.note(node, subject, state, f"as {self.name} sees it", at, ms(at))
        self.save(at)

    def save(self, at: float) -> None:
        """What a hub does each second."""
        self.observing.tick(at, ms(at))
        before = head_of(self.connection, self.log).head
        lines = self.observing.take_pending()
        with transaction(self.connection):
            self.share.hold(self.log, append(self.connection, self.log, before, lines))
            attended = (self.log, self.observing.attendance, self.observing.attended_ms)
            attend(self.connection, *attended)
            self.share.attend(*attended)

    def serve(self, want: Want) -> bytes:
        """Answer a peer that wants lines."""
        lines = lines_since(self.connection, want.page.log, want.page.after, want.page.limit)
        return msgspec.json.encode(
            page_of(want.page, lines, head_of(self.connection, want.page.log).head)
        )

    def pull(self, peers: "dict[str, Observer]") -> int:
        """Say and hear how far everybody is, and pull until nothing is wanted; returns the pages."""
        for peer in peers.values():
            self.share.take(peer.share.of_mine(whole=True), peer.name)
        pages = 0
        while wants := self.share.wanted(peers):
            for want in wants:
                page = read_page(peers[want.hub].serve(want), want.page)
                with transaction(self.connection):
                    reached = append(
                        self.connection, page.log, page.after, page.lines, page.through
                    )
                self.share.hold(page.log, reached)
                pages += 1
        for standing in self.share.take_moved():
            attend(self.connection, standing.log, standing.attendance, standing.attended_ms)
        return pages

    def moment(self, at: float) -> Moment:
        """A question that is asked now."""
        return Moment(ms(at), dict(self.share.held))

    def lines(self) -> list[Change]:
        """All of its own log."""
        return lines_since(self.connection, self.log, 0, 100_000)


def ms(at: float) -> int:
    """Unix ms of a number of seconds."""
    return START_MS + round(at * 1000)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
