"""Who lives, as one hub knows it: what it heard, what peers heard, and its verdicts on all nodes.

It holds together the rules of hub.nodes about liveness. Beats and the words of peers go in; how often
to beat, verdicts, and what to tell peers come out. Rules only: time comes in.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.nodes.brake import Brake, BrakeLimits
from hub.nodes.heard import HeardBooks
from hub.nodes.heard_told import HeardTold
from hub.nodes.interval import Interval, IntervalLimits
from hub.nodes.verdict import Change, Verdict
from hub.nodes.verdict_book import VerdictBook
from hub.nodes.verdict_doubt import OwnDoubts, PeerStanding
from shared.liveness import NodeState


@dataclass(frozen=True, slots=True)
class LifeLimits:
    """How often nodes beat, and when a hub doubts itself."""

    interval: IntervalLimits = field(default_factory=IntervalLimits)
    brake: BrakeLimits = field(default_factory=BrakeLimits)


@dataclass(slots=True)
class Life:
    """The liveness of all nodes on one hub. `began_at` is when it began to listen (monotonic), and
    `numbering` a text that no other run of any hub uses."""

    hub_id: str
    began_at: float
    numbering: str
    limits: LifeLimits = field(default_factory=LifeLimits)
    watched: set[str] = field(default_factory=set)
    fresh: list[str] = field(default_factory=list)
    """Names that are watched since `take_news` was called last."""
    gone: list[str] = field(default_factory=list)
    """Names that were removed since then. No restart needs them: it takes up only who is there."""
    changes: int = 0
    """A number that grows with every verdict that turns."""
    told: HeardTold = field(init=False)
    heard: HeardBooks = field(init=False)
    interval: Interval = field(init=False)
    brake: Brake = field(init=False)
    doubts: OwnDoubts = field(init=False)
    book: VerdictBook = field(init=False)
    _events: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.told, self.heard = HeardTold(self.numbering), HeardBooks(self.hub_id)
        self.interval = Interval(self.began_at, self.limits.interval)
        self.brake = Brake(self._note, self.limits.brake)
        self.doubts = OwnDoubts(self.began_at, self.interval.listening_seconds(0))
        self.book = VerdictBook(self.heard, self.brake, self.doubts, self.began_at)
        self.book.interval_seconds = self.interval.seconds(0, self.began_at)

    def _note(self, name: str, facts: Mapping[str, Any]) -> None:
        self._events.append((name, facts))

    def take_events(self) -> list[tuple[str, Mapping[str, Any]]]:
        """What people should be told, once: names of events, and facts."""
        events, self._events = self._events, []
        return events

    # ---- who is watched

    def load(self, nodes: Iterable[str]) -> None:
        """Watch the nodes that were known before this hub began to listen."""
        nodes = list(nodes)
        self.heard.introduce(nodes)
        for node_id in nodes:
            self.watch(node_id, self.began_at)
        self.doubts.listens_for = self.interval.listening_seconds(len(self.watched))

    def watch(self, node_id: str, now: float) -> None:
        """Have an opinion on a node from now on; raises BadInput when there are too many."""
        if node_id not in self.watched:
            self.book.watch(node_id, now)
            self.watched.add(node_id)
            self.fresh.append(node_id)

    def forget(self, node_id: str) -> None:
        """Have none any more on a node that was removed."""
        if node_id in self.watched:
            self.book.forget(node_id)
            self.heard.silence(node_id)
            self.told.forget(node_id)
            self.watched.discard(node_id)
            self.gone.append(node_id)

    def take_news(self) -> tuple[list[str], list[str]]:
        """Who came and who went since the last time."""
        news = self.fresh, self.gone
        self.fresh, self.gone = [], []
        return news

    def drop_hub(self, hub_id: str) -> None:
        """Forget a hub that is a peer no more."""
        self.heard.drop(hub_id)
        self.told.dropped(hub_id)

    # ---- what is heard

    def hear(self, node_id: str, incarnation: int, beat: int, now: float) -> float:
        """Take in a beat that reached this hub; after how many seconds the node should come again.

        Raises BadInput when there are too many nodes.
        """
        is_first = not self.heard.has_heard(node_id)
        asked = self.interval.asked(len(self.watched), now, node_id, is_first=is_first)
        if self.book.hear(node_id, incarnation, beat, now, asked.judged_seconds):
            self.told.moved(node_id, now)
        return asked.told_seconds

    def observe(self, lag_p99_seconds: float, now: float) -> None:
        """Reckon the interval anew, from how late the event loop is; call about once a second."""
        self.interval.observe(len(self.watched), lag_p99_seconds, now)
        self.book.interval_seconds = self.interval.seconds(len(self.watched), now)

    def reach(self, peers: Mapping[str, PeerStanding], *, is_isolated: bool, now: float) -> None:
        """Note how the other hubs are, and whether this one is cut off from all of them."""
        self.book.peers = peers
        listen_seconds = self.interval.listening_seconds(len(self.watched))
        self.doubts.isolated(is_isolated, listen_seconds, now)

    def tick(self, now: float) -> list[Change]:
        """Judge; call eight times a second. Returns the verdicts that turned."""
        self.heard.tidy(self.watched)
        turned = self.book.tick(now)
        self.changes += len(turned)
        return turned

    # ---- what is known

    @property
    def interval_seconds(self) -> float:
        """How often nodes are asked to beat now."""
        return self.book.interval_seconds

    def is_listening(self, now: float) -> bool:
        """Whether silence proves nothing yet, since this hub has just begun to listen."""
        return now < self.doubts.listens_from + self.doubts.listens_for

    def ages(self, node_id: str, now: float) -> dict[str, float]:
        """How many seconds ago each hub heard the node; hubs that never did are left out."""
        return self.heard.ages(node_id, now)

    def age_seconds(self, node_id: str, now: float) -> float | None:
        """How long ago any hub heard the node; None if none has since this one listens."""
        return min(self.heard.ages(node_id, now).values(), default=None)

    def verdict(self, node_id: str) -> Verdict | None:
        """What this hub says of a node; None for one that is not watched."""
        return self.book.verdict(node_id)

    def state(self, node_id: str) -> NodeState:
        """The state alone; unknown for a node that is not watched."""
        verdict = self.book.verdict(node_id)
        return NodeState.UNKNOWN if verdict is None else verdict.state
