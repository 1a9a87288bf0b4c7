"""Answers what became of a node's data: the ledger of its logs, and a check of every byte of them.

A question may name another hub; it is then passed on, so that one hub can tell for all.
"""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import orjson

from hub import params
from hub.describe import time_of_ms
from hub.epochs import EpochBook, describe_epoch
from hub.ledger import LogKey, balance, difference, standing, told_sums
from hub.mesh import Mesh
from hub.peers import Peer
from hub.query.coverage import NOTHING_LOST, LostRecords, lost_records
from hub.registry import Registry
from hub.store import dropped, ledger_reads
from hub.store.chunks import ChunkStore
from hub.store.day_readers import DayReaders
from hub.verify import Verifier
from shared.errors import RpcError, Unreachable
from shared.jsonrpc import read_answer
from shared.ranges import Ranges
from shared.records import MIB
from shared.runtime import Runtime

PAGE_BYTES = 128 * MIB  # About a quarter of a second of hashing.
PAGE_CHUNKS = 5000
CONFLICTS_SHOWN = 10
PASS_ON_SECONDS = 20.0
PEER_PATH = "/peer/ledger"
COUNT_SECONDS = 10.0
COUNTED_TOGETHER = 1000  # Some ten milliseconds of work, between which messages are answered.


@dataclass(slots=True)
class Audit:
    """The ledger methods of one hub."""

    hub_id: str
    registry: Registry
    store: ChunkStore
    mesh: Mesh
    runtime: Runtime
    _sums: tuple[Mapping[str, int], int] = (MappingProxyType({}), 0)

    async def answer(self, method: str, raw: dict[str, Any]) -> dict[str, Any]:
        """Answer a method by name, as peers ask for it; raises RpcError."""
        match method:
            case "ledger.show":
                return await self.show(raw)
            case "ledger.verify":
                return await self.verify(raw)
            case "ledger.conflicts":
                return await self.conflicts(raw)
        raise RpcError("method_not_found", f"no hub answers {method[:100]} for another")

    # ---- show

    async def show(self, raw: dict[str, Any]) -> dict[str, Any]:
        """What of a node's logs is here, declared lost, or missing, and the node's own sums."""
        asked = params.read(params.ShowLedger, raw)
        if self._is_elsewhere(asked.hub):
            return await self._pass_on("ledger.show", raw, asked.hub)
        books = await self._books(asked.node)
        newest = await self.store.reading(
            lambda db: ledger_reads.conflicts(db, asked.node, CONFLICTS_SHOWN)
        )
        return {
            "hub": self.hub_id,
            "node": asked.node,
            "epochs": [_described(book) for book in books],
            "complete": not any(book.holes for book in books),
            "edge": self._edge_sums(asked.node),
            "conflicts": [_conflict(each) for each in newest],
        }

    async def _books(self, node: str) -> list[EpochBook]:
        books = await self.store.reading(lambda db: ledger_reads.epoch_books(db, node))
        if not books and node not in self.registry.records:
            raise RpcError("not_found", f"no node is called {node}", {"node": node})
        return books

    @property
    def sums_of_all(self) -> tuple[Mapping[str, int], int]:
        """The sums that all edges told last, added up, when they were counted last; and how many of
        them did not balance."""
        return self._sums

    async def count(self) -> float:
        """Add up the sums of all edges; the event loop gets its turn meanwhile."""
        total: Counter[str] = Counter()
        unbalanced = 0
        for number, node in enumerate(list(self.registry.records), 1):
            if number % COUNTED_TOGETHER == 0:
                await asyncio.sleep(0)
            told = self._told_by(node)
            if isinstance(told, Mapping):
                sums = told_sums(told)
                total.update(sums)
                unbalanced += difference(sums) != 0
        self._sums = total, unbalanced
        return COUNT_SECONDS

    def _edge_sums(self, node: str) -> dict[str, Any] | None:
        told = self._told_by(node)
        return balance(told, self.registry.age_seconds(node, asyncio.get_running_loop().time()))

    def _told_by(self, node: str) -> object:
        seen = self.registry.newest(node)
        buffer = seen.buffer if seen else None
        return buffer.get("ledger") if isinstance(buffer, dict) else None

    # ---- verify

    async def verify(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Read every chunk of a node's logs and check hashes and chain, one page at a time."""
        asked = params.read(params.VerifyLedger, raw)
        if self._is_elsewhere(asked.hub):
            return await self._pass_on("ledger.verify", raw, asked.hub)
        books = await self._books(asked.node)
        if asked.epoch is not None:
            books = [book for book in books if book.epoch == asked.epoch]
        at = _read_cursor(asked.cursor, books) if asked.cursor else None
        page = await self.store.reading(
            lambda db: _verify_page(
                db, self.store.files.readers, books, (asked.first, asked.last), at
            )
        )
        await self._suspect_days(asked.node, page["epochs"])
        missing = any(book.holes for book in books)
        broken = any(each["broken"] for each in page["epochs"])
        verdict = "broken" if broken else "holes" if missing else "verified"
        return {
            "hub": self.hub_id,
            "node": asked.node,
            **page,
            "verdict": verdict if broken or not page["cursor"] else "unfinished",
        }

    async def _suspect_days(self, node: str, epochs: list[dict[str, Any]]) -> None:
        """Have the day files looked at in which something was not as it should be."""
        for each in epochs:
            seqs = Ranges()
            for fault in each["faults"]:
                seqs = seqs.add(fault["first"], fault["last"])
            if seqs:
                log: LogKey = (node, each["epoch"])
                days = await self.store.reading(partial(ledger_reads.days_of, key=log, seqs=seqs))
                for day in days:
                    self.store.suspect(day, str(each["faults"][0]["fault"]))

    # ---- conflicts

    async def conflicts(self, raw: dict[str, Any]) -> dict[str, Any]:
        """The newest chunks that contradicted what is held, as a clone's do."""
        asked = params.read(params.ListConflicts, raw)
        if self._is_elsewhere(asked.hub):
            return await self._pass_on("ledger.conflicts", raw, asked.hub)
        found = await self.store.reading(
            lambda db: ledger_reads.conflicts(db, asked.node, asked.limit)
        )
        return {
            "hub": self.hub_id,
            "items": [_conflict(each) for each in found],
            "total": self.store.losses.conflicts,
            "kept_beside": self.store.losses.kept_beside,
        }

    # ---- for other answers

    async def lost(self, nodes: Collection[str] | None, start_ms: int, end_ms: int) -> LostRecords:
        """What nodes, or all of them, have declared lost of a time; no reading when none has."""
        origins = self.store.losses.origins
        asked = origins if nodes is None else origins & set(nodes)
        if not asked:
            return NOTHING_LOST
        only = None if nodes is None else sorted(asked)
        found = await self.store.reading(
            lambda db: ledger_reads.gaps_between(db, only, start_ms, end_ms)
        )
        return lost_records(
            (key[0], gap) for key, (held, gaps) in found.items() for gap in standing(gaps, held)[0]
        )

    # ---- other hubs

    def _is_elsewhere(self, hub: str | None) -> bool:
        return hub is not None and hub != self.hub_id

    async def _pass_on(self, method: str, raw: dict[str, Any], hub: str) -> dict[str, Any]:
        message = {"method": method, "params": {**raw, "hub": hub}}
        peer = self._peer(hub)
        try:
            reply = await self.mesh.post(peer, PEER_PATH, orjson.dumps(message), PASS_ON_SECONDS)
            answer = orjson.loads(reply.body)
        except Unreachable as error:
            raise RpcError("no_path", f"{hub} does not answer: {error}") from error
        except orjson.JSONDecodeError as error:
            raise RpcError("internal", f"the answer of {hub} cannot be read") from error
        result = read_answer(answer)
        if not isinstance(result, dict):
            raise RpcError("internal", f"the answer of {hub} is no object")
        return result

    def _peer(self, hub: str) -> Peer:
        peer = self.mesh.peers.by_id(hub)
        if peer is None:
            raise RpcError("not_found", f"no hub is called {hub}")
        return peer


def _described(book: EpochBook) -> dict[str, Any]:
    return {**describe_epoch(book), "first_received": time_of_ms(book.first_received_ms)}


def _conflict(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "time": time_of_ms(row["at_ms"])}


def _read_cursor(cursor: str, books: list[EpochBook]) -> tuple[str, int]:
    number, _, epoch = cursor.partition(":")
    is_number = number.isascii() and number.isdigit() and len(number) < 20
    if is_number and any(book.epoch == epoch for book in books):
        return epoch, int(number)
    text = "cursor: it is not one that this hub has given out for this node"
    raise RpcError("invalid_params", text, {"parameter": "cursor"})


def _verify_page(
    connection: sqlite3.Connection,
    days: DayReaders,
    books: list[EpochBook],
    asked: tuple[int, int],
    at: tuple[str, int] | None,
) -> dict[str, Any]:
    first, last = asked
    epochs: list[dict[str, Any]] = []
    room_bytes, room_chunks = PAGE_BYTES, PAGE_CHUNKS
    for book, begin in _from_cursor(books, first, at):
        verifier = Verifier((book.origin, book.epoch), _hash_before(connection, book, begin))
        stopped_at = _verify_epoch(
            connection, days, verifier, (begin, last), (room_bytes, room_chunks)
        )
        until = stopped_at - 1 if stopped_at else min(last, book.head)
        if until >= begin:
            wanted = (book.held & Ranges(((begin, until),))) - verifier.seen
            verifier.expect(wanted - dropped.gone(connection, verifier.key, wanted))
        epochs.append(verifier.to_wire())
        if stopped_at:
            return {"epochs": epochs, "cursor": f"{stopped_at}:{book.epoch}"}
        room_bytes -= verifier.stored_bytes
        room_chunks -= verifier.chunks
    return {"epochs": epochs, "cursor": None}


def _from_cursor(
    books: list[EpochBook], first: int, at: tuple[str, int] | None
) -> Iterator[tuple[EpochBook, int]]:
    """The epochs that are still to be read, and the number from which each is."""
    is_reached = at is None
    for book in books:
        if at is not None and book.epoch == at[0]:
            is_reached = True
            yield book, max(at[1], first)
        elif is_reached:
            yield book, first


def _hash_before(
    connection: sqlite3.Connection, book: EpochBook, begin: int
) -> tuple[int, bytes] | None:
    key: LogKey = (book.origin, book.epoch)
    return ledger_reads.hash_at(connection, key, begin - 1)


def _verify_epoch(
    connection: sqlite3.Connection,
    days: DayReaders,
    verifier: Verifier,
    span: tuple[int, int],
    room: tuple[int, int],
) -> int:
    """Feed the chunks of one epoch; returns where to go on when there is no more room, else 0."""
    room_bytes, room_chunks = room
    at = span[0] - 1
    try:
        for at, stored in ledger_reads.stored_chunks(connection, days, verifier.key, *span):
            if verifier.chunks >= room_chunks or verifier.stored_bytes >= room_bytes:
                return at
            verifier.feed(at, stored)
    except sqlite3.DatabaseError as error:  # What lies behind the damage is reported as missing.
        verifier.fail(at + 1, at + 1, f"the file of this hub cannot be read here: {error}")
    return 0
