"""What each hub believes of hubs and nodes, side by side, and where they differ since when. Pure.

A section goes with every gossip. The buckets of the node digest travel only while two hubs differ. With
thousands of nodes some change is always on its way, so a bucket counts as differing only when the *same*
difference is seen again: what is on its way is gone at the next round, and what is stuck stays.
"""

import base64
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from hub.peering.view_digest import BUCKETS, NodeDigest
from hub.peering.view_section import HubBelief, ViewSection, short_buckets

ROUNDS_MAX = 3
"""Hubs that differ for more rounds than this disagree."""

FRESH_SECONDS = 3.0
"""What a hub said longer ago is shown with its age, and compared no more."""

COUNTED_SECONDS = 0.9
"""Hubs tell each other more often than once a second when there is news; that is still one round."""

NO_BELIEF = HubBelief("unknown", "")
BUCKETS_SHOWN = 16
LIFE_SHOWN = 8
"""Characters of a life that tell it from others."""
HUBS_MAX = 64

Event = tuple[str, Mapping[str, Any]]


@dataclass(slots=True)
class Difference:
    """Something that hubs see differently: the value of the difference, for how many rounds, since when."""

    value: object
    rounds: int
    since: float
    counted_at: float = -inf

    @property
    def is_disagreement(self) -> bool:
        """Whether this is more than news on its way."""
        return self.rounds > ROUNDS_MAX

    def again(self, value: object, now: float) -> None:
        """Seen once more; another value is other news, unless the two were stuck already."""
        if now - max(self.counted_at, self.since) < COUNTED_SECONDS:
            return
        self.counted_at = now
        if value == self.value or self.is_disagreement:
            self.value, self.rounds = value, self.rounds + 1
        else:
            self.value, self.rounds, self.since = value, 1, now


@dataclass(slots=True)
class PeerView:
    """What a peer said last, and how its node records compare with ours."""

    section: ViewSection
    heard_at: float
    buckets: dict[int, Difference] = field(default_factory=dict)
    equal_at: list[float] = field(default_factory=lambda: [-inf] * BUCKETS)
    root_differs_since: float | None = None
    is_told: bool = False

    def stuck(self) -> list[int]:
        """The buckets about which the two hubs disagree."""
        return sorted(b for b, held in self.buckets.items() if held.is_disagreement)

    def compare(self, mine: bytes | None, theirs: bytes | None, now: float) -> None:
        """Take in the buckets of both; None and None stand for equal roots."""
        if mine is None or theirs is None:
            self.buckets, self.equal_at, self.root_differs_since = {}, [now] * BUCKETS, None
            return
        for bucket, difference in enumerate(_differences(mine, theirs)):
            self._compare(bucket, difference, now)

    def _compare(self, bucket: int, difference: int, now: float) -> None:
        held = self.buckets.get(bucket)
        if not difference:
            self.equal_at[bucket] = now
            self.buckets.pop(bucket, None)
        elif held is None:
            self.buckets[bucket] = Difference(difference, 1, now)
        else:
            held.again(difference, now)


def _differences(mine: bytes, theirs: bytes) -> list[int]:
    size = len(mine) // BUCKETS
    whole = int.from_bytes(mine) ^ int.from_bytes(theirs)
    both = whole.to_bytes(len(mine))
    return [int.from_bytes(both[at : at + size]) for at in range(0, len(both), size)]


