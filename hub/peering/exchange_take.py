"""What becomes of an item that a peer tells: merged, known already, parked, withheld or kept out. Pure.

Whatever one record does wrong, it stops no other: an item that cannot be applied is parked.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hub.peering.digests import hash_of
from hub.peering.exchange_replica import Replica
from hub.peering.exchange_values import R, Taken
from hub.peering.exchange_wire import Item
from hub.peering.parked import Parked, parked_record
from hub.peering.vector import Stream
from shared.errors import BadInput


@dataclass(frozen=True, slots=True)
class Delivery:
    """An item with the changes that are in it, who brought it, when (Unix ms), and in which way."""

    item: Item
    dots: Mapping[Stream, int]
    sender: str
    at_ms: int
    reason: str


def take(replica: Replica[R], delivery: Delivery) -> Taken:
    """Merge an item; which numbers are covered by it is for the caller to say."""
    outcome = _take(replica, delivery)
    replica.taken[outcome] += 1
    return outcome


def _take(replica: Replica[R], delivery: Delivery) -> Taken:
    item, dots = delivery.item, delivery.dots
    if item.base > 0 and any(_lacks_base(replica, item, stream) for stream in dots):
        return Taken.EARLY
    try:
        record = _read(replica, item)
        instead = None if record is None else _kept_apart(replica, delivery, record)
        if instead is not None:
            return instead
        is_changed = record is not None and merge_in(replica, item.node, record)
    # Whatever decoding and merging may raise: one record of a peer must not stop all others.
    except Exception as error:
        _park(replica, replica.parked, delivery, f"{type(error).__name__}: {error}")
        return Taken.PARKED
    return _settle(replica, delivery, is_changed=is_changed)


def _lacks_base(replica: Replica[R], item: Item, stream: Stream) -> bool:
    """Whether a part waits for what came before. Of a stream that was retired nothing is claimed, so
    that no law is broken by a part that comes alone; a hub that was given up and is back goes on in it."""
    return stream not in replica.retired and replica.dots.get(item.node, stream) < item.base


def _read(replica: Replica[R], item: Item) -> R | None:
    """The record in an item; None for the one that is held."""
    if hash_of(item.record) == replica.digests.hashes.get(item.node):
        return None
    record = replica.rules.decode(item.record)
    if replica.rules.node_of(record) != item.node:
        raise BadInput(f"this is a record of {replica.rules.node_of(record)}")
    return record


def _kept_apart(replica: Replica[R], delivery: Delivery, record: R) -> Taken | None:
    """What became of a record that may not be merged, or only in part; None for all others."""
    admitted = _admitted(replica, record, delivery.sender)
    if admitted is None:
        return replica.keeps_out(record)
    _park(replica, replica.waiting, delivery, "it waits to be let in")
    _take_part(replica, delivery.item.node, admitted)
    return Taken.WITHHELD


def _admitted(replica: Replica[R], record: R, sender: str) -> R | None:
    """What may be merged of a record; None for all that is news in it."""
    part = replica.admit(record, sender)
    if part is record:
        return None
    held, merge = replica.records.get(replica.rules.node_of(record)), replica.rules.merge
    if held is not None and merge(held, record) == merge(held, part):
        return None
    return part


def _take_part(replica: Replica[R], node: str, part: R) -> None:
    if replica.keeps_out(part) is not None:
        return
    before = replica.records.get(node)
    if replica.originate(part):
        replica.on_taken(before, replica.records[node])


def merge_in(replica: Replica[R], node: str, record: R) -> bool:
    """Merge a record of a peer into what is held; returns whether that has changed it."""
    held = replica.records.get(node)
    if not replica.keep(node, record if held is None else replica.rules.merge(held, record)):
        return False
    replica.on_taken(held, replica.records[node])
    return True


def _settle(replica: Replica[R], delivery: Delivery, *, is_changed: bool) -> Taken:
    """Note the changes in an item that has been merged, and tell what it was."""
    node, dots = delivery.item.node, delivery.dots
    was_known = all(
        stream in replica.retired or replica.vector.covers(stream, seq)
        for stream, seq in dots.items()
    )
    is_news = _note(replica, node, dots, is_changed=is_changed)
    if not (is_changed and was_known):
        return Taken.NEW if is_news else Taken.KNOWN
    replica.originate_anew(node)
    if any(stream in replica.retired for stream in dots):
        replica.rescued += 1
        return Taken.NEW
    replica.repaired[delivery.reason] += 1
    return Taken.REPAIRED


def _note(replica: Replica[R], node: str, dots: Mapping[Stream, int], *, is_changed: bool) -> bool:
    fresh = {
        stream: seq
        for stream, seq in dots.items()
        if stream not in replica.retired and replica.dots.get(node, stream) < seq
    }
    is_new = is_changed or bool(fresh)
    if is_new:
        replica.dots.touch(node)
        replica.dots.put(node, fresh)
        replica.dirty.add(node)
    if replica.retiring in fresh:
        replica.redone.discard(node)
    for kept in (replica.parked, replica.waiting):
        if kept.entries:
            kept.settle(node, replica.dots.of(node))
    return is_new


def _park(replica: Replica[R], room: Parked, delivery: Delivery, reason: str) -> None:
    item = delivery.item
    # All that the node lacks of a stream is in this item, so nothing since then may be claimed.
    spans = {
        stream: (replica.dots.get(item.node, stream) + 1, seq)
        for stream, seq in delivery.dots.items()
        if stream not in replica.retired and not replica.vector.covers(stream, seq)
    }
    entry = parked_record(item.node, delivery.sender, delivery.at_ms, reason, item.record, spans)
    room.park(entry)
