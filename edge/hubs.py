"""What the edge knows of its hubs, and which one it pushes to. Pure: time comes in as an argument."""

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field
from random import Random

from edge.circuit import Circuit
from edge.lanes import Credit
from edge.lineage import Belief, Claim
from edge.pace import Pace
from edge.preference import Candidate, Preference
from shared.backoff import Backoff
from shared.ranges import NOTHING, Ranges

FORGET_SECONDS = 60.0
"""For so long no hub that answers names a hub that this edge forgets."""

RETURN_SECONDS_MIN = 5.0
RETURN_SECONDS_MAX = 30.0
"""An edge comes back to the hub it prefers so long after that answers again: a fleet in a trickle."""


def _nobody() -> None:
    """Nobody listens yet."""


@dataclass(slots=True)
class HubView:
    """One hub as this edge sees it. `have` and `safe` speak of this edge's current epoch."""

    url: str
    hub_id: str = ""
    belief: Belief = field(default_factory=Belief)
    claim: Claim | None = None
    """What it has said and nobody has weighed yet."""
    refused: Ranges = NOTHING
    """Chunks that it does not take."""
    circuit: Circuit = field(default_factory=Circuit)
    pace: Pace = field(default_factory=Pace)
    credit: Credit = field(default_factory=Credit)
    last_answer_at: float | None = None
    last_error: str = ""
    removed: str = ""
    """What it says when it sends this edge away, which a person has removed; empty for a welcome one."""
    cloned: str = ""
    """What it says when it refuses this edge, since another machine runs with the same identity."""
    linked: bool = False
    prefer: str | None = None
    """Where its last answer sent this edge; empty for nowhere, None from a hub without hints."""
    is_configured: bool = False
    """Whether this edge was told of it by its own settings, and not by a hub."""
    names: frozenset[str] = frozenset()
    """The hubs that its last answer to a heartbeat named, by id and by address."""
    unnamed_since: float | None = None
    """Since when no hub that answers names it; None while one does."""
    is_forgotten: bool = False
    """Whether this edge has done with it."""
    is_answering: bool = False
    """Whether the last exchange with it, push or heartbeat, ended with an answer of its own."""
    has_lapsed: bool = False
    returns_at: float | None = None
    """From when on a hub that had lapsed is preferred again; None until it answers."""

    @property
    def is_away(self) -> bool:
        """Whether it wants nothing of this edge, for a reason that only people can end."""
        return bool(self.removed or self.cloned)

    @property
    def have(self) -> Ranges:
        """What it holds on its disk, as far as this edge believes it."""
        return self.belief.have

    @property
    def safe(self) -> Ranges:
        """What is on enough disks, as far as this edge believes it."""
        return self.belief.safe

    def answered(self, now: float, rng: Random) -> None:
        """Note that it lives: it answered a push or a heartbeat."""
        self.last_answer_at, self.is_answering = now, True
        if self.has_lapsed and self.returns_at is None:
            self.returns_at = now + rng.uniform(RETURN_SECONDS_MIN, RETURN_SECONDS_MAX)

    def lapsed(self, reason: str) -> None:
        """Note that it did not answer, or is unwell: others are preferred for a while."""
        self.last_error, self.is_answering = reason, False
        self.has_lapsed, self.returns_at = True, None

    def is_back(self, now: float) -> bool:
        """Whether it may have its old place in the order."""
        return not self.has_lapsed or (self.returns_at is not None and now >= self.returns_at)

    @property
    def name(self) -> str:
        """Its id, or its address as long as that is not known."""
        return self.hub_id or self.url

    def candidate(self, now: float) -> Candidate:
        """How it stands in the order."""
        is_ready, gives_hints = now >= self.circuit.ready_at, self.prefer is not None
        return Candidate(self.name, is_ready, self.is_back(now), self.is_answering, gives_hints)

    def forget_log(self) -> None:
        """The log has begun a new life: what was said of the old one says nothing of the new."""
        self.belief, self.claim, self.refused = Belief(), None, NOTHING


