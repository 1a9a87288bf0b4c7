"""Keeps the books of views, islands and incidents informed on a running hub, and tells people.

Once a second it compares what hubs believe, sees who is together with whom, and writes down what it sees of
a split. What a hub believes of nodes follows each change of a record or verdict as it comes: nothing here
goes through all nodes but once, after the start, and in small steps.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.gossip import Gossip, HubRecord
from hub.mesh import Mesh
from hub.peering.clock_samples import Echo
from hub.peering.detect_values import Failure
from hub.peering.incident import Key, Sight, Writes
from hub.peering.incident_book import Around, IncidentBook
from hub.peering.incident_section import IncidentSection, IncidentTalk, read_incidents
from hub.peering.islands import IslandBook, Rows
from hub.peering.probe_wire import failure_of
from hub.peering.sight_fetch import SightFetch
from hub.peering.view_section import HUBS_MAX, HubBelief, ViewSection, read_view
from hub.peering.views import NO_BELIEF, ViewBook
from hub.peering.witness import Witness
from hub.peers import Peer
from hub.registry import Registry
from shared.conf import Entry
from shared.errors import HeadwaterError
from shared.merge import NodeRecord
from shared.runtime import Runtime
from shared.tasks import Bell

ROUND_SECONDS = 1.0
VOUCHED_SECONDS = 5.0
"""Who reaches us speaks each second."""

LOADED_TOGETHER = 500
"""Records that are taken in after the start between two looks at messages: some milliseconds."""

ALIVE, LEAVING = "alive", "leaving"

Event = tuple[str, Mapping[str, Any]]
Beliefs = Mapping[str, HubBelief]
Save = Callable[[Mapping[Key, Sight | None]], Awaitable[None]]
"""Writes sights down; raises Unavailable."""


@dataclass(slots=True)
class ViewWatch(Witness):
    """The honesty of one hub about what it cannot see."""

    hub_id: str
    instance: str
    mesh: Mesh
    registry: Registry
    runtime: Runtime
    report: Callable[[str, Mapping[str, Any]], None]
    counters: Mapping[str, int]
    save: Save
    views: ViewBook = field(init=False)
    islands: IslandBook = field(init=False)
    incidents: IncidentBook = field(init=False)
    talk: IncidentTalk = field(init=False)
    fetch: SightFetch = field(default_factory=SightFetch)
    is_loaded: bool = False
    """Whether all records are in the digest: before that this hub says nothing of its view."""
    _orders: int = 0
    _lives_heard: dict[str, str] = field(default_factory=dict)
    """The life in which each hub last spoke."""
    _gone: set[str] = field(default_factory=set)
    """Hubs whose machines said last that nobody listens there."""
    _vouched_at: dict[str, float] = field(default_factory=dict)
    """Since when hubs say that one lives which has said nothing here since it went away."""
    _bell: Bell = field(default_factory=Bell)
    """Rung when a hub reaches others than before, while hubs are apart."""

    def __post_init__(self) -> None:
        self.views, self.islands = ViewBook(self.hub_id), IslandBook(self.hub_id)
        self.incidents = IncidentBook(self.hub_id)
        self.talk = IncidentTalk(self.incidents)

    def load(self, sights: Iterable[Sight]) -> None:
        """Go on with what was on disk."""
        self.incidents.load(sights, self.islands, self._around())

    # ---- what this hub holds of nodes

    async def load_records(self) -> None:
        """Take in the records that were there before anybody told of changes."""
        nodes = list(self.registry.records)
        for start in range(0, len(nodes), LOADED_TOGETHER):
            for node_id in nodes[start : start + LOADED_TOGETHER]:
                record = self.registry.records.get(node_id)
                if record is not None:
                    self.views.digest.note(None, record)
                    self.views.digest.judge(node_id, self.registry.state(node_id))
            await asyncio.sleep(0)
        self.is_loaded = True

    def noted(self, before: NodeRecord | None, after: NodeRecord) -> None:
        """A record has changed, here or by a peer."""
        self.views.digest.note(before, after)
        if before is None or before.intent is not after.intent:
            self._orders += _orders_of(self.hub_id, before, after)

    def judged(self, node_id: str, state: str, reason: str) -> None:
        """The verdict of this hub on a node has turned."""
        self.views.digest.judge(node_id, state)

    def let_in(self, record: NodeRecord, from_hub: str, now: float) -> NodeRecord:
        """Look at a record of a peer before it is merged with ours."""
        if self.incidents.is_open:
            self.incidents.note_merge(self.registry.records.get(record.node_id), record)
        return record

    def told_setting(self, mine: Entry, theirs: Entry) -> None:
        """Look at a setting of a peer before one of the two values goes."""
        if self.incidents.is_open:
            self.incidents.note_setting(mine, theirs)

    # ---- what is told of messages

    def answered(self, peer: Peer, echo: Echo, answer: Gossip) -> None:
        """The hub runs."""
        self._runs(answer.sender)

    def heard(self, message: Gossip, now: float, wall_ms: int) -> None:
        """The hub runs."""
        self._runs(message.sender)

    def _runs(self, sender: HubRecord) -> None:
        self._gone.discard(sender.hub_id)
        self._lives_heard[sender.hub_id] = sender.instance

    def failed(self, peer: Peer, sent_at: float, now: float, error: HeadwaterError) -> None:
        """No answer came; perhaps its machine says why."""
        if peer.hub_id and failure_of(error) is Failure.REFUSED:
            self._gone.add(peer.hub_id)

    def forgot(self, peer: Peer) -> None:
        """This is a peer no longer, unless only a second address of it is gone."""
        if peer.hub_id and self.mesh.peers.by_id(peer.hub_id) is None:
            self.views.forget(peer.hub_id)
            self.talk.forget(peer.hub_id)
            self._lives_heard.pop(peer.hub_id, None)
            self._gone.discard(peer.hub_id)
            self.fetch.forget(peer.hub_id)

    # ---- what hubs tell each other

    def view_for(self, peer: str) -> ViewSection | None:
        """What to tell a peer of this hub's view; None until it has one."""
        if not self.is_loaded:
            return None
        self._believe()
        return self.views.of_mine(peer)

    def take_view(self, body: bytes, from_hub: str, now: float) -> None:
        """Hear the view of a peer; raises BadInput."""
        section = read_view(body)
        if self.is_loaded and from_hub != self.hub_id:
            before = self.views.hubs_of(from_hub)
            self._tell(self.views.take(section, from_hub, now))
            self._look_soon(before, self.views.hubs_of(from_hub))

    def sights_for(self, peer: str) -> IncidentSection:
        """What to tell a peer of the sights that this hub holds."""
        return self.talk.of_mine(peer)

    def take_sights(self, body: bytes, from_hub: str) -> None:
        """Hear what a peer holds, and have fetched what this hub lacks; raises BadInput."""
        section = read_incidents(body)
        if from_hub != self.hub_id:
            self.fetch.want(from_hub, self.talk.take(section, from_hub), self.runtime.wall_ms())

    def _look_soon(self, before: Beliefs, after: Beliefs) -> None:
        """People are not to wait for a round to hear that hubs are together again."""
        if self.islands.apart is not None and before != after:
            self._bell.ring()

    # ---- once a second

    async def look_and_wait(self) -> float:
        """One round, and the time until the next one."""
        await self.look()
        await self._bell.wait(ROUND_SECONDS)
        return 0.0

    async def look(self) -> None:
        """One round: compare, see, write down, tell."""
        now, wall_ms = self._now, self.runtime.wall_ms()
        self._believe()
        events = self.views.round(now) if self.is_loaded else []
        self._tell(events)
        named = [peer.hub_id for peer in self._named()]
        held = [hub for hub in named if self.mesh.peers.hold_of(hub) is not None]
        lives = self._lives()
        self._tell(self.islands.see(self._rows(), named, now, wall_ms, held, self._gone, lives))
        self._tell(self.incidents.round(self.islands, self._around()))
        await self.write_down()

    def _named(self) -> list[Peer]:
        return [peer for peer in self.mesh.peers.by_url.values() if peer.hub_id][:HUBS_MAX]

    def _believe(self) -> None:
        beliefs = {self.hub_id: HubBelief(ALIVE, self.instance)}
        for peer in self._named()[: HUBS_MAX - 1]:
            is_away = self.mesh.peers.hold_of(peer.hub_id) is not None
            state = LEAVING if is_away else peer.verdict
            life = "" if peer.hub_id in self._gone else self._lives_heard.get(peer.hub_id, "")
            beliefs[peer.hub_id] = HubBelief(state, life)
        counts = {str(s): n for s, n in self.registry.life.book.counts().items() if n}
        before = self.views.hubs
        self.views.believe(beliefs, counts)
        self._look_soon(before, beliefs)

    def _rows(self) -> Rows:
        """Whom each hub reaches: this one as it is now, the others as they said last."""
        mine = {
            peer.hub_id: peer.verdict == ALIVE and peer.hub_id not in self._gone
            for peer in self._named()
        }
        peers = self.views.peers
        outdated = {hub for hub, peer in peers.items() if self._is_outdated(hub, peer.heard_at)}
        theirs = {
            hub: {
                name: belief.state == ALIVE
                for name, belief in peer.section.hubs.items()
                # Of each other those that went away together may be right still.
                if hub not in outdated or name in outdated
            }
            for hub, peer in peers.items()
        }
        return {**theirs, self.hub_id: mine}

    def _is_outdated(self, hub: str, heard_at: float) -> bool:
        """Whether a hub has said nothing since it went away: its next word may say that it reaches nobody.

        Where for some seconds only others have reached it, its last word is all there will be.
        """
        missed, now = self.islands.away.get(hub), self._now
        is_old = missed is not None and heard_at < missed.since
        said = self.views.fresh(now) if is_old else {}
        if not any(held.get(hub, NO_BELIEF).state == ALIVE for held in said.values()):
            self._vouched_at.pop(hub, None)
            return is_old
        return now - self._vouched_at.setdefault(hub, now) < VOUCHED_SECONDS

    def _lives(self) -> dict[str, str]:
        """The lives of the hubs that are there, also of those that only another hub reaches."""
        said = self.views.fresh(self._now)
        mine = said.pop(self.hub_id)
        return {
            hub: belief.instance
            for held in (*said.values(), mine)  # Our own word holds where there are several.
            for hub, belief in held.items()
            if belief.state == ALIVE and belief.instance
        }

    def _around(self) -> Around:
        offsets = {peer.hub_id: peer.clock_offset_ms for peer in self._named()}
        return Around(
            self._now,
            self.runtime.wall_ms(),
            Writes(
                self._orders + self.counters.get("settings_written", 0),
                self.counters.get("records_accepted", 0),
                self.counters.get("chunks_accepted", 0),
            ),
            self._lives(),
            {hub: offset for hub, offset in offsets.items() if offset is not None},
            self.views.are_equal_since,
        )

    async def write_down(self) -> None:
        """Write down what is new of sights; raises Unavailable, and tries it again with the next round."""
        unsaved = self.incidents.take_unsaved()
        if not unsaved:
            return
        try:
            await self.save(unsaved)
        # Also when this is cancelled: what may not be on disk is to be written again.
        except BaseException:
            self.incidents.put_back(unsaved)
            raise

    def _tell(self, events: Iterable[Event]) -> None:
        for name, facts in events:
            self.report(name, facts)

    def standing(self) -> dict[str, Any] | None:
        """What every answer says while hubs are apart; None while they are together."""
        return self.islands.standing(self._now)

    @property
    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _orders_of(hub_id: str, before: NodeRecord | None, after: NodeRecord) -> int:
    """How many orders of people in a record are new and were taken in by this hub."""
    known = before.intent if before else {}
    return sum(
        held.stamp.hub_id == hub_id and known.get(name) != held
        for name, held in after.intent.items()
    )
