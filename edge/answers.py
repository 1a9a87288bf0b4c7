"""What an answer to a push changes: the view of the hub, the batch, and what is suspected. Pure."""

from dataclasses import dataclass
from random import Random

from edge import lineage
from edge.batches import Batch, Batches
from edge.hubs import HubView
from edge.lineage import Renewal
from edge.push import (
    Next,
    Reply,
    Taken,
    Turned,
    Verdict,
    halves,
    is_about_a_clone,
    is_about_the_header,
)
from shared.backoff import Backoff, backoff_seconds
from shared.ranges import of_seqs
from shared.receipt import ChunkOutcome, Outcome

TOO_LARGE = "HTTP 413"


@dataclass(slots=True)
class Answers:
    """Takes note of answers. Nothing is let go of here but what a hub says that it holds."""

    batches: Batches
    renewal: Renewal
    backoff: Backoff
    rng: Random
    last_error: str = ""

    def take(self, batch: Batch, view: HubView, reply: Reply, now: float) -> None:
        """Take note of what a hub answered to a batch that was under way to it."""
        batch.view, batch.last_url = None, view.url
        view.circuit.end()
        reply = _complete(batch, reply)
        if isinstance(reply, Taken):
            self._taken(batch, view, reply, now)
        else:
            self._turned(batch, view, reply, now)

    def _taken(self, batch: Batch, view: HubView, reply: Taken, now: float) -> None:
        view.answered(now, self.rng)
        view.circuit.succeed()
        view.pace.answered(batch.size_bytes, reply.seconds)
        view.credit.grant(now, reply.credit_bytes_per_s)
        view.last_error = self.last_error = ""
        self.batches.close(batch)
        outcomes = [outcome for outcome in reply.outcomes if outcome.seq in batch.wanted]
        held = of_seqs(outcome.seq for outcome in outcomes if outcome.held)
        if held:
            view.belief = lineage.own_push(view.belief, held, now)
            self.renewal.accepted()
        for outcome in outcomes:
            if outcome.outcome is Outcome.REJECTED:
                self._rejected(batch, view, outcome)

    def _rejected(self, batch: Batch, view: HubView, outcome: ChunkOutcome) -> None:
        if is_about_a_clone(outcome.reason):
            self.renewal.suspect(outcome.reason)
            return
        item = next(each for each in batch.items if each.seq == outcome.seq)
        alone = self.batches.open(batch.lane, of_seqs([item.seq]), [item])
        alone.refused_by, alone.unsure = batch.refused_by, {**batch.unsure}
        alone.is_whole = batch.is_whole or is_about_the_header(outcome.reason)
        self._refused(alone, view, outcome.reason)

    def _refused(self, alone: Batch, view: HubView, reason: str) -> None:
        alone.refused_by = (*alone.refused_by, view.url)
        alone.reason = self.last_error = reason
        view.refused = view.refused | alone.wanted

    def _turned(self, batch: Batch, view: HubView, reply: Turned, now: float) -> None:
        verdict = reply.verdict
        view.last_error = self.last_error = verdict.reason
        if verdict.was_sent and verdict.next in (Next.NEXT_HUB, Next.BACK_OFF):
            batch.unsure.setdefault(view.url, now)
        match verdict.next:
            case Next.SPLIT:
                self._judged_bad(batch, view, verdict, now)
            case Next.WAIT:
                view.answered(now, self.rng)
                self._rest(view, verdict, now)
            case Next.REMOVED:
                view.lapsed(verdict.reason)
                view.circuit.fail(now, self.backoff, self.rng)
            case Next.DENIED:
                view.lapsed(verdict.reason)
                self._rest(view, verdict, now)
            case Next.BACK_OFF:
                self._unwell(batch, view, verdict, now)
            case _:
                self._silent(batch, view, reply, now)

    def _judged_bad(self, batch: Batch, view: HubView, verdict: Verdict, now: float) -> None:
        view.answered(now, self.rng)
        view.circuit.succeed()
        if len(batch.items) == 1:
            self._refused(batch, view, verdict.reason)
            return
        if verdict.reason.startswith(TOO_LARGE):
            view.pace.too_large(batch.size_bytes)
        self.batches.close(batch)
        first, _ = halves(len(batch.items))
        for items in (batch.items[:first], batch.items[first:]):
            self.batches.open(batch.lane, batch.wanted, items).unsure = {**batch.unsure}

    def _unwell(self, batch: Batch, view: HubView, verdict: Verdict, now: float) -> None:
        view.lapsed(verdict.reason)
        if verdict.retry_after_seconds is not None:
            self._rest(view, verdict, now)
        else:
            view.circuit.fail(now, self.backoff, self.rng)
        batch.not_before = now + backoff_seconds(batch.tries, self.backoff, self.rng)
        batch.tries += 1

    def _silent(self, batch: Batch, view: HubView, reply: Turned, now: float) -> None:
        if reply.seconds >= batch.seconds_max:
            view.pace.timed_out(batch.size_bytes, reply.seconds)
        view.lapsed(reply.verdict.reason)
        view.circuit.fail(now, self.backoff, self.rng)

    def _rest(self, view: HubView, verdict: Verdict, now: float) -> None:
        view.circuit.rest(now, verdict.retry_after_seconds, self.backoff, self.rng)


def _complete(batch: Batch, reply: Reply) -> Reply:
    """A receipt must speak of every chunk; one that does not is no receipt."""
    if isinstance(reply, Turned):
        return reply
    left_out = batch.wanted - of_seqs(outcome.seq for outcome in reply.outcomes)
    if not left_out:
        return reply
    reason = f"the receipt says nothing of chunk {left_out.first}"
    return Turned(batch.number, Verdict(Next.BACK_OFF, reason), reply.seconds)
