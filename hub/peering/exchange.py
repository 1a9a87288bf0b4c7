"""The talk of one hub with its peers about nodes: values in, messages out, no network and no clock.

New changes are pushed at once; each second pulses tell who has what, and whoever lacks something
that was not just on its way asks for it: at any hub that has it, so that changes find their way
around a link that is cut. `now` is monotonic seconds.
"""

import zlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic

from hub.peering import exchange_pull as pull
from hub.peering.exchange_pull import Standing
from hub.peering.exchange_replica import Replica
from hub.peering.exchange_retire import Retirement, drop_retired, retire_by_and_by, to_wire
from hub.peering.exchange_take import Delivery, take
from hub.peering.exchange_values import R, Taken
from hub.peering.exchange_wire import (
    PUSH_BYTES_MAX,
    VERSION,
    Answer,
    Ask,
    Head,
    Item,
    Names,
    Pulse,
    Push,
    ToldStream,
    dots_of,
    fitting,
)
from hub.peering.parked import Parked
from hub.peering.refusals import Double
from hub.peering.vector import Stream, from_wire, minus
from hub.peering.vector import to_wire as vector_to_wire
from shared.errors import BadInput
from shared.ranges import Ranges

PUSHES_MAX = 8
"""Of one flush to one peer: 2 MiB; what remains goes with the next."""

PEERS_MAX = 64