@dataclass(slots=True)
class ViewBook:
    """The views of all hubs, as one of them has heard them."""

    hub_id: str
    digest: NodeDigest = field(default_factory=NodeDigest)
    hubs: dict[str, HubBelief] = field(default_factory=dict)
    states: dict[str, int] = field(default_factory=dict)
    peers: dict[str, PeerView] = field(default_factory=dict)
    _hubs_differ: dict[str, Difference] = field(default_factory=dict)
    _hubs_told: set[str] = field(default_factory=set)
    _said: int = 0
    """How many sections this life has told."""

    def believe(self, hubs: Mapping[str, HubBelief], states: Mapping[str, int]) -> None:
        """Note what this hub believes now of hubs (itself among them), and how many nodes are how."""
        self.hubs, self.states = dict(hubs), dict(states)

    def hubs_of(self, hub: str) -> Mapping[str, HubBelief]:
        """What a peer said last that it believes of hubs; nothing before it spoke."""
        peer = self.peers.get(hub)
        return peer.section.hubs if peer else {}

    def of_mine(self, to_hub: str) -> ViewSection:
        """What to tell a peer; the buckets only when its last word differed."""
        root, peer = self.digest.root(), self.peers.get(to_hub)
        buckets = ""
        if peer is not None and peer.section.root != root:
            buckets = base64.b64encode(self.digest.short()).decode()
        self._said += 1
        return ViewSection(self.hubs, root, len(self.digest), self.states, buckets, self._said)

    def take(self, section: ViewSection, from_hub: str, now: float) -> list[Event]:
        """Take in what a peer says; raises BadInput when its buckets cannot be read.

        What it said earlier than what is known is left out: a cut wire gives back old messages.
        """
        theirs = short_buckets(section)
        peer = self.peers.get(from_hub)
        if peer is not None and section.is_older(peer.section, from_hub):
            return []
        if peer is None:
            if len(self.peers) >= HUBS_MAX:
                return []
            peer = self.peers[from_hub] = PeerView(section, now)
        peer.section, peer.heard_at = section, now
        if section.root == self.digest.root():
            peer.compare(None, None, now)
        else:
            peer.root_differs_since = peer.root_differs_since or now
            if theirs is not None:
                peer.compare(self.digest.short(), theirs, now)
        return _nodes_told(peer, from_hub, now)

    def round(self, now: float) -> list[Event]:
        """Compare what hubs believe of hubs; to be called once per round of gossip."""
        beliefs = self.fresh(now)
        for hub in {*self._hubs_differ, *(hub for held in beliefs.values() for hub in held)}:
            said = {by: held.get(hub, NO_BELIEF) for by, held in beliefs.items()}
            self._compare_hub(hub, said, now)
        return self._hubs_news(now)

    def fresh(self, now: float) -> dict[str, Mapping[str, HubBelief]]:
        """What hubs believe of hubs, by who says so: this hub, and all that were heard just now."""
        heard = {
            hub: peer.section.hubs
            for hub, peer in self.peers.items()
            if now - peer.heard_at <= FRESH_SECONDS
        }
        return {self.hub_id: self.hubs, **heard}

    def _compare_hub(self, hub: str, said: dict[str, HubBelief], now: float) -> None:
        held = self._hubs_differ.get(hub)
        if not _differ(said.values()):
            self._hubs_differ.pop(hub, None)
        elif held is None:
            self._hubs_differ[hub] = Difference(said, 1, now)
        else:  # Whoever says what: as long as not all say the same, they differ.
            held.value, held.rounds = said, held.rounds + 1

    def _hubs_news(self, now: float) -> list[Event]:
        events: list[Event] = []
        for hub, held in sorted(self._hubs_differ.items(), key=lambda item: item[0]):
            if held.is_disagreement and hub not in self._hubs_told:
                self._hubs_told.add(hub)
                events.append(("views.differ", {"about": "hub", "subject": hub, **_by(held)}))
        for hub in sorted(self._hubs_told - self._hubs_differ.keys()):
            self._hubs_told.discard(hub)
            events.append(("views.agree", {"about": "hub", "subject": hub}))
        return events

    def forget(self, hub: str) -> None:
        """Drop a hub that has gone for good."""
        self.peers.pop(hub, None)
        self._hubs_differ.pop(hub, None)
        self._hubs_told.discard(hub)

    def are_equal_since(self, since: float, hubs: Collection[str]) -> bool:
        """Whether each bucket of each of these hubs was equal to ours at some moment after `since`.

        Not all at one moment: with many nodes some change is always on its way.
        """
        return all(
            hub in self.peers and min(self.peers[hub].equal_at) >= since
            for hub in hubs
            if hub != self.hub_id
        )

    def differences(self, now: float) -> list[dict[str, Any]]:
        """All that hubs see differently now, and whose view is not known any more; the oldest first."""
        found = [_hub_row(hub, held, now) for hub, held in self._hubs_differ.items()]
        for hub, peer in self.peers.items():
            if now - peer.heard_at > FRESH_SECONDS:
                found.append(_silence_row(hub, peer, now))
            elif peer.buckets:
                found.append(_nodes_row(hub, peer, now))
        return sorted(found, key=lambda row: -float(row["since_s"]))

    def to_wire(self, now: float) -> dict[str, Any]:
        """The views of all hubs side by side; ages in seconds."""
        mine = ViewSection(self.hubs, self.digest.root(), len(self.digest), self.states)
        views = {self.hub_id: (mine, None), **{h: (p.section, p) for h, p in self.peers.items()}}
        return {
            "hub": self.hub_id,
            "subjects": sorted({hub for section, _ in views.values() for hub in section.hubs}),
            "views": [_view_row(hub, *views[hub], now) for hub in sorted(views)],
            "differences": self.differences(now),
        }


