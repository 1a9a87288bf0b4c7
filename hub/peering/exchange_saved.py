"""What of a replica goes to disk, and how a new life begins from that: both a page at a time. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic

from hub.peering.digests import hash_of
from hub.peering.exchange_replica import Replica
from hub.peering.exchange_values import R, RecordRules, RetiredStream
from hub.peering.vector import Stream, Vector, common
from shared.ranges import Ranges, of_seqs


@dataclass(frozen=True, slots=True)
class SavedNode:
    """One record, as bytes, with the changes that are in it."""

    node: str
    record: bytes
    dots: Mapping[Stream, int]


@dataclass(frozen=True, slots=True)
class SavedGossip:
    """Some records and the whole vector, as they are at one moment."""

    nodes: list[SavedNode]
    vector: Mapping[Stream, Ranges]
    retired: Mapping[Stream, RetiredStream] = field(default_factory=dict)


def take_some(replica: Replica[R], nodes: Sequence[str]) -> list[SavedNode]:
    """Some of what changed, to be saved ahead of `take_dirty` without the vector: a record may hold
    more than the vector speaks of, never less. When it could not be saved, `put_back` it."""
    replica.dirty.difference_update(nodes)
    return _saved(replica, nodes)


def take_dirty(replica: Replica[R]) -> SavedGossip:
    """What changed since the last time, all of it, since the vector speaks of all records. When it
    could not be saved, `put_back` it."""
    nodes = _saved(replica, sorted(replica.dirty))
    replica.dirty = set()
    return SavedGossip(nodes, dict(replica.vector.ranges), dict(replica.retired))


def _saved(replica: Replica[R], nodes: Iterable[str]) -> list[SavedNode]:
    return [
        SavedNode(node, replica.rules.encode(replica.records[node]), replica.dots.of(node))
        for node in nodes
        if node in replica.records  # What could not be saved last time may have been dropped since.
    ]


def put_back(replica: Replica[R], nodes: Iterable[SavedNode]) -> None:
    """What could not be saved is to be saved with the next."""
    replica.dirty.update(each.node for each in nodes)


# ---- a new life


@dataclass(frozen=True, slots=True)
class ReadNode(Generic[R]):
    """A record from disk with its hash; none, and why, when it cannot be read."""

    node: str
    record: R | None
    hash: int
    dots: Mapping[Stream, int]
    reason: str = ""


def read_node(rules: RecordRules[R], saved: SavedNode) -> ReadNode[R]:
    """Read one record. Touches nothing else, so that any thread may do it."""
    try:
        record = rules.decode(saved.record)
        name = rules.node_of(record)
        # One text for the name: a hub may know 100,000 of them.
        node = name if name == saved.node else saved.node
        return ReadNode(node, record, hash_of(rules.encode(record)), saved.dots)
    # Whatever decoding may raise: one damaged record must not keep a hub from starting.
    except Exception as error:
        return ReadNode(saved.node, None, 0, saved.dots, f"{type(error).__name__}: {error}")


@dataclass(slots=True)
class Beginning(Generic[R]):
    """A replica that takes in what was saved: first `take` for each page, then `end`, once."""

    replica: Replica[R]
    unreadable: dict[str, str] = field(default_factory=dict)
    """The nodes that cannot be read, with why."""

    def take(self, page: Iterable[ReadNode[R]]) -> None:
        """Take in a page of records."""
        for each in page:
            if each.record is None:
                self.unreadable[each.node] = each.reason
            else:
                self.replica.load(each.node, each.record, each.hash, each.dots)

    def end(
        self, vector: Mapping[Stream, Ranges], retired: Mapping[Stream, RetiredStream]
    ) -> Replica[R]:
        """The replica in its new life. Where a record could not be read, only what was read is
        covered, so that peers give the rest again."""
        replica = self.replica
        covered = vector if not self.unreadable else common(vector, _borne_in(replica))
        replica.vector = Vector({**covered, **replica.vector.ranges})
        replica.retired = dict(retired)
        return replica


def begin(
    own: Stream, rules: RecordRules[R], saved: SavedGossip
) -> tuple[Replica[R], dict[str, str]]:
    """A replica in a new life, with all that was saved; and the nodes that cannot be read, with why."""
    beginning = Beginning(Replica(own, rules))
    beginning.take(read_node(rules, each) for each in saved.nodes)
    return beginning.end(saved.vector, saved.retired), beginning.unreadable


def _borne_in(replica: Replica[R]) -> dict[Stream, Ranges]:
    dots = replica.dots
    return {stream: of_seqs(seq for _, seq in dots.bearers(stream)) for stream in dots.streams}