@dataclass(slots=True)
class Exchange(Generic[R]):
    """One hub in one life, towards all its peers."""

    replica: Replica[R]
    cluster: str
    peers: dict[str, Standing] = field(default_factory=dict)
    retirement: Retirement = field(default_factory=Retirement)
    _asking: str = ""
    _asking_until: float = 0.0

    @property
    def head(self) -> dict[str, Any]:
        """What every message of this hub begins with."""
        origin, life = self.replica.own
        return {"version": VERSION, "cluster": self.cluster, "sender": origin, "life": life}

    def _meet(self, message: Head) -> Standing:
        """Where this hub stands with the sender in its present life."""
        self._check_sender(message)
        if message.sender not in self.peers and len(self.peers) >= PEERS_MAX:
            raise BadInput(f"this hub knows {PEERS_MAX} hubs already, and {message.sender} is none")
        standing = self.peers.setdefault(message.sender, Standing())
        standing.meet(message.life)
        return standing

    def _check_sender(self, message: Head) -> None:
        if message.sender == self.replica.own[0]:
            name = message.sender
            raise Double(name, f"this hub is called {name} too: rename one of us")

    def forget(self, hub_id: str) -> None:
        """Drop a peer that will not come back."""
        self.peers.pop(hub_id, None)

    def ask_again(self) -> None:
        """What was not let in may be by now: have every peer tell it again."""
        self.replica.waiting = Parked()
        for standing in self.peers.values():
            standing.cursor = 0
            standing.settle()

    # ---- pushes

    def flush(self) -> list[Push]:
        """What this hub has originated and not said yet, for all live peers: oldest first."""
        replica = self.replica
        was_drained, pushes = replica.is_drained, list[Push]()
        while replica.unsaid and len(pushes) < PUSHES_MAX:
            names = Names()
            items = fitting(replica.unsaid_items(names), PUSH_BYTES_MAX)
            for item in items:
                del replica.unsaid[item.node]
            pushes.append(Push(**self.head, streams=names.streams, items=items))
        if len(pushes) == 1 and not replica.unsaid and was_drained:
            (whole,) = pushes
            claims = replica.said_through + 1, replica.seq
            pushes = [Push(**self.head, streams=whole.streams, items=whole.items, claims=claims)]
        replica.is_drained = not replica.unsaid
        if replica.is_drained:
            replica.said_through = replica.seq
        return pushes

    def take_push(self, push: Push, at_ms: int) -> None:
        """Merge what a peer has originated; raises BadInput before anything is merged."""
        self._check_sender(push)
        stream = (push.sender, push.life)
        read = self._read(push.items, push.streams)
        if push.claims and push.claims[0] > push.claims[1]:
            raise BadInput(f"the claims of {push.sender} go backwards")
        missed = [
            item.node for item, dots in read if not self._take_direct(item, dots, push, at_ms)
        ]
        if push.claims and not missed:
            self.replica.claim({stream: Ranges((push.claims,))})

    def _take_direct(self, item: Item, dots: dict[Stream, int], by: Head, at_ms: int) -> bool:
        reason = "push" if isinstance(by, Push) else "sweep"
        taken = take(self.replica, Delivery(item, dots, by.sender, at_ms, reason))
        if taken in (Taken.EARLY, Taken.PARKED, Taken.WITHHELD, Taken.BURIED):
            return False
        self.replica.cover(dots.items())
        return True

    def take_swapped(
        self, items: list[Item], streams: list[Stream], message: Head, at_ms: int
    ) -> int:
        """Merge whole records of a peer as they are; returns how many were repaired by that."""
        self._check_sender(message)
        before = self.replica.taken[Taken.REPAIRED]
        for item, dots in self._read(items, streams):
            self._take_direct(item, dots, message, at_ms)
        return self.replica.taken[Taken.REPAIRED] - before

    def _read(
        self, items: Iterable[Item], streams: list[Stream]
    ) -> list[tuple[Item, dict[Stream, int]]]:
        read = [(item, dots_of(item, streams)) for item in items]
        newest: dict[Stream, int] = {}
        for _, dots in read:
            for stream, seq in dots.items():
                newest[stream] = max(newest.get(stream, 0), seq)
        self.replica.check(newest)
        return read

    def _read_vector(self, told: Iterable[ToldStream]) -> dict[Stream, Ranges]:
        vector = from_wire(told)
        self.replica.check({stream: held.last for stream, held in vector.items()})
        return vector

    # ---- pulses

    def pulse(self, hub_id: str) -> Pulse:
        """What this hub has, for a peer; the vector only when the peer has another one."""
        replica, standing = self.replica, self.peers.get(hub_id)
        is_known = standing is not None and standing.knows == self._digest()
        return Pulse(
            **self.head,
            position=pull.vouched_position(replica) if replica.vector.is_short else 0,
            digest=self._digest(),
            knows=standing.digest if standing else "",
            vector=None if is_known else vector_to_wire(replica.vector.ranges),
            retired=[] if is_known else to_wire(replica),
        )

    def _digest(self) -> str:
        retired = repr(list(self.replica.retired)).encode()
        return f"{self.replica.vector.digest()}.{zlib.crc32(retired):08x}"

    def take_pulse(self, pulse: Pulse, now: float) -> None:
        """Hear what a peer has; raises BadInput."""
        standing = self._meet(pulse)
        standing.knows = pulse.knows
        if pulse.vector is not None:
            told = self._read_vector(pulse.vector)
            self.retirement.take(pulse.retired)
            standing.vector, standing.digest = told, pulse.digest
        elif standing.digest != pulse.digest:
            return  # It thinks that we know; our next pulse says that we do not.
        drop_retired(self.replica, self.retirement)
        pull.hear_position(standing, self.replica, pulse.position, now)

    def retire(self, records_max: int, gone: Collection[str] = ()) -> int:
        """Once a second: one step of retiring old streams of this hub, and those of hubs that are gone
        for good; returns how many records were originated anew for that."""
        drop_retired(self.replica, self.retirement)
        return retire_by_and_by(self.replica, records_max, gone)

    def is_near(self, hub_id: str) -> bool:
        """Whether this hub and a peer lack little of each other, as far as it is known here: if not,
        comparing all that they hold would find what they are about to fetch anyway."""
        standing = self.peers.get(hub_id)
        if standing is None or not standing.vector:
            return False
        mine = self.replica.lacks(standing.vector)
        theirs = minus(self.replica.vector.ranges, standing.vector)
        return max(pull.count(mine), pull.count(theirs)) < pull.BACKLOG_RECORDS

    # ---- asking and answering

    def next_ask(self, now: float) -> tuple[str, Ask] | None:
        """Whom to ask for the next page now, if anybody: one hub at a time."""
        if self._asking and now < self._asking_until:
            return None
        for hub_id in sorted(self.peers, key=lambda each: (each != self._asking, each)):
            if pull.is_worth_asking(self.peers[hub_id], self.replica):
                self._asking, self._asking_until = hub_id, now + pull.PASS_SECONDS_MAX
                return hub_id, self._ask(self.peers[hub_id])
        self._asking = ""
        return None

    def _ask(self, standing: Standing) -> Ask:
        have = vector_to_wire(self.replica.vector.ranges)
        return Ask(**self.head, asked_life=standing.life, after=standing.cursor, have=have)

    def not_answered(self, hub_id: str) -> None:
        """A peer did not answer, or made no sense: the next one is asked, and it after its next pulse."""
        if hub_id == self._asking:
            self._asking, self._asking_until = "", 0.0
        standing = self.peers.get(hub_id)
        if standing is not None:
            standing.settle()

    def answer(self, ask: Ask) -> Answer:
        """A page for a peer; raises BadInput."""
        self._check_sender(ask)
        have = self._read_vector(ask.have)
        if ask.asked_life != self.replica.own[1]:
            return Answer(**self.head, through=0, streams=[], items=[])
        page = pull.page(self.replica, min(ask.after, self.replica.dots.position), have)
        vector = vector_to_wire(self.replica.vector.ranges) if page.is_last else None
        return Answer(
            **self.head,
            through=page.through,
            streams=page.names.streams,
            items=page.items,
            vector=vector,
        )

    def take_answer(self, ask: Ask, answer: Answer, at_ms: int) -> bool:
        """Merge a page; returns whether there are more. Raises BadInput, also for one that leads
        nowhere."""
        standing, is_last = self._meet(answer), answer.vector is not None
        if answer.life != ask.asked_life:
            self.not_answered(answer.sender)  # It has a new life, and its next pulse tells of it.
            return False
        if any(item.base >= 0 for item in answer.items):
            raise BadInput(f"{answer.sender} answers with parts of records")
        if answer.through < ask.after or (answer.through == ask.after and not is_last):
            raise BadInput(f"a page of {answer.sender} leads nowhere")
        if ask.after > standing.cursor:
            self._asking_until = 0.0
            return False  # What stands before this page has to be told again first.
        told = self._read_vector(answer.vector or [])
        for item, dots in self._read(answer.items, answer.streams):
            take(self.replica, Delivery(item, dots, answer.sender, at_ms, "answer"))
        standing.cursor = max(standing.cursor, answer.through)
        self.replica.claim(told)
        self._asking_until = 0.0
        if is_last:
            self._asking = ""
            standing.settle()
        return not is_last
