"""A push conversation with a model log, model hubs and a wire that is as unkind as a test wants."""

import math
from dataclasses import dataclass, field
from random import Random

from edge.batch import PushLimits
from edge.conversation import DOUBT_SECONDS, Conversation
from edge.hubs import Hubs, HubView
from edge.lineage import Claim, to_look_up
from edge.push import Bury, Item, NewEpoch, Next, Send, Split, Taken, Turned, Verdict, Wait
from shared.backoff import Backoff
from shared.ranges import Ranges, of_seqs
from tests.law.push_flight import Flight
from tests.law.push_hub import ModelHub
from tests.law.push_log import Key, Model, ModelLog

LATENCY_SECONDS = 0.01


@dataclass
class World:
    """Everything around one conversation. Each method keeps the laws that it can see."""

    hubs: list[ModelHub]
    rng: Random
    log: ModelLog = field(default_factory=ModelLog)
    now: float = 100.0
    flights: list[Flight] = field(default_factory=list)
    beats: list[tuple[ModelHub, Claim]] = field(default_factory=list)
    contents: dict[int, tuple[Model, ...]] = field(default_factory=dict)
    hashes: dict[Key, bytes] = field(default_factory=dict)
    """Of what has been pushed: an edge remembers it when the chunk is gone."""
    ever_safe: set[tuple[str, int, bytes]] = field(default_factory=set)
    gone: list[Model] = field(default_factory=list)
    told: dict[str, set[Key]] = field(default_factory=dict)
    lost: dict[Key, float] = field(default_factory=dict)
    """Since when a hub may hold a chunk and the edge cannot know."""
    asked_until: dict[str, float] = field(default_factory=dict)
    """The time that hubs have asked for, and the edge has heard of it."""
    excused: set[int] = field(default_factory=set)
    """Records that may be there twice: they arrived, and nobody could tell the edge for long."""
    lanes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.known = Hubs("edge-1")
        self.known.learn(hub.url for hub in self.hubs)
        self.talk = Conversation(self.known, self.rng, backoff=Backoff(1.0, 300.0))
        self.told = {hub.url: set() for hub in self.hubs}

    # ---- one turn of the shipper

    def observe(self) -> None:
        """Tell the conversation what the log holds."""
        self.talk.observe(self.log.stock)

    def work(self) -> Wait:
        """Do all that is to do now; returns the wait."""
        for _ in range(300):
            self.observe()
            step = self.talk.next_step(self.now)
            if isinstance(step, Wait):
                again = self.talk.next_step(self.now)
                assert again == step, "after a wait, the same moment brings nothing new"
                self._check_wait(step)
                return step
            self._do(step)
        raise AssertionError("a busy loop: three hundred steps and no wait")

    def _check_wait(self, step: Wait) -> None:
        if step.until is not None:
            assert self.now < step.until <= self.now + 3600 + 300 + 1
        elif not self.flights:
            # A hub that allows no backlog at all is heard again with the next heartbeat.
            is_held = any(view.credit.bytes_per_s == 0 for view in self.known.views.values())
            assert is_held or not self.talk.pending(self.now), "it waits for ever, with work left"

    def _do(self, step: Send | Split | Bury | NewEpoch) -> None:
        match step:
            case Send():
                self._send(step)
            case Split(seq, _):
                assert len(self.log.chunks[seq].records) > 1
                self._check_end(self.log.split(seq))
                self.talk.on_settled(seq)
            case Bury(seq, _):
                self._check_end(self.log.bury(seq))
                self.talk.on_settled(seq)
            case NewEpoch(_, keep):
                self._begin_life(keep)

    def _send(self, step: Send) -> None:
        hub = next(each for each in self.hubs if each.url == step.hub_url)
        view = self.known.views[hub.url]
        self._check_order(step, view)
        chunks = self.log.read(step.wanted, step.bytes_max)
        if step.batch in self.contents:
            chunks = list(self.contents[step.batch])
            assert of_seqs(chunk.seq for chunk in chunks) == step.wanted, "a batch stays what it is"
        items = [Item(each.seq, len(each.records), each.stored_bytes) for each in chunks]
        seconds_max = self.talk.on_read(step.batch, items, self.now)
        if seconds_max is not None:
            assert 10 <= seconds_max <= 3600
            self.contents.setdefault(step.batch, tuple(chunks))
            self.hashes.update((chunk.key, chunk.hash) for chunk in chunks)
            self.lanes.append(step.lane.value)
            flight = Flight(step, hub, view, chunks, self.now, seconds_max, self.log.epoch)
            self.flights.append(flight)

    def _check_order(self, step: Send, view: HubView) -> None:
        """A hub's wish for time is heard, and alerts never wait while something else goes."""
        assert self.now >= self.asked_until.get(view.url, 0.0), "the hub asked for time"
        if step.lane.value != "alerts":
            stock = self.log.stock
            alerts = (stock.seqs & stock.alerts) - self.known.accepted() - self.known.safe()
            alerts = alerts - self.talk.batches.wanted()
            going = any(flight.step.lane.value == "alerts" for flight in self.flights)
            assert going or not alerts

    def _check_end(self, chunk: Model) -> None:
        """A chunk is split or buried when each hub that answers has refused it, and not in doubt."""
        others = [hub for hub in self.hubs if chunk.key not in hub.refused]
        refusals = len(self.hubs) - len(others)
        assert refusals, "nobody has refused it"
        if refusals < PushLimits().refusals_max:
            heard = [hub.url for hub in others if self.known.views[hub.url].is_answering]
            assert not heard, "somebody answers, and may have taken it"
        if any(hub.holds(chunk) for hub in self.hubs):
            doubted_since = self.lost.get(chunk.key, math.inf)
            assert self.now >= doubted_since + DOUBT_SECONDS, "given up too soon: a hub has it"
            self.excused.update(chunk.records)

    def _begin_life(self, keep: Ranges) -> None:
        assert not self.flights
        former = self.log.epoch
        for seq in keep & self.log.stock.seqs:
            chunk = self.log.chunks[seq]
            key = (former, seq)
            assert all(key not in told for told in self.told.values()), "a hub said it has this"
            if any(hub.holds(chunk) for hub in self.hubs):
                self.excused.update(chunk.records)  # It arrived, and its answer was lost.
        self.known.forget_log()
        for chunk in self.log.new_epoch(keep):
            is_held = any(hub.holds(chunk) for hub in self.hubs)
            assert is_held, "what is not written again is on a hub"
            self.gone.append(chunk)

    # ---- the network

    def deliver(self, flight: Flight) -> None:
        """Let a push arrive; its answer is on its way."""
        if flight.answer is None:
            flight.answer = flight.hub.take(flight.chunks, self.now)
            flight.claim = flight.hub.claim(flight.epoch, flight.asked_at, self.hubs)
            self._note_safe()

    def answer(self, flight: Flight) -> None:
        """Let the answer to a push arrive, or the time for it pass."""
        self.deliver(flight)
        self.flights.remove(flight)
        answer, seconds = flight.answer, max(self.now - flight.asked_at, LATENCY_SECONDS)
        assert answer is not None
        number = flight.step.batch
        if flight.hub.loses_replies and flight.hub.is_up:
            self._lose(flight)
            answer = Verdict(Next.NEXT_HUB, "connection reset")
        if isinstance(answer, Verdict):
            self._note_wish(flight.view.url, answer)
            self.talk.on_reply(Turned(number, answer, seconds), self.now)
            return
        self.talk.on_reply(Taken(number, answer, seconds, flight.hub.credit), self.now)
        self.told[flight.hub.url] |= {(flight.epoch, each.seq) for each in answer if each.held}
        assert flight.claim is not None
        self._weigh(flight.view, flight.claim)

    def _lose(self, flight: Flight) -> None:
        for chunk in flight.chunks:
            self.lost.setdefault(chunk.key, self.now)

    def _note_wish(self, url: str, verdict: Verdict) -> None:
        if verdict.retry_after_seconds is not None:
            asked_until = self.now + verdict.retry_after_seconds
            self.asked_until[url] = max(self.asked_until.get(url, 0.0), asked_until)

    def ask(self, hub: ModelHub) -> None:
        """Send a heartbeat to a hub; its answer is on its way."""
        if hub.is_up:
            self.beats.append((hub, hub.claim(self.log.epoch, self.now, self.hubs)))
        else:
            view = self.known.views[hub.url]
            self.known.beat_failed(view, self.now, "no answer", Backoff(0.5, 10.0), self.rng)

    def hear(self, hub: ModelHub, claim: Claim) -> None:
        """Let the answer to a heartbeat arrive."""
        view = self.known.views[hub.url]
        self.known.beat_answered(view, self.now, claim, hub.credit, self.rng)
        view.claim = None
        self._weigh(view, claim)

    def _weigh(self, view: HubView, claim: Claim) -> None:
        self.observe()
        own = {seq: self._hash_of(seq) for seq in to_look_up(claim, self.log.head_seq)}
        self.talk.on_claim(view, claim, own, self.now)

    def _hash_of(self, seq: int) -> bytes | None:
        return self.hashes.get((self.log.epoch, seq)) or self.log.hash_of(seq)

    # ---- the log and the hubs

    def release(self) -> None:
        """Forget what is safe: it must have been on enough disks at some time."""
        self.observe()
        for seq in self.known.safe() & self.log.stock.seqs:
            chunk = self.log.chunks.pop(seq)
            assert (chunk.epoch, seq, chunk.hash) in self.ever_safe, "released before it was safe"
            self.gone.append(chunk)

    def replicate(self) -> None:
        """Let hubs that are up give each other what they lack, as far as the chains allow."""
        up = [hub for hub in self.hubs if hub.is_up]
        for giver in up:
            for taker in up:
                taker.replicate_from(giver)
        self._note_safe()

    def _note_safe(self) -> None:
        wanted = min(2, len(self.hubs))
        for hub in self.hubs:
            for chunk in hub.disk.values():
                if sum(each.holds(chunk) for each in self.hubs) >= wanted:
                    self.ever_safe.add((*chunk.key, chunk.hash))

    def may_lose(self, hub: ModelHub) -> bool:
        """Whether this disk holds nothing that is nowhere else and that was called safe or left to it."""
        others = [each.disk for each in self.hubs if each is not hub]
        promised = {(chunk.epoch, chunk.seq, chunk.hash) for chunk in self.gone} | self.ever_safe
        return all(
            any((epoch, seq) in disk and disk[epoch, seq].hash == digest for disk in others)
            for epoch, seq, digest in promised
        )

    def lose_disk(self, hub: ModelHub) -> None:
        """Come back with nothing; of copies elsewhere the edge need not have heard."""
        self.lost.update(dict.fromkeys(hub.disk, -math.inf))
        hub.disk.clear()
        self.told[hub.url].clear()

    # ---- the end

    def come_to_rest(self) -> None:
        """Good weather, until the log is empty."""
        for hub in self.hubs:
            hub.is_up, hub.status, hub.loses_replies, hub.credit = True, 200, False, None
            hub.retry_after = None
        for _ in range(400):
            wait = self.work()
            for flight in [*self.flights]:
                self.answer(flight)
            self.replicate()
            self.beat_all()
            self.release()
            if not self.log.chunks:
                return
            later = self.now + 5.0 if wait.until is None else wait.until
            self.now = max(self.now + LATENCY_SECONDS, min(later, self.now + 5.0))
        raise AssertionError(f"no rest: {self.log.stock}, {self.talk.last_error}")

    def beat_all(self) -> None:
        """A heartbeat to every hub, and its answer."""
        for hub in self.hubs:
            self.ask(hub)
        beats, self.beats = self.beats, []
        for hub, claim in beats:
            self.hear(hub, claim)

    def judge(self) -> None:
        """Every record is at a hub exactly once, or a dead letter, and none is both."""
        chunks = {chunk.hash: chunk for hub in self.hubs for chunk in hub.ours()}
        arrived = [record for chunk in chunks.values() for record in chunk.records]
        for record in range(self.log.made):
            times, buried = arrived.count(record), self.log.dead.count(record)
            assert times + buried >= 1, f"record {record} is lost"
            assert times + buried == 1 or record in self.excused, f"record {record} is there twice"