def _differ(said: Iterable[HubBelief]) -> bool:
    """Whether hubs say different things. A life that a hub has not heard yet is no other life."""
    standpoints = {_standpoint(belief) for belief in said}
    lives = {life for _, life in standpoints if life}
    return len({state for state, _ in standpoints}) > 1 or len(lives) > 1


def _standpoint(belief: HubBelief) -> tuple[str, str]:
    """What of a belief hubs can disagree about: why a hub is not there some know and others do not."""
    if belief is NO_BELIEF:
        return "never heard of it", ""
    if belief.state in ("dead", "leaving", "unknown"):
        return "gone", ""
    return belief.state, belief.instance


def _words(said: Mapping[str, HubBelief]) -> dict[str, str]:
    """What each hub says, in words that differ as the beliefs do: of lives, too, if these differ."""
    has_lives = len({life for _, life in map(_standpoint, said.values()) if life}) > 1
    return {by: _word(belief, has_lives=has_lives) for by, belief in sorted(said.items())}


def _word(belief: HubBelief, *, has_lives: bool) -> str:
    state, life = _standpoint(belief)
    state = state if belief is NO_BELIEF else belief.state
    return f"{state} in life {life[:LIFE_SHOWN]}" if has_lives and life else state


def _nodes_told(peer: PeerView, hub: str, now: float) -> list[Event]:
    stuck = peer.stuck()
    if bool(stuck) == peer.is_told:
        return []
    peer.is_told = bool(stuck)
    if not stuck:
        return [("views.agree", {"about": "nodes", "subject": hub})]
    seconds = round(now - min(peer.buckets[bucket].since for bucket in stuck), 1)
    facts = {"about": "nodes", "subject": hub, "buckets": len(stuck), "seconds": seconds}
    return [("views.differ", facts)]


def _by(held: Difference) -> dict[str, Any]:
    said = held.value if isinstance(held.value, dict) else {}
    return {"by": _words(said)}


def _hub_row(hub: str, held: Difference, now: float) -> dict[str, Any]:
    said = held.value if isinstance(held.value, dict) else {}
    return {
        "about": "hub",
        "subject": hub,
        "since_s": round(now - held.since, 1),
        "rounds": held.rounds,
        "disagreement": held.is_disagreement,
        "by": {by: belief.to_wire() for by, belief in sorted(said.items())},
        "says": _words(said),
    }


def _silence_row(hub: str, peer: PeerView, now: float) -> dict[str, Any]:
    """What it believes now is not known: what it said last is shown, and compared no more."""
    return {
        "about": "silence",
        "subject": hub,
        "since_s": round(now - peer.heard_at, 1),
        "rounds": 0,
        "disagreement": True,
    }


def _nodes_row(hub: str, peer: PeerView, now: float) -> dict[str, Any]:
    eldest = max(peer.buckets.values(), key=lambda held: (held.rounds, -held.since))
    return {
        "about": "nodes",
        "subject": hub,
        "since_s": round(now - eldest.since, 1),
        "rounds": eldest.rounds,
        "disagreement": eldest.is_disagreement,
        "buckets": sorted(peer.buckets)[:BUCKETS_SHOWN],
        "buckets_total": len(peer.buckets),
    }


def _view_row(hub: str, section: ViewSection, peer: PeerView | None, now: float) -> dict[str, Any]:
    is_fresh = peer is None or now - peer.heard_at <= FRESH_SECONDS
    is_equal = peer is None or peer.root_differs_since is None
    return {
        "hub": hub,
        "age_s": round(now - peer.heard_at, 1) if peer else 0.0,
        "fresh": is_fresh,
        "hubs": {name: belief.to_wire() for name, belief in sorted(section.hubs.items())},
        "nodes": section.nodes,
        "states": dict(section.states),
        "root": section.root,
        "nodes_equal": is_equal if is_fresh else None,
        "buckets_differing": len(peer.buckets) if peer else 0,
    }
