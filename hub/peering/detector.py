"""Failure detection between hubs: a machine that turns answers, silence and rows into verdicts.

Pure: `now` is the monotonic time of this process. The shell reports what happened, calls `tick` after
each report and at `next_at` at the latest, and performs the actions that `tick` returns.

Two levels. *Avoid*: two misses in a row, or a refusal; callers go elsewhere, nothing else changes.
*Dead*: nobody whose word reaches us has heard of the peer for 6 s and for 1 s more, and where there
are three or more hubs a second one misses it, too. What others say can keep a peer from death and
takes part in it, but never brings it about alone. A hub that reaches nobody is *isolated*, and
declares no one dead. A peer that said when it will be back is not dead before that, only avoided.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from hub.peering.detect_news import News
from hub.peering.detect_peer import Watch
from hub.peering.detect_row import PEERS_MAX, Entry, Row, check_row, entry_of
from hub.peering.detect_self import (
    ASKED_AT_ONCE,
    count_peers,
    helpers,
    is_unheard,
    last_reached,
    out_of_sight,
    reaches_nobody,
)
from hub.peering.detect_values import (
    INCARNATION_MAX,
    LIMITS,
    Action,
    Ask,
    DetectLimits,
    Failure,
    Life,
    PeerState,
    Probe,
    Refute,
    Verdict,
)
from hub.peering.local_health import LocalHealth
from hub.peering.matrix import Matrix, SeenRow
from shared.readers import NAME


def _nobody_is_held(peer: str) -> bool:
    """No peer has said that it leaves for a while."""
    return False


@dataclass(slots=True)
class Detector:
    """What one hub believes of its peers. `incarnation` must be above that of the last start."""

    own_id: str
    instance: str
    incarnation: int
    began_at: float
    limits: DetectLimits = LIMITS
    is_held: Callable[[str], bool] = _nobody_is_held
    """Whether a peer is away by plan now."""
    watches: dict[str, Watch] = field(default_factory=dict)
    health: LocalHealth = field(init=False)
    news: News = field(default_factory=News)
    is_isolated: bool = False
    isolated_since: float = 0.0
    is_alone_by_plan: bool = False
    """Whether people were told so: all peers had said that they leave for a while."""
    refutations: int = 0
    beat: int = 0
    _rows: dict[str, tuple[Row, float]] = field(default_factory=dict)
    _actions: list[Action] = field(default_factory=list)
    _floor_at: float = 0.0
    """Silence before this moment says nothing: we were cut off ourselves."""

    def __post_init__(self) -> None:
        self.health = LocalHealth(self.began_at, self.began_at + self.limits.tick_seconds)
        self._floor_at = self.began_at

    # ---- who is watched

    def expect(self, peer: str, now: float) -> None:
        """Watch this peer from now on; its id, or its address until the id is known."""
        at = self._listen(now)
        if peer != self.own_id:
            self.watches.setdefault(peer, Watch(peer, at))

    def rename(self, peer: str, hub_id: str) -> None:
        """The hub at this address has told its id."""
        watch = self.watches.pop(peer, None)
        if watch is not None and hub_id != self.own_id and hub_id not in self.watches:
            watch.peer = hub_id
            self.watches[hub_id] = watch

    def forget(self, peer: str) -> None:
        """The peer has left for good: it is no longer watched, and its word no longer counts."""
        self.watches.pop(peer, None)
        self._rows.pop(peer, None)
        self.news.forget(peer)
        for watch in self.watches.values():
            watch.words.pop(peer, None)

    # ---- what happens

    def sent(self, peer: str, now: float) -> None:
        """A request to the peer has left."""
        at = self._listen(now)
        if watch := self.watches.get(peer):
            watch.sent(at, self.limits)

    def answered(self, peer: str, now: float, rtt_seconds: float, life: Life) -> None:
        """The peer answered a request of ours, and said which moment of its life this is."""
        at = self._listen(now)
        if watch := self.watches.get(peer):
            watch.answered(at, rtt_seconds, life, self.limits)
            self.news.returned(watch, at, "it answers again")

    def failed(self, peer: str, now: float, sent_at: float, failure: Failure) -> None:
        """A request to the peer, sent at `sent_at`, failed.

        A time-out counts for nothing when we slept meanwhile; neither that nor a missing route counts
        when a later answer overtook it: a wire that is back still gives up what was sent before.
        """
        at = self._listen(now)
        watch = self.watches.get(peer)
        if failure is Failure.TIMEOUT and self.health.slept(sent_at):
            return
        lost = failure in (Failure.TIMEOUT, Failure.UNROUTABLE)
        if lost and watch and watch.overtook(at - (now - sent_at)):
            return
        if watch:
            watch.failed(at, failure, self.limits)
            self.news.returned(watch, at, "it answers, with errors")

    def heard(self, peer: str, now: float, life: Life) -> None:
        """A request of the peer reached us: it lives and reaches us; we may not reach it."""
        at = self._listen(now)
        if watch := self.watches.get(peer):
            watch.lives(at, life, direct=True)
            self.news.returned(watch, at, "its requests reach us again")

    def take_row(self, row: Row, from_hub: str, now: float) -> None:
        """Take in what a peer says of all others; raises BadInput when it is not its to say."""
        at = self._listen(now)
        check_row(row, from_hub)
        held = self._rows.get(row.hub)
        if row.hub not in self.watches or (held and held[0].life.order >= row.life.order):
            return
        self._rows[row.hub] = (row, at)
        for entry in row.entries:
            if entry.peer == self.own_id:
                self._hear_of_ourselves(row.hub, entry)
            elif watch := self.watches.get(entry.peer):
                self._weigh(watch, row, entry, at)

    def indirect(self, via: str, about: str, now: float, life: Life | None) -> None:
        """The hub `via` has probed `about` for us; `life` is what it was answered, None for nothing."""
        at = self._listen(now)
        watch = self.watches.get(about)
        if watch is None or via not in self.watches:
            return
        if life is None:
            watch.said_no(via, at)
            return
        watch.words.pop(via, None)
        watch.lives(at, life, direct=False)
        self.news.returned(watch, at, f"{via} reaches it")

    def _weigh(self, watch: Watch, row: Row, entry: Entry, at: float) -> None:
        """A beat that nobody told us before is a sign of life; what misses it may be an observer."""
        known = watch.life.order if watch.life else (-1, -1)
        if entry.heard_age_s is not None and entry.life.order > known:
            watch.lives(at - entry.heard_age_s, entry.life, direct=False)
            self.news.returned(watch, at, f"{row.hub} hears it")
        if entry.state in (PeerState.AVOID, PeerState.DEAD) and not row.isolated:
            silent = entry.heard_age_s if entry.heard_age_s is not None else entry.state_age_s
            watch.misses_it(row.hub, at, silent)
        else:
            watch.words.pop(row.hub, None)

    def _hear_of_ourselves(self, hub: str, entry: Entry) -> None:
        """Whoever calls us dead, or knows a later life of ours than this one, is answered by a new one."""
        stale = entry.instance not in ("", self.instance)
        wrong = entry.state is PeerState.DEAD or stale
        if wrong and self.incarnation <= entry.incarnation < INCARNATION_MAX:
            self.incarnation, self.beat = entry.incarnation + 1, 0
            self.refutations += 1
            self._actions.append(Refute(self.incarnation))
            self.news.refuted(hub, self.incarnation)

    # ---- time passes

    @property
    def next_at(self) -> float:
        """When `tick` must be called at the latest."""
        return self.health.due_at

    def tick(self, now: float) -> list[Action]:
        """Judge everybody; returns what is to be done now."""
        at = self._listen(now)
        self._watch_ourselves(at, now)
        for watch in self.watches.values():
            self._judge(watch, at)
            self._probe(watch, at, now)
        actions = [*self._actions, *self.news.due(at)]
        self._actions.clear()
        # A probe falls due between two ticks; the shell must be there.
        probes = (watch.probe_at for watch in self.watches.values())
        wait = min([self.limits.tick_seconds, *(each - at for each in probes)])
        self.health.due_at = now + max(wait, 0.001)
        return actions

    def _listen(self, now: float) -> float:
        return self.health.listening(now, self.limits.tick_seconds)

    def _watch_ourselves(self, at: float, now: float) -> None:
        watches = self.watches.values()
        silent, watched = out_of_sight(watches, at, self.limits)
        self.health.contacts(len(silent), len(watched), now)
        started = at - self.began_at >= self.limits.start_seconds
        isolated = started and reaches_nobody(watches, at, self.limits)
        if isolated:
            self._tell_of_isolation(at)
        if self.is_isolated and not isolated:
            self._floor_at = at  # Whom we could not hear has all the time again.
            self.news.rejoined(at - self.isolated_since, last_reached(watches))
        self.is_isolated = isolated

    def _tell_of_isolation(self, at: float) -> None:
        """Tell that we are alone when it begins, and again when that is no longer as planned."""
        watches = self.watches.values()
        planned = all(self.is_held(watch.peer) for watch in watches)
        # Whoever just came back reaches us before we reach it: that is no alarm.
        overdue = not planned and is_unheard(watches, at, self.limits)
        if not self.is_isolated:
            self.isolated_since, self.is_alone_by_plan = at, planned
            self.news.isolated(count_peers(watches), by_plan=planned)
        elif self.is_alone_by_plan and overdue:
            self.is_alone_by_plan = False
            self.news.isolated(count_peers(watches), by_plan=False)

    # ---- verdicts

    def _judge(self, watch: Watch, at: float) -> None:
        observers = self._who_misses(watch, at)
        if not self._is_doomed(watch, observers, at):
            watch.doomed_at = None
        elif watch.doomed_at is None:
            watch.doomed_at = at
        elif at - watch.doomed_at >= self.limits.stable_seconds:
            silent = watch.silent_seconds(at)
            watch.buried_by = observers
            watch.turn(PeerState.DEAD, at)
            self.news.died(watch, silent)

    def _is_doomed(self, watch: Watch, observers: tuple[str, ...], at: float) -> bool:
        if self.is_isolated or watch.state is PeerState.DEAD or watch.life is None:
            return False
        if self.is_held(watch.peer):
            return False
        bound = self.limits.silent_seconds * self.health.factor(self.health.seen_at)
        silent = min(watch.silent_seconds(at), at - self._floor_at)
        needed = 1 if len(self.watches) < 2 else 2
        missed = self.own_id in observers
        return missed and silent >= bound and len(observers) >= needed

    def _who_misses(self, watch: Watch, at: float) -> tuple[str, ...]:
        others = watch.observers(at, self.watches, self.limits)
        mine = watch.is_missed(self.limits)
        return (self.own_id, *others) if mine else tuple(others)

    # ---- probes

    def _probe(self, watch: Watch, at: float, now: float) -> None:
        factor = self.health.factor(now)
        if at >= watch.probe_at:
            watch.sent(at, self.limits)
            timeout = watch.timeout_seconds(self.limits, factor)
            self._actions.append(Probe(watch.peer, timeout))
        if watch.is_missed(self.limits) and watch.state is not PeerState.DEAD:
            self._ask_others(watch, at, factor)

    def _ask_others(self, watch: Watch, at: float, factor: float) -> None:
        if at - watch.asked_at < self.limits.ask_seconds:
            return
        watch.asked_at = at
        timeout = watch.timeout_seconds(self.limits, factor) * 2  # Two ways, one after another.
        for via in helpers(self.watches.values(), watch):
            self._actions.append(Ask(via, watch.peer, timeout))
        watch.asks += ASKED_AT_ONCE

    # ---- what is said

    def state(self, peer: str) -> PeerState:
        """What the last tick made of a peer; unknown also for one that nobody watches."""
        watch = self.watches.get(peer)
        return watch.state if watch else PeerState.UNKNOWN

    def verdicts(self, now: float) -> list[Verdict]:
        """Every peer with its state and the evidence, by name."""
        at = self._listen(now)
        return [self._verdict(self.watches[peer], at) for peer in sorted(self.watches)]

    def _verdict(self, watch: Watch, at: float) -> Verdict:
        dead = watch.state is PeerState.DEAD
        return watch.verdict(at, watch.buried_by if dead else self._who_misses(watch, at))

    def next_life(self) -> Life:
        """A new moment of our life, to be sent with an answer or a request."""
        self.beat += 1
        return Life(self.instance, self.incarnation, self.beat)

    def next_row(self, now: float, wall_ms: int = 0) -> Row:
        """What we say now of ourselves and of every peer that has told its id."""
        return self._row(now, wall_ms, self.next_life())

    def _row(self, now: float, wall_ms: int, life: Life) -> Row:
        named = [each for each in self.verdicts(now) if NAME.fullmatch(each.peer)]
        health = round(self.health.factor(now), 2)
        return Row(
            self.own_id,
            life.instance,
            life.incarnation,
            life.beat,
            [entry_of(each) for each in named[:PEERS_MAX]],
            health,
            isolated=self.is_isolated,
            wall_ms=wall_ms,
        )

    def matrix(self, now: float, wall_ms: int = 0) -> Matrix:
        """The rows of all hubs as they are known here, our own among them."""
        at = self._listen(now)
        own = self._row(now, wall_ms, Life(self.instance, self.incarnation, self.beat))
        seen = [SeenRow(row, at - heard_at) for row, heard_at in self._rows.values()]
        return Matrix(tuple(sorted([SeenRow(own, 0.0), *seen], key=lambda each: each.row.hub)))
