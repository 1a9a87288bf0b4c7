"""Who is told of every message between this hub and its peers. Times are of the monotonic clock."""

from dataclasses import dataclass, field

from hub.gossip import Gossip
from hub.peering.clock_samples import Echo
from hub.peers import Peer
from shared.conf import Entry
from shared.errors import HeadwaterError
from shared.merge import NodeRecord


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a peer refuses something: the HTTP status, and its sentence for people."""

    status: int
    reason: str


class Witness:
    """One of them; by itself it notes nothing and lets in everything."""

    def sent(self, peer: Peer, now: float) -> None:
        """A question went out."""

    def answered(self, peer: Peer, echo: Echo, answer: Gossip) -> None:
        """Its answer came, and nothing in it has been taken in yet."""

    def failed(self, peer: Peer, sent_at: float, now: float, error: HeadwaterError) -> None:
        """No answer came."""

    def heard(self, message: Gossip, now: float, wall_ms: int) -> None:
        """A peer asked, and nothing of it has been taken in yet."""

    def let_in(self, record: NodeRecord, from_hub: str, now: float) -> NodeRecord:
        """What of a peer's record may be merged now: the record itself when all of it may."""
        return record

    def told_setting(self, mine: Entry, theirs: Entry) -> None:
        """A peer tells another value of a setting that is held here, and neither has gone yet."""

    def refused(self, who: str, door: str, error: HeadwaterError, now: float) -> None:
        """This hub refuses what a hub says; `who` is its id, or its address when it has not told one."""

    def knocked(self, address: str, name: str, door: str, now: float) -> None:
        """Somebody at this address, who calls itself so if at all, came without the cluster key."""

    def accepted(self, who: str, door: str) -> None:
        """This hub took what a hub said at the same door."""

    def turned_away(self, peer: Peer, path: str, refusal: Refusal, now: float) -> None:
        """A peer refuses what this hub says."""

    def taken_in(self, peer: Peer, path: str) -> None:
        """A peer took what this hub said on the same path."""

    def forgot(self, peer: Peer) -> None:
        """This is a peer no longer."""


@dataclass(slots=True)
class Witnesses(Witness):
    """All of them, in the order in which they came."""

    each: list[Witness] = field(default_factory=list)

    def add(self, witness: Witness) -> None:
        """Have one more told from now on."""
        self.each.append(witness)

    def sent(self, peer: Peer, now: float) -> None:
        """Tell all."""
        for witness in self.each:
            witness.sent(peer, now)

    def answered(self, peer: Peer, echo: Echo, answer: Gossip) -> None:
        """Tell all."""
        for witness in self.each:
            witness.answered(peer, echo, answer)

    def failed(self, peer: Peer, sent_at: float, now: float, error: HeadwaterError) -> None:
        """Tell all."""
        for witness in self.each:
            witness.failed(peer, sent_at, now, error)

    def heard(self, message: Gossip, now: float, wall_ms: int) -> None:
        """Tell all."""
        for witness in self.each:
            witness.heard(message, now, wall_ms)

    def let_in(self, record: NodeRecord, from_hub: str, now: float) -> NodeRecord:
        """What all of them let in."""
        for witness in self.each:
            record = witness.let_in(record, from_hub, now)
        return record

    def told_setting(self, mine: Entry, theirs: Entry) -> None:
        """Tell all."""
        for witness in self.each:
            witness.told_setting(mine, theirs)

    def refused(self, who: str, door: str, error: HeadwaterError, now: float) -> None:
        """Tell all."""
        for witness in self.each:
            witness.refused(who, door, error, now)

    def knocked(self, address: str, name: str, door: str, now: float) -> None:
        """Tell all."""
        for witness in self.each:
            witness.knocked(address, name, door, now)

    def accepted(self, who: str, door: str) -> None:
        """Tell all."""
        for witness in self.each:
            witness.accepted(who, door)

    def turned_away(self, peer: Peer, path: str, refusal: Refusal, now: float) -> None:
        """Tell all."""
        for witness in self.each:
            witness.turned_away(peer, path, refusal, now)

    def taken_in(self, peer: Peer, path: str) -> None:
        """Tell all."""
        for witness in self.each:
            witness.taken_in(peer, path)

    def forgot(self, peer: Peer) -> None:
        """Tell all."""
        for witness in self.each:
            witness.forgot(peer)