@dataclass(slots=True)
class Hubs:
    """All hubs this edge may talk to: those it was told of and those that hubs told it of.

    `on_news` is called when there is a claim to weigh, or a hub has become reachable.
    """

    node_id: str
    views: dict[str, HubView] = field(default_factory=dict)
    on_news: Callable[[], None] = _nobody
    preference: Preference = field(init=False)

    def __post_init__(self) -> None:
        self.preference = Preference(self.node_id)

    def learn(self, urls: Iterable[str], *, is_configured: bool = False) -> list[HubView]:
        """Add hubs that are not known yet; returns the new ones."""
        fresh = [
            HubView(url, is_configured=is_configured)
            for url in dict.fromkeys(urls)
            if url and url not in self.views
        ]
        self.views.update((view.url, view) for view in fresh)
        if fresh:
            self.on_news()
        return fresh

    def told(self, view: HubView, hubs: Mapping[str, str], now: float) -> list[HubView]:
        """Note which hubs an answer names; returns those that are forgotten by this, as gone for good.

        That is a hub that this edge only learned of, when neither it answers nor any hub that does
        names it any more, for long enough that a hub that lags behind the others would.
        """
        view.names = frozenset((*hubs, *hubs.values()))
        names = {name for each in self.views.values() if each.is_answering for name in each.names}
        gone = [each for each in self.views.values() if self._is_gone(each, names, now)]
        for each in gone:
            self.forget(each)
        return gone

    def _is_gone(self, view: HubView, names: Set[str], now: float) -> bool:
        is_named = view.hub_id in names or view.url in names
        if view.is_configured or view.is_answering or view.linked or is_named:
            view.unnamed_since = None
        elif view.unnamed_since is None:
            view.unnamed_since = now
        return view.unnamed_since is not None and now - view.unnamed_since >= FORGET_SECONDS

    def same(self, view: HubView, hub_id: str) -> None:
        """An address is a second one of a hub: have done with it, and not with the hub."""
        for other in self.views.values():
            if other.hub_id == hub_id and other is not view:
                other.is_configured = other.is_configured or view.is_configured
        self.forget(view)

    def forget(self, view: HubView) -> None:
        """Have done with an address: nobody contacts it, waits for it, or sees it any more."""
        view.is_forgotten = True
        if self.views.get(view.url) is view:
            del self.views[view.url]
        self.on_news()

    def named(self, hub_id: str) -> bool:
        """Whether a hub with this id has answered under one of the known addresses."""
        return any(view.hub_id == hub_id for view in self.views.values())

    def missing(self, hubs: Mapping[str, str]) -> list[str]:
        """Where hubs are, as another one says, that answer this edge nowhere: they may have moved."""
        here = {view.hub_id for view in self.views.values() if view.is_answering}
        return [url for hub_id, url in hubs.items() if hub_id not in here]

    def moved(self, view: HubView, hub_id: str) -> list[HubView]:
        """A hub has answered at an address: have done with those of it where nobody answers. Returns
        views of those among them that this edge was told of, to be asked on who is there."""
        known = [each for each in self.views.values() if each.hub_id == hub_id]
        left = [each for each in known if each is not view and not each.is_answering]
        for each in left:
            self.forget(each)
        return self.learn((each.url for each in left if each.is_configured), is_configured=True)

    def order(self, now: float) -> list[HubView]:
        """The hubs to try, best first, as edge.preference ranks them."""
        named = {view.name: view for view in self.views.values()}
        ranked = self.preference.order([view.candidate(now) for view in named.values()])
        return [named[hub.name] for hub in ranked]

    def met(self, view: HubView, hub_id: str, now: float) -> None:
        """Note which hub is behind an address."""
        view.hub_id = hub_id
        self.preference.named(view.url, hub_id, now)

    def hinted(self, view: HubView, prefer: str | None, now: float) -> None:
        """Take what the hub's answer says of where to be."""
        view.prefer = prefer
        others = [other.candidate(now) for other in self.views.values()]
        if self.preference.hinted(prefer or "", view.name, others):
            self.on_news()

    def beat_answered(
        self, view: HubView, now: float, claim: Claim, credit: float | None, rng: Random
    ) -> None:
        """Note the answer to a heartbeat: the hub lives, and its claim waits to be weighed."""
        view.answered(now, rng)
        view.last_error = view.removed = view.cloned = ""
        view.circuit.hear(now)
        view.credit.grant(now, credit)
        view.claim = claim
        self.on_news()

    def beat_failed(
        self, view: HubView, now: float, reason: str, limits: Backoff, rng: Random
    ) -> None:
        """Note that a heartbeat found no hub: pushes go elsewhere, if there is one."""
        view.lapsed(reason)
        view.circuit.fail(now, limits, rng)

    def sent_away(
        self, view: HubView, now: float, reason: str, seconds: float, *, is_clone: bool
    ) -> None:
        """Note that a hub wants nothing of this edge, since a person removed it, or it is a copy of
        one that runs. Nothing is pushed there for so long, unless a heartbeat is welcome again."""
        view.lapsed(reason)
        view.removed, view.cloned = ("", reason) if is_clone else (reason, "")
        view.circuit.leave_alone(now, seconds)

    @property
    def removed(self) -> str:
        """Why no hub takes anything of this edge any more; empty while one that answers does."""
        return self._unless_answered(view.removed for view in self.views.values())

    @property
    def cloned(self) -> str:
        """The same for an edge that is refused since another machine runs with its identity."""
        return self._unless_answered(view.cloned for view in self.views.values())

    def _unless_answered(self, reasons: Iterable[str]) -> str:
        if any(view.is_answering for view in self.views.values()):
            return ""
        return next((reason for reason in reasons if reason), "")

    def forget_log(self) -> None:
        """The log has begun a new life."""
        for view in self.views.values():
            view.forget_log()

    def safe(self) -> Ranges:
        """What some hub has told us is on enough disks."""
        safe = NOTHING
        for view in self.views.values():
            safe = safe | view.safe
        return safe

    def accepted(self) -> Ranges:
        """What at least one hub has on its disk."""
        have = NOTHING
        for view in self.views.values():
            have = have | view.have
        return have
