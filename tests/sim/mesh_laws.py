"""The laws of a mesh, each a small function that says in words what is broken. None changes anything."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from hub.conf.part import ConfPart
from hub.hub import Hub
from hub.lead.leader import QuorumLeader
from hub.lead.part import LeadPart
from hub.nodes.verdict import OFFLINE_INTERVALS
from shared.liveness import NodeState
from shared.merge import REMOVED, NodeRecord, intent_order, to_bytes
from tests.sim.watching import Acked, Book, Field

KNOWN_SECONDS = 4.0
"""What a hub heard, every other hub that hears it knows after three seconds and a slow message."""


def part_of(hub: Hub, kind: type[Any]) -> Any:
    """The part of a hub that is of this kind."""
    return next(part for part in hub.parts if isinstance(part, kind))


def unequal_records(hubs: Sequence[Hub]) -> Iterator[str]:
    """All hubs hold the same bytes of every node."""
    first, *others = hubs
    mine = {node: to_bytes(record) for node, record in first.registry.records.items()}
    for other in others:
        theirs = {node: to_bytes(record) for node, record in other.registry.records.items()}
        differ = sorted(node for node in mine.keys() | theirs if mine.get(node) != theirs.get(node))
        if differ:
            yield f"{first.config.hub_id} and {other.config.hub_id} differ about {differ}"


def unequal_settings(hubs: Sequence[Hub]) -> Iterator[str]:
    """All hubs hold the same bytes of every version of every setting."""
    books = [part_of(hub, ConfPart).conf.book.versions.to_bytes() for hub in hubs]
    if any(book != books[0] for book in books):
        yield "the hubs do not hold the same settings"


def lost_intents(hub: Hub, acked: Mapping[Field, Acked]) -> Iterator[str]:
    """What a person wanted of a node and some hub has acknowledged is there, or something newer is."""
    for (node_id, field), promise in acked.items():
        held = order_of(hub.registry.records.get(node_id), field)
        if held is None or held < promise.order:
            by = f"acknowledged by {promise.hub_id} as {promise.order}"
            yield f"{hub.config.hub_id} has lost {field} of {node_id}: {by}, here it is {held}"


def order_of(record: NodeRecord | None, field: str) -> Any:
    """The place of the newest word about a field; a removal or a return takes the place of all others."""
    if record is None:
        return None
    held = [record.intent[name] for name in {field, REMOVED} if name in record.intent]
    return max(map(intent_order, held), default=None)


def lost_settings(hub: Hub, acked: Mapping[tuple[str, str], Acked]) -> Iterator[str]:
    """The same of the settings of the cluster."""
    current = part_of(hub, ConfPart).conf.book.versions.current
    for place, promise in acked.items():
        if place not in current or current[place].stamp < promise.order:
            yield f"{hub.config.hub_id} has lost the setting {place} of {promise.hub_id}"


def risen(life: str, hub: Hub, buried: dict[tuple[str, str], Any]) -> Iterator[str]:
    """A removed node stays removed on a hub that knew it, until a newer word of a person lets it back.

    `buried` is what each hub knew in each of its lives, kept from look to look: what a peer told and was
    not yet on disk when a hub fell over, it must hear once more.
    """
    for node_id, record in hub.registry.records.items():
        key, turn = (life, node_id), record.intent.get(REMOVED)
        order = intent_order(turn) if turn else None
        if key in buried and (order is None or order < buried[key]):
            yield f"{node_id} has risen on {hub.config.hub_id}"
        elif turn is not None:
            buried[key] = order


def called_dead(
    hub: Hub,
    others: Iterable[str],
    nodes: Iterable[str],
    book: Book,
    beat_seconds: float,
    now: float,
) -> Iterator[str]:
    """No node is offline while a live hub, that the one who says so hears, has just heard it.

    `others` are the hubs that have been up, and not cut off from this one, for KNOWN_SECONDS.
    """
    bound = OFFLINE_INTERVALS * beat_seconds
    for node_id in nodes:
        if hub.registry.state(node_id) is not NodeState.OFFLINE:
            continue
        for other in others:
            age = now - book.heard_at.get((other, node_id), float("-inf"))
            if KNOWN_SECONDS <= age < bound:
                yield f"{hub.config.hub_id} calls {node_id} offline, {other} heard it {age:.1f} s ago"


def leadership_of(hub: Hub) -> QuorumLeader | None:
    """The election of a hub; None when it takes part in none."""
    leadership = part_of(hub, LeadPart).leadership
    return leadership if isinstance(leadership, QuorumLeader) else None


def leaderless(hubs: Sequence[Hub]) -> Iterator[str]:
    """With elections, all hubs follow one leader, which says so itself."""
    elections = [each.election for each in map(leadership_of, hubs) if each]
    if elections and len({(each.leader, each.term) for each in elections}) > 1:
        yield f"the hubs follow {[each.leader for each in elections]}"
    elif elections and elections[0].leader == "":
        yield "nobody leads"


def fenced_late(accepted: Sequence[int]) -> Iterator[str]:
    """What only a leader may write is never written by an older one after a newer one."""
    for before, after in pairwise(accepted):
        if after < before:
            yield f"a write of fence {after} was let in after one of {before}"
