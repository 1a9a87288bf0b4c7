"""What a simulation notes of the real code while it runs, at the very moment at which it happens.

Nothing is changed by this: each function that is watched does what it always does, and afterwards a
line is written into a book that the laws read.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hub.conf.methods import ConfMethods
from hub.footing import Footing
from hub.lead.leader import QuorumLeader
from hub.lead.model import Role
from hub.nodes.hold import Holds
from hub.nodes.verdict_book import VerdictBook
from shared.conf import Entry
from shared.merge import intent_order
from shared.stamp import HybridClock, Stamp
from tests.sim.loop import real_now
from tests.sim.trace import Trace

Field = tuple[str, str]
"""A node, and what was wanted of it."""


@dataclass(frozen=True, slots=True)
class Acked:
    """The word of a person that a hub has on disk: its place among all words about the same."""

    hub_id: str
    order: Any


@dataclass(slots=True)
class Book:
    """What was promised and said in one run."""

    trace: Trace
    acting: Callable[[], list[str]] = list
    """The hubs that believe now that they may act alone."""
    intents: dict[Field, Acked] = field(default_factory=dict)
    settings: dict[tuple[str, str], Acked] = field(default_factory=dict)
    leaders: dict[int, str] = field(default_factory=dict)
    ballots: dict[str, tuple[int, str]] = field(default_factory=dict)
    """The latest term of each hub, and for whom it voted there."""
    stamps: dict[str, Stamp] = field(default_factory=dict)
    heard_at: dict[tuple[str, str], float] = field(default_factory=dict)
    """When a hub heard a node itself: real virtual seconds."""

    # ---- what is noted

    def intended(self, hub: Footing, node_id: str, field_name: str) -> None:
        """A hub has said that it will not forget what a person wants of a node."""
        held = hub.registry.records[node_id].intent[field_name]
        self._ack(self.intents, (node_id, field_name), hub.config.hub_id, intent_order(held))
        self.trace.note("intent acked", hub.config.hub_id, node_id, field_name, held.stamp)

    def was_set(self, entry: Entry) -> None:
        """The same of a setting of the cluster."""
        self._ack(self.settings, entry.place, entry.stamp.hub_id, entry.stamp)
        self.trace.note("setting acked", entry.stamp)

    @staticmethod
    def _ack(book: dict[Any, Acked], place: Any, hub_id: str, order: Any) -> None:
        if place not in book or book[place].order < order:
            book[place] = Acked(hub_id, order)

    def stamped(self, stamp: Stamp) -> None:
        """A hub has made a stamp: over all its lives they only grow, whatever its clock does."""
        before = self.stamps.get(stamp.hub_id)
        if before is not None and stamp <= before:
            self.trace.fail(f"{stamp.hub_id} makes the stamp {stamp} after {before}")
        self.stamps[stamp.hub_id] = stamp

    def led(self, leader: QuorumLeader) -> None:
        """A step of an election was made: of each term there is one leader, and one acts at a time, and
        nobody takes back a vote or a term."""
        election = leader.election
        spoken, said = self.ballots.get(election.hub_id, (0, "")), election.ballot
        if said.term < spoken[0] or (said.term == spoken[0] and spoken[1] not in ("", said.vote)):
            was = f"after a vote for {spoken[1] or 'nobody'} in term {spoken[0]}"
            self.trace.fail(f"{election.hub_id} is in term {said.term}, for {said.vote}, {was}")
        self.ballots[election.hub_id] = said.term, said.vote
        if election.role is Role.LEADER:
            known = self.leaders.setdefault(election.term, election.hub_id)
            if known != election.hub_id:
                self.trace.fail(f"{known} and {election.hub_id} both lead term {election.term}")
            self.trace.counts["leader steps"] += 1
        acting = self.acting()
        if len(acting) > 1:
            self.trace.fail(f"{' and '.join(acting)} may act alone at the same moment")

    def heard(self, hub_id: str, node_id: str) -> None:
        """A beat that was news reached a hub."""
        self.heard_at[hub_id, node_id] = real_now()

    # ---- how it is noted

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Watch everything that runs while this lasts."""
        with contextlib.ExitStack() as watched:
            for kind, name, make in (
                (Footing, "intend", self._of_intend),
                (ConfMethods, "_write", self._of_write),
                (QuorumLeader, "_perform", self._of_perform),
                (VerdictBook, "hear", self._of_hear),
                (Holds, "take", self._of_hold),
                (HybridClock, "next", self._of_next),
            ):
                watched.enter_context(replaced(kind, name, make(getattr(kind, name))))
            yield

    def _of_intend(self, real: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(real)
        async def intend(hub: Footing, node_id: str, field_name: str, value: object) -> None:
            await real(hub, node_id, field_name, value)
            self.intended(hub, node_id, field_name)

        return intend

    def _of_write(self, real: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(real)
        async def write(methods: ConfMethods, change: Any, author: str) -> dict[str, Any]:
            told: dict[str, Any] = await real(methods, change, author)
            for key in change.values:
                self.was_set(methods.book.versions.current[change.scope.text, key])
            return told

        return write

    def _of_perform(self, real: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(real)
        async def perform(leader: QuorumLeader, actions: Any) -> Any:
            answers = await real(leader, actions)
            self.led(leader)
            return answers

        return perform

    def _of_hear(self, real: Callable[..., bool]) -> Callable[..., bool]:
        @functools.wraps(real)
        def hear(book: VerdictBook, node_id: str, *told: Any) -> bool:
            is_news = real(book, node_id, *told)
            if is_news:
                self.heard(book.heard.own.hub_id, node_id)
            return is_news

        return hear

    def _of_hold(self, real: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(real)
        def take(holds: Holds, section: Any, from_hub: str, now: float) -> None:
            was_held = holds.is_held(from_hub)
            real(holds, section, from_hub, now)
            if not was_held and holds.is_held(from_hub):
                self.trace.counts["hold"] += 1

        return take

    def _of_next(self, real: Callable[..., Stamp]) -> Callable[..., Stamp]:
        @functools.wraps(real)
        def following(clock: HybridClock, wall_ms: int) -> Stamp:
            stamp = real(clock, wall_ms)
            self.stamped(stamp)
            return stamp

        return following

    # ---- what may be lost

    def excuse(
        self, hub_id: str, known: Callable[[Field], Any], stamp_of: Callable[..., Any]
    ) -> None:
        """A hub has lost its disk: what it alone was told since then is gone with it, and only that.

        `known` and `stamp_of` say what the others hold of a field of a node and of a setting.
        """
        self.stamps.pop(hub_id, None)
        self.ballots.pop(
            hub_id, None
        )  # Its vote, too; of each term there is one leader none the less.
        for book, held in ((self.intents, known), (self.settings, stamp_of)):
            for place, acked in list(book.items()):
                others = held(place)
                if acked.hub_id == hub_id and (others is None or others < acked.order):
                    del book[place]
                    self.trace.note("lost with the disk", *place)


@contextlib.contextmanager
def replaced(owner: Any, name: str, other: Any) -> Iterator[None]:
    """Put another function into the place of one, for a while."""
    usual = owner.__dict__[name]
    setattr(owner, name, other)
    try:
        yield
    finally:
        setattr(owner, name, usual)


def newest(stamps: list[Stamp]) -> Stamp | None:
    """The latest of some stamps."""
    return max(stamps, default=None)
