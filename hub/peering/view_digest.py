"""A digest of what a hub believes of nodes: it follows each change, and is never made from scratch.

Every record adds the hash of its *facts* and *intent*, and whether the hub holds the node for *heard*
or *silent*, to one of 256 buckets by exclusive or, so that a change costs two of them. What moves with
each beat stays out: with thousands of beats a second some are always on their way, and two healthy hubs
would never look equal. For the same reason the verdicts are but two here: a node is late on one hub a
moment before it is so on another, and a hub that has just begun calls unknown what others call offline.
Tombstones add nothing, for hubs let go of them at different times; a record that one hub removed and
another did not still makes them differ.
"""

from array import array
from dataclasses import dataclass, field
from hashlib import blake2b
from struct import Struct

from hub.nodes.tombstones import is_removed
from shared.liveness import NodeState
from shared.merge import NodeRecord, canonical

BUCKETS = 256
SHORT_BYTES = 4
"""How much of a bucket peers send each other: enough to tell two of them apart."""

HEARD, SILENT = "heard", "silent"

_HEARD = (NodeState.ONLINE, NodeState.LATE, NodeState.SUSPECT)
_SHORT_MASK = (1 << 8 * SHORT_BYTES) - 1
_WHOLE = Struct(f">{BUCKETS}Q")
"""All buckets as bytes, the same on every machine."""
_MASK = (1 << 64) - 1
_ODD = 0x9E3779B97F4A7C15
"""An odd factor: what a heard node adds follows from the whole of its hash, so no two cancel out."""


def bucket_of(node_id: str) -> int:
    """The bucket of a node, the same on every hub."""
    return blake2b(node_id.encode(), digest_size=1).digest()[0]


def hash_of(record: NodeRecord) -> int:
    """A number of 64 bits that stands for the facts and intent of a record; 0 for a tombstone."""
    if is_removed(record):
        return 0
    quiet = canonical((record.node_id, record.facts, record.intent))
    return int.from_bytes(blake2b(quiet, digest_size=8).digest())


def _in_bucket(held: int) -> int:
    """What a node adds to its bucket; the last bit of `held` says whether it is heard."""
    return held * _ODD & _MASK if held & 1 else held


def _no_buckets() -> "array[int]":
    return array("Q", bytes(8 * BUCKETS))


@dataclass(slots=True)
class NodeDigest:
    """The digest of what one hub holds of nodes; tell it of each record and verdict that changed.

    A node is silent until `judge` says otherwise.
    """

    buckets: "array[int]" = field(default_factory=_no_buckets)
    _hashes: dict[str, int] = field(default_factory=dict)
    """By node the hash of its record, with the verdict in the last bit: one number for 100,000 nodes."""

    _members: list[list[str]] = field(default_factory=lambda: [[] for _ in range(BUCKETS)])
    """The nodes of each bucket, in no order: who compares asks for one of 256."""

    def __len__(self) -> int:
        """How many live records are in it."""
        return len(self._hashes)

    def note(self, before: NodeRecord | None, after: NodeRecord) -> None:
        """Take in a change; a beat that changed neither facts nor intent costs next to nothing."""
        if before is not None and before.facts is after.facts and before.intent == after.intent:
            return
        value = hash_of(after)
        heard = self._hashes.get(after.node_id, 0) & 1
        self._set(after.node_id, (value | 1) ^ 1 ^ heard if value else 0)

    def judge(self, node_id: str, state: str) -> None:
        """Take in a verdict on a node; one that has no record here has none to differ in."""
        held = self._hashes.get(node_id)
        if held is not None:
            self._set(node_id, (held | 1) ^ (state not in _HEARD))

    def drop(self, node_id: str) -> None:
        """Take out a record that is no longer kept."""
        self._set(node_id, 0)

    def _set(self, node_id: str, value: int) -> None:
        held = self._hashes.get(node_id, 0)
        if held == value:
            return
        if value:
            self._hashes[node_id] = value
        else:
            del self._hashes[node_id]
        bucket = bucket_of(node_id)
        self.buckets[bucket] ^= _in_bucket(held) ^ _in_bucket(value)
        if not held:
            self._members[bucket].append(node_id)
        elif not value:
            self._members[bucket].remove(node_id)

    def root(self) -> str:
        """One short text for all buckets: equal roots mean equal facts and intent."""
        return blake2b(_WHOLE.pack(*self.buckets), digest_size=8).hexdigest()

    def short(self) -> bytes:
        """The buckets as they are sent to a peer, `SHORT_BYTES` each."""
        return b"".join((held & _SHORT_MASK).to_bytes(SHORT_BYTES) for held in self.buckets)

    def in_bucket(self, bucket: int) -> dict[str, str]:
        """What is held of the nodes of one bucket, by name; looks at no others."""
        return {node_id: _text(self._hashes[node_id]) for node_id in sorted(self._members[bucket])}


def _text(held: int) -> str:
    """Verdict and record, such as "heard 01f2...", short enough for people to compare."""
    return f"{HEARD if held & 1 else SILENT} {held >> 1:016x}"
