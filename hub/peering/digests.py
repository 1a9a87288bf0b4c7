"""Digests of all records in buckets, by which two hubs find out whether they really hold the same.

Each record has 8 bytes of BLAKE2b over its canonical bytes, and each bucket the XOR of those of its
records: kept up to date with every change, so that a comparison costs 8 kB and no work. Pure.
"""

import hashlib
import zlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from shared.errors import BadInput

BUCKETS = 1024
HASH_BYTES = 8
TABLE_BYTES = BUCKETS * HASH_BYTES


def hash_of(stored: bytes) -> int:
    """What stands for a record: a number of 64 bits."""
    return int.from_bytes(hashlib.blake2b(stored, digest_size=HASH_BYTES).digest(), "big")


def bucket_of(node: str) -> int:
    """The bucket of a node, the same on every hub."""
    return zlib.crc32(node.encode()) % BUCKETS


def _zeros() -> "array[int]":
    return array("Q", bytes(TABLE_BYTES))


def _nobodies() -> list[list[str]]:
    return [[] for _ in range(BUCKETS)]


@dataclass(slots=True)
class Digests:
    """The hashes of one hub."""

    hashes: dict[str, int] = field(default_factory=dict)
    _buckets: "array[int]" = field(default_factory=_zeros)
    _members: list[list[str]] = field(default_factory=_nobodies)
    """The nodes of each bucket. Two hubs mostly differ in a few of them, out of 100,000 nodes."""

    def put(self, node: str, value: int) -> bool:
        """Note what a record is now; returns whether that is something else than before."""
        before = self.hashes.get(node)
        if before == value:
            return False
        bucket = bucket_of(node)
        self._buckets[bucket] ^= (before or 0) ^ value
        if before is None:
            self._members[bucket].append(node)
        self.hashes[node] = value
        return True

    def drop(self, node: str) -> None:
        """Forget the record of a node."""
        value = self.hashes.pop(node, None)
        if value is not None:
            bucket = bucket_of(node)
            self._buckets[bucket] ^= value
            self._members[bucket].remove(node)

    def table(self) -> bytes:
        """All the buckets, 8 bytes each, big end first."""
        return b"".join(value.to_bytes(HASH_BYTES, "big") for value in self._buckets)

    def unequal(self, table: bytes) -> list[int]:
        """The buckets that differ from those of a peer; raises BadInput for another length."""
        if len(table) != TABLE_BYTES:
            raise BadInput(f"a table of digests has {TABLE_BYTES} bytes, not {len(table)}")
        mine = self.table()
        if mine == table:
            return []
        ends = [(HASH_BYTES * each, HASH_BYTES * (each + 1)) for each in range(BUCKETS)]
        return [each for each, (at, to) in enumerate(ends) if mine[at:to] != table[at:to]]

    def listing(self, buckets: Iterable[int], after: str, limit: int) -> list[tuple[str, int]]:
        """The nodes in some buckets that come after a name, with their hashes, by name."""
        found = sorted(node for node in self._in(buckets) if node > after)
        return [(node, self.hashes[node]) for node in found[:limit]]

    def _in(self, buckets: Iterable[int]) -> Iterator[str]:
        """The nodes of some buckets, in any order; there are none in a bucket that nobody has."""
        return chain.from_iterable(
            self._members[bucket] for bucket in frozenset(buckets) if 0 <= bucket < BUCKETS
        )

    def differing(
        self, buckets: Iterable[int], after: str, through: str, theirs: Iterable[tuple[str, int]]
    ) -> list[str]:
        """The nodes of some buckets, with names after `after` and up to `through` (empty: to the end),
        of which a peer lists another hash, or which one side does not have; by name."""
        told = dict(theirs)
        mine = {
            node for node in self._in(buckets) if node > after and (not through or node <= through)
        }
        return sorted(
            node for node in mine | told.keys() if self.hashes.get(node) != told.get(node)
        )
