"""Deliberate bugs in the real code, switched on in a simulation only, to see that the laws find them.

Each is a mistake that somebody could make and that every test of a single part might pass. `BUGS` has
them by name; `python -m tests.sim SEED N --bug NAME` runs with one of them.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

import shared.merge
from hub.footing import Footing
from hub.lead.election import Election
from hub.lead.leader import QuorumLeader
from hub.lead.model import Role
from hub.nodes.verdict_book import VerdictBook
from hub.peering.exchange import Exchange
from hub.peering.vector import Vector
from hub.registry import Registry
from hub.stamps import Stamps
from hub.store import chunk_table, lead_table
from hub.store.chunks import ChunkStore
from shared.merge import REMOVED
from shared.ranges import Ranges
from shared.stamp import HybridClock
from tests.sim.watching import replaced

Bug = Callable[[], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def later_arrival_wins() -> Iterator[None]:
    """Of two words about one field the one that arrives later wins, whatever the stamps say."""

    def latest(mine: Any, theirs: Any, order: Any) -> Any:
        return mine if theirs is None else theirs

    with replaced(shared.merge, "_latest", latest):
        yield


@contextlib.contextmanager
def beat_overwrites_intent() -> Iterator[None]:
    """A hub that tells of a beat writes the whole record, without what people want of the node."""
    tell = Registry._tell

    def overwrite(registry: Registry, beat: Any, held: Any, seen: Any, now: float) -> None:
        told = registry.replica.seq
        tell(registry, beat, held, seen, now)
        if registry.replica.seq != told:
            record = registry.records[beat.node_id]
            registry.records[beat.node_id] = msgspec.structs.replace(record, intent={})

    with replaced(Registry, "_tell", overwrite):
        yield


@contextlib.contextmanager
def ack_before_commit() -> Iterator[None]:
    """A person is answered before what they want is on disk; it gets there a second later."""

    async def intend(hub: Footing, node_id: str, field: str, value: object) -> None:
        now = asyncio.get_running_loop().time()
        hub.registry.intend(node_id, field, value, hub.runtime.wall_ms(), now)

    with replaced(Footing, "intend", intend):
        yield


@contextlib.contextmanager
def received_not_noted() -> Iterator[None]:
    """Chunks are committed, and now and then the note of what was received is not in the same commit."""
    note = chunk_table._note_received

    def forget(connection: Any, key: Any, fresh: Any) -> None:
        if fresh[0].header.seq % 5:
            note(connection, key, fresh)

    with replaced(chunk_table, "_note_received", forget):
        yield


@contextlib.contextmanager
def vote_not_saved() -> Iterator[None]:
    """A vote is given before it is on disk, and never gets there."""

    async def is_saved(leader: QuorumLeader, ballot: Any) -> bool:
        return True

    with replaced(QuorumLeader, "_is_saved", is_saved):
        yield


@contextlib.contextmanager
def lease_not_honoured() -> Iterator[None]:
    """Whoever was elected acts on until it hears of another leader, whether or not anybody follows."""

    def is_leading(election: Election, now: float) -> bool:
        return election.role is Role.LEADER

    def due_at(election: Election) -> float:
        leads = election.role is Role.LEADER
        return election._beat_at if leads else election._stand_at

    with (
        replaced(Election, "is_leading", is_leading),
        replaced(Election, "_lapse", lambda election, now: None),
        replaced(Election, "due_at", due_at),
    ):
        yield


@contextlib.contextmanager
def fence_ignored() -> Iterator[None]:
    """What only a leader may write is let in whatever the fence."""
    with replaced(lead_table, "guard", lambda connection, name, fence: None):
        yield


@contextlib.contextmanager
def gap_counts_as_had() -> Iterator[None]:
    """Whoever has a change of a stream believes that it has all the earlier ones."""

    def add(vector: Vector, stream: Any, first: int, last: int) -> None:
        vector.ranges[stream] = vector.ranges.get(stream, Ranges()).add(1, last)
        vector._digest = ""

    with replaced(Vector, "add", add):
        yield


@contextlib.contextmanager
def never_asks() -> Iterator[None]:
    """New changes are pushed, and who missed a push never asks for what is missing."""
    with replaced(Exchange, "next_ask", lambda exchange, now: None):
        yield


@contextlib.contextmanager
def one_copy_is_safe() -> Iterator[None]:
    """An edge may let go of what one hub has, as if a disk could not die."""
    with replaced(ChunkStore, "safe", lambda store, key: store.have(key)):
        yield


@contextlib.contextmanager
def stamps_not_ahead() -> Iterator[None]:
    """How far the clock of stamps went is not on disk, so that a clock set back makes them again."""

    async def settle(stamps: Stamps) -> None:
        """Nothing is written."""

    async def load(stamps: Stamps) -> None:
        """Nothing is read."""

    with replaced(Stamps, "settle", settle), replaced(Stamps, "load", load):
        yield


@contextlib.contextmanager
def own_silence_is_enough() -> Iterator[None]:
    """A hub calls a node offline that it does not hear, without a look at what others hear."""
    best = VerdictBook._best

    def own(book: VerdictBook, slot: int) -> Any:
        heard = book.heard.own
        return (
            heard if slot < len(heard.moved_at) and heard.moved_at[slot] > 0 else best(book, slot)
        )

    with replaced(VerdictBook, "_best", own):
        yield


@contextlib.contextmanager
def tombstone_dropped() -> Iterator[None]:
    """A removed node is deleted on the hub that was told, and soon nothing there says so."""
    intend = Footing.intend

    def forget(hub: Footing, node_id: str) -> None:
        record = hub.registry.records[node_id]
        kept = {name: held for name, held in record.intent.items() if name != REMOVED}
        hub.registry.records[node_id] = msgspec.structs.replace(record, intent=kept)

    async def delete(hub: Footing, node_id: str, field: str, value: object) -> None:
        await intend(hub, node_id, field, value)
        if field == REMOVED and value:
            asyncio.get_running_loop().call_later(0.7, forget, hub, node_id)

    with replaced(Footing, "intend", delete):
        yield


@contextlib.contextmanager
def clock_goes_back() -> Iterator[None]:
    """Stamps follow the wall clock, also when it is set back."""
    following = HybridClock.next

    def follow(clock: HybridClock, wall_ms: int) -> Any:
        clock._last = (min(clock._last[0], wall_ms), clock._last[1])
        clock.high_water_ms = 0
        return following(clock, wall_ms)

    with replaced(HybridClock, "next", follow):
        yield


BUGS: Mapping[str, Bug] = {
    bug.__name__.replace("_", "-"): bug
    for bug in (
        later_arrival_wins,
        beat_overwrites_intent,
        ack_before_commit,
        received_not_noted,
        vote_not_saved,
        lease_not_honoured,
        fence_ignored,
        gap_counts_as_had,
        never_asks,
        one_copy_is_safe,
        stamps_not_ahead,
        own_silence_is_enough,
        tombstone_dropped,
        clock_goes_back,
    )
}
