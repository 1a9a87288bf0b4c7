"""What of a replica goes to disk, and how a new life begins from that. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hub.peering.exchange_replica import R, RecordRules, Replica, RetiredStream
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


def take_dirty(replica: Replica[R]) -> SavedGossip:
    """What changed since the last time, all of it, since the vector speaks of all records. When it
    could not be saved, `put_back` it."""
    nodes = [
        SavedNode(node, replica.rules.encode(replica.records[node]), replica.dots.of(node))
        for node in sorted(replica.dirty)
    ]
    replica.dirty = set()
    return SavedGossip(nodes, dict(replica.vector.ranges), dict(replica.retired))


def put_back(replica: Replica[R], saved: SavedGossip) -> None:
    """What could not be saved is to be saved with the next."""
    replica.dirty.update(each.node for each in saved.nodes)


def begin(
    own: Stream, rules: RecordRules[R], saved: SavedGossip
) -> tuple[Replica[R], dict[str, str]]:
    """A replica in a new life, with all that was saved; and the nodes that cannot be read, with why.

    Then only what was read is covered, so that peers give the rest again.
    """
    replica = Replica(own, rules, retired=dict(saved.retired))
    read: dict[str, SavedNode] = {}
    unreadable: dict[str, str] = {}
    for each in saved.nodes:
        try:
            record = rules.decode(each.record)
        # Whatever decoding may raise: one damaged record must not keep a hub from starting.
        except Exception as error:
            unreadable[each.node] = f"{type(error).__name__}: {error}"
            continue
        read[each.node] = each
        replica.load(each.node, record, each.dots)
    vector = saved.vector if not unreadable else common(saved.vector, _borne_by(read))
    replica.vector = Vector({**vector, **replica.vector.ranges})
    return replica, unreadable


def _borne_by(nodes: Mapping[str, SavedNode]) -> dict[Stream, Ranges]:
    seqs: dict[Stream, list[int]] = {}
    for each in nodes.values():
        for stream, seq in each.dots.items():
            seqs.setdefault(stream, []).append(seq)
    return {stream: of_seqs(found) for stream, found in seqs.items()}
