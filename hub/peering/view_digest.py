"""A digest of what a hub believes of nodes: it follows each change, and is never made from scratch.

Every record adds the hash of its *facts* and *intent* to one of 256 buckets by exclusive or, so that a
change costs two of them. What moves with each beat stays out: with thousands of beats a second some are
always on their way, and two healthy hubs would never look equal. Tombstones add nothing, for hubs let go
of them at different times; a record that one hub removed and another did not still makes them differ.
"""

from array import array
from dataclasses import dataclass, field
from hashlib import blake2b

import msgspec
import orjson

from hub.nodes.tombstones import is_removed
from shared.merge import NodeRecord

BUCKETS = 256
SHORT_BYTES = 4
"""How much of a bucket peers send each other: enough to tell two of them apart."""

_SHORT_MASK = (1 << 8 * SHORT_BYTES) - 1


def bucket_of(node_id: str) -> int:
    """The bucket of a node, the same on every hub."""
    return blake2b(node_id.encode(), digest_size=1).digest()[0]


def hash_of(record: NodeRecord) -> int:
    """A number of 64 bits that stands for the facts and intent of a record; 0 for a tombstone."""
    if is_removed(record):
        return 0
    quiet = (record.node_id, record.facts, record.intent)
    canonical = orjson.dumps(msgspec.to_builtins(quiet), option=orjson.OPT_SORT_KEYS)
    return int.from_bytes(blake2b(canonical, digest_size=8).digest())


def _no_buckets() -> "array[int]":
    return array("Q", bytes(8 * BUCKETS))


@dataclass(slots=True)
class NodeDigest:
    """The digest of one hub's records; tell it of each record that changed."""

    buckets: "array[int]" = field(default_factory=_no_buckets)
    _hashes: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        """How many live records are in it."""
        return len(self._hashes)

    def note(self, before: NodeRecord | None, after: NodeRecord) -> None:
        """Take in a change; a beat that changed neither facts nor intent costs next to nothing."""
        if before is not None and before.facts is after.facts and before.intent == after.intent:
            return
        self._set(after.node_id, hash_of(after))

    def drop(self, node_id: str) -> None:
        """Take out a record that is no longer kept."""
        self._set(node_id, 0)

    def _set(self, node_id: str, value: int) -> None:
        held = self._hashes.pop(node_id, 0)
        if value:
            self._hashes[node_id] = value
        if held != value:
            self.buckets[bucket_of(node_id)] ^= held ^ value

    def root(self) -> str:
        """One short text for all buckets: equal roots mean equal facts and intent."""
        return blake2b(b"".join(b.to_bytes(8) for b in self.buckets), digest_size=8).hexdigest()

    def short(self) -> bytes:
        """The buckets as they are sent to a peer, `SHORT_BYTES` each."""
        return b"".join((held & _SHORT_MASK).to_bytes(SHORT_BYTES) for held in self.buckets)

    def in_bucket(self, bucket: int) -> dict[str, str]:
        """The hashes of the nodes of one bucket, by name; looks through all nodes, for rare calls."""
        held = (node_id for node_id in self._hashes if bucket_of(node_id) == bucket)
        return {node_id: f"{self._hashes[node_id]:016x}" for node_id in sorted(held)}
