"""Pushing as a conversation: what to send to which hub next, given what was answered so far.

A pure machine: no input or output, no clock, luck handed in. `observe` tells it what the log holds,
`next_step` says what to do, `on_read` and `on_reply` tell it what came of that. Several pushes may be
under way at once. A chunk leaves the log by being safe or by `Bury`, and by nothing else here.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from random import Random

from edge import lineage
from edge.answers import Answers
from edge.batch import PushLimits
from edge.batches import Batch, Batches
from edge.circuit import Phase
from edge.hubs import Hubs, HubView
from edge.lanes import Boundary, Lane, LaneLimits, Reunion, Shares
from edge.lineage import Claim, Renewal
from edge.push import Bury, Item, NewEpoch, Reply, Send, Split, Step, Stock, Taken, Wait
from shared.backoff import Backoff
from shared.ranges import NOTHING, Ranges
from shared.records import KIB

CHUNK_BYTES_UNKNOWN = 16.0 * KIB  # Until chunks have been read.
WEIGHT = 0.1  # Of the newest batch in the mean size of a chunk.
PAUSE_SECONDS = 0.2  # When the log cannot give what it says it has.
DOUBT_SECONDS = 60.0  # A hub that restarts is back by then, and says whether it has the chunk.


class Conversation:
    """One edge's side of all its pushes."""

    def __init__(
        self,
        hubs: Hubs,
        rng: Random,
        limits: PushLimits | None = None,
        backoff: Backoff | None = None,
        lane_limits: LaneLimits | None = None,
    ) -> None:
        self._hubs, self._rng = hubs, rng
        self._limits, self._backoff = limits or PushLimits(), backoff or Backoff()
        lane_limits = lane_limits or LaneLimits()
        self.stock = Stock("", 0, NOTHING, NOTHING)
        self.batches = Batches(self._limits)
        self._renewal = Renewal()
        self._answers = Answers(self.batches, self._renewal, self._backoff, rng)
        self._shares = Shares(lane_limits.live_share)
        self._boundary = Boundary(lane_limits)
        self._reunion = Reunion(lane_limits)
        self._chunk_bytes = 0.0
        self._paused_until = -math.inf
        self._gathering_since: float | None = None

    @property
    def last_error(self) -> str:
        """Why the last push did not work; empty when it did."""
        return self._answers.last_error

    @property
    def _mean_bytes(self) -> float:
        return self._chunk_bytes or CHUNK_BYTES_UNKNOWN

    # ---- what it is told

    def observe(self, stock: Stock) -> None:
        """Take note of what the log holds now. A new epoch ends all that was said of the old one."""
        if stock.epoch != self.stock.epoch:
            self.batches.close_all()
            self._hubs.forget_log()
            self._boundary.forget()
            self._renewal.reborn()
        self.stock = stock
        self.batches.close_gone(stock.seqs)
        for view in self._hubs.views.values():
            if view.refused:
                view.refused = view.refused & stock.seqs

    def hurry(self, now: float) -> None:
        """End every wait that is our own; what a hub asked for stays."""
        for view in self._hubs.views.values():
            view.circuit.hear(now)
        for batch in self.batches.waiting():
            batch.not_before = min(batch.not_before, now)
        self._reunion.hurry(now)
        self._gathering_since = -math.inf

    def on_read(self, number: int, items: Sequence[Item], now: float) -> float | None:
        """What a batch holds, before it is sent: how long to wait for the answer, in seconds.

        None when there is nothing to send: the batch is then over.
        """
        batch = self.batches.get(number)
        if batch is None or batch.view is None:
            return None
        if not items:
            self.batches.close(batch)
            self._paused_until = max(self._paused_until, now + PAUSE_SECONDS)
            return None
        batch.seal(items)
        self._measure(batch.size_bytes / len(items))
        if batch.lane is not Lane.ALERTS:
            self._shares.charge(batch.lane, batch.size_bytes)
        if batch.lane is Lane.BACKLOG:
            batch.view.credit.spend(now, batch.size_bytes)
        batch.seconds_max = batch.view.pace.seconds_max(batch.size_bytes)
        return batch.seconds_max

    def _measure(self, chunk_bytes: float) -> None:
        weight = WEIGHT if self._chunk_bytes else 1.0
        self._chunk_bytes += weight * (chunk_bytes - self._chunk_bytes)

    def on_setback(self, now: float, seconds: float, reason: str) -> None:
        """The log could not do what it was asked to: leave it alone for a while."""
        self._answers.last_error = reason
        self._paused_until = max(self._paused_until, now + seconds)

    def on_settled(self, seq: int) -> None:
        """A chunk has been split or buried."""
        for batch in self.batches.refused():
            if seq in batch.wanted:
                self.batches.close(batch)

    def on_whole(self, seq: int) -> None:
        """A chunk turned out to be one that cannot be split."""
        for batch in self.batches.refused():
            batch.is_whole = batch.is_whole or seq in batch.wanted

    def on_reply(self, reply: Reply, now: float) -> None:
        """Take note of what became of a push; an answer to a push of a former life is no news."""
        batch = self.batches.get(reply.batch)
        if batch is None or batch.view is None:
            return
        view = batch.view
        self._answers.take(batch, view, reply, now)
        if isinstance(reply, Taken):
            self._reunion.meet(now, view.credit.bytes_per_s is not None, self._rng)

    def on_claim(
        self, view: HubView, claim: Claim, own: Mapping[int, bytes | None], now: float
    ) -> bool:
        """Weigh what a hub said that it holds; returns whether it has lost its disk.

        `own` has this log's hashes of what `lineage.to_look_up` names.
        """
        if claim.epoch != self.stock.epoch:
            return False
        # What is proven of a log that forked is proven all the same, and need not be written again.
        view.belief, is_lost = lineage.weigh(claim, own, view.belief, now)
        conflict = lineage.conflict(claim, own, self.stock.head_seq)
        if conflict:
            self._renewal.suspect(conflict)
        return is_lost and not conflict

    # ---- what to do

    def next_step(self, now: float) -> Step:
        """What to do now. Asked again at the same time after a Wait, it says Wait again."""
        self._boundary.mark(now, self.stock.head_seq)
        if now < self._paused_until:
            return Wait(self._paused_until)
        if self._renewal.conflict:
            return self._part_with_the_past(now)
        return self._settle(now) or self._push(now) or Wait(self._wake_at(now))

    def _part_with_the_past(self, now: float) -> Step:
        if self.batches.under_way():
            return Wait(None)  # What still arrives need not be written again.
        due_at = self._renewal.due_at(now, self._backoff, self._rng)
        if now < due_at:
            return Wait(due_at)
        beliefs = (view.belief for view in self._hubs.views.values())
        return NewEpoch(self._renewal.conflict, self._renewal.keep(beliefs))

    def _settle(self, now: float) -> Step | None:
        """Give up a chunk that every hub refuses which answers now."""
        for batch in self.batches.refused():
            if not batch.wanted - self._hubs.accepted() - self._hubs.safe():
                self.batches.close(batch)  # Another hub has it all the same.
            elif not self._is_in_doubt(batch, now) and not self._may_yet_be_taken(batch):
                item = batch.items[0]
                is_one = batch.is_whole or item.records <= 1
                return (Bury if is_one else Split)(item.seq, batch.reason)
        return None

    def _is_in_doubt(self, batch: Batch, now: float) -> bool:
        """Whether a hub may have it whose answer was lost a moment ago: it would be there twice."""
        unsure = [since for url, since in batch.unsure.items() if url not in batch.refused_by]
        return any(now < since + DOUBT_SECONDS for since in unsure)

    def _may_yet_be_taken(self, batch: Batch) -> bool:
        if len(batch.refused_by) >= self._limits.refusals_max:
            return False
        views = self._hubs.views.values()
        return any(view.is_answering and view.url not in batch.refused_by for view in views)

    def _push(self, now: float) -> Send | None:
        """Alerts first, then what has been tried before, then what is new."""
        waiting = self.batches.waiting()
        alerts = [batch for batch in waiting if batch.lane is Lane.ALERTS]
        others = [batch for batch in waiting if batch.lane is not Lane.ALERTS]
        best = self._best(now)
        if best is None:
            return self._again(alerts, now) or self._again(others, now)
        return (
            self._again(alerts, now)
            or self._alerts(best)
            or self._again(others, now)
            or self._ordinary(best, now)
        )

    def _best(self, now: float) -> HubView | None:
        best = next(self._open_hubs(now), None)
        if best is not None and best.is_answering:
            self._reunion.meet(now, best.credit.bytes_per_s is not None, self._rng)
        return best

    def _open_hubs(self, now: float) -> Iterator[HubView]:
        return (view for view in self._hubs.order(now) if view.circuit.allows(now))

    def _again(self, waiting: Sequence[Batch], now: float) -> Send | None:
        """The next attempt of a batch that hubs have not judged yet."""
        for batch in waiting:
            view = self._hub_for(batch, now)
            if view is None:
                continue
            if not batch.wanted - self._held_by(view):
                self.batches.close(batch)  # It has arrived there by another way.
            elif batch.lane is not Lane.BACKLOG or self._backlog_at(view, now) <= now:
                return self.batches.send(batch, view, batch.size_bytes)
        return None

    def _hub_for(self, batch: Batch, now: float) -> HubView | None:
        if now < batch.not_before:
            return None
        open_views = [view for view in self._open_hubs(now) if view.url not in batch.refused_by]
        # The hub that failed last is asked after the others.
        return min(open_views, key=lambda view: view.url == batch.last_url, default=None)

    def _alerts(self, view: HubView) -> Send | None:
        alerts = self.stock.seqs & self.stock.alerts
        if not alerts or not self.batches.has_room_for_alerts():
            return None
        alerts = alerts - self._held_by(view) - self.batches.wanted()
        if not alerts:
            return None
        size = view.pace.bytes_target(self._limits.alert_bytes_max)
        return self.batches.send(self.batches.open(Lane.ALERTS, alerts), view, size)

    def _ordinary(self, view: HubView, now: float) -> Send | None:
        pending = self.stock.seqs - self._held_by(view) - self.batches.wanted() - self.stock.alerts
        self._boundary.look(now, pending, self.stock.head_seq, self._mean_bytes)
        waiting = self._waiting(view, pending, now)
        if not waiting or not self.batches.has_room(view):
            return None
        lane = self._shares.choose(waiting)
        if lane is Lane.LIVE:
            self._gathering_since = None
        is_probe = view.circuit.phase(now) is Phase.HALF_OPEN
        bytes_max = self._limits.probe_bytes_max if is_probe else self._limits.bytes_target
        batch = self.batches.open(lane, waiting[lane])
        return self.batches.send(batch, view, view.pace.bytes_target(bytes_max))

    def _waiting(self, view: HubView, pending: Ranges, now: float) -> dict[Lane, Ranges]:
        """What each lane may send now."""
        backlog, live = self._boundary.part(pending)
        waiting: dict[Lane, Ranges] = {}
        if not live:
            self._gathering_since = None
        elif self._is_worth_it(live, now):
            waiting[Lane.LIVE] = live
        if backlog and self._backlog_at(view, now) <= now:
            waiting[Lane.BACKLOG] = backlog
        return waiting

    def _is_worth_it(self, live: Ranges, now: float) -> bool:
        """Whether to push now what there is, or to give more data a moment to arrive."""
        if self._gathering_since is None:
            self._gathering_since = now
        is_much = live.count * self._mean_bytes >= self._limits.bytes_before_push
        return is_much or now >= self._gathering_since + self._limits.linger_seconds

    def _held_by(self, view: HubView) -> Ranges:
        """What need not be sent to a hub: it has it, it is safe, or it refuses what another has."""
        done = view.have | self._hubs.safe()
        return done | (view.refused & self._hubs.accepted()) if view.refused else done

    def pending(self, now: float) -> Ranges:
        """What the hub we would push to does not have yet and nobody calls safe."""
        order = self._hubs.order(now)
        return self.stock.seqs - self._held_by(order[0]) if order else self.stock.seqs

    # ---- when

    def _backlog_at(self, view: HubView, now: float) -> float:
        return max(view.credit.ready_at(now), self._reunion.backlog_from)

    def _wake_at(self, now: float) -> float | None:
        """The next time at which anything might be different without any news."""
        if not self.stock.seqs:
            return None
        later = [moment for moment in self._moments(now) if now < moment < math.inf]
        return min(later, default=None)

    def _moments(self, now: float) -> Iterator[float]:
        if self._gathering_since is not None:
            yield self._gathering_since + self._limits.linger_seconds
        for batch in self.batches.waiting():
            yield batch.not_before
            yield from (since + DOUBT_SECONDS for since in batch.unsure.values())
        has_backlog = any(batch.lane is Lane.BACKLOG for batch in self.batches.waiting())
        for view in self._hubs.views.values():
            yield view.circuit.ready_at
            if has_backlog or self._boundary.seq:
                yield self._backlog_at(view, now)
            if view.returns_at is not None:
                yield view.returns_at
