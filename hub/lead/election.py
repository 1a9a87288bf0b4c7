"""Leadership by majority: terms and votes as in Raft, without its log. A machine, no clock, no network.

Each step returns what the caller must do, in order. A `Save` comes first, and nothing after it may
leave before it is on disk. Source: Ongaro, "Consensus: bridging theory and practice" (2014), 3.4
elections, 3.10 leader transfer, 4.1 members, 4.2.3 and 6.4 lease and check-quorum, 9.6 pre-vote.
"""

from collections.abc import Collection
from random import Random

from hub.lead.action import Action, Send
from hub.lead.backing import NEVER, Backing
from hub.lead.messages import Answer, Ask
from hub.lead.model import (
    Ballot,
    Members,
    Role,
    Timing,
)
from hub.lead.spoken import Spoken
from hub.lead.standing import Standing
from hub.lead.voting import (
    Promise,
    changed_members,
    is_absurd,
    no_successor,
    vote_refusal,
)
from shared.errors import Refused


class Election(Spoken):
    """One hub's part in electing a leader.

    A hub that starts keeps to a leader it may have forgotten, for one time-out. A process that was
    frozen may act for a moment on a lease that has ended; that is what the fencing number is for.
    """

    def __init__(
        self, hub_id: str, ballot: Ballot, timing: Timing, now: float, rng: Random
    ) -> None:
        super().__init__(hub_id, ballot)
        self._timing = timing
        self._rng = rng
        self._promise = Promise(now + timing.timeout_seconds_min, ballot.term)
        self._votes: set[str] = set()
        self._backing = Backing(NEVER, timing.lease_seconds)
        self._beat_at = NEVER
        self._stand_at = now + self._timeout_seconds()

    # ---- what others may know

    def is_leading(self, now: float) -> bool:
        """Whether this hub may act alone now: nobody else can, as long as clocks keep their pace."""
        return self.role is Role.LEADER and now < self._backing.until

    def due_at(self) -> float:
        """When `tick` has something to do."""
        if self.role is Role.LEADER:
            return min(self._beat_at, self._backing.lapses_at)
        return self._stand_at

    def standing(self, now: float) -> Standing:
        """The standing at this moment."""
        is_leading = self.is_leading(now)
        followers = self._followers(now) if is_leading else set()
        left = self._backing.until - now if is_leading else None
        return Standing(
            self.hub_id, self.role, self.ballot, self.leader, left, tuple(sorted(followers))
        )

    # ---- steps

    def tick(self, now: float) -> list[Action]:
        """Do what is due."""
        self._lapse(now)
        if self.role is Role.LEADER and now >= self._beat_at:
            self._beat(now)
        elif self.role is not Role.LEADER and now >= self._stand_at:
            self._ask_around(now)
        return self._flush()

    def saved(self, now: float, ballot: Ballot) -> list[Action]:
        """A ballot is on disk: only now this hub counts for itself."""
        self._durable = ballot
        if self.role is Role.CANDIDATE and ballot == self.ballot:
            self._count(self.hub_id, now)
        elif self.role is Role.LEADER:
            self._renew(now)
        return self._flush()

    def on_ask(self, now: float, ask: Ask) -> list[Action]:
        """Answer another hub: one Reply, after whatever must be saved before it."""
        self._lapse(now)
        if is_absurd(ask.term, self.ballot):
            self._reply(f"term {ask.term} is too far ahead of {self.term}")
        elif ask.kind == "beat":
            self._follow(now, ask)
        elif ask.kind == "take-over":
            self._take_over(now, ask)
        elif ask.kind == "step-down":
            self._step_down_as_asked(now, ask)
        else:
            self._vote(now, ask)
        return self._flush()

    def on_answer(self, now: float, send: Send, answer: Answer) -> list[Action]:
        """Take in the answer to something sent; those that come too late change nothing."""
        self._lapse(now)
        ask = send.ask
        if answer.sender != send.to or is_absurd(answer.term, self.ballot):
            return self._flush()
        if answer.term > self.term:
            self._adopt(now, answer.term, f"{answer.sender} knows a later term")
        if answer.granted and ask.kind == "pre-vote" and ask.term == self.term + 1:
            self._count_willing(answer.sender, now)
        elif answer.granted and ask.kind == "vote" and ask.term == self.term:
            self._count(answer.sender, now)
        elif answer.granted and ask.kind == "beat" and ask.term == self.term:
            self._hear_follower(send, answer, now)
        return self._flush()

    def step_down(self, now: float, target: str = "") -> list[Action]:
        """Stop acting now and hand over to `target`, or to who answered last; raises Refused.

        This hub does not stand again for a while, but votes.
        """
        if not self.is_leading(now):
            raise Refused(f"{self.hub_id} does not lead; {self.leader or 'nobody it hears'} does")
        followers = self._followers(now)
        chosen = target or max(
            followers, key=lambda hub: (self._backing.answered[hub], hub), default=""
        )
        if chosen not in followers:
            raise Refused(no_successor(chosen, self.hub_id, self.members))
        self._stop(now, f"handed over to {chosen}")
        self._stand_at = now + 2 * self._timing.timeout_seconds_max
        self._send(chosen, "take-over", self.term, now)
        return self._flush()

    def change_members(self, now: float, hubs: Collection[str]) -> list[Action]:
        """Add or remove one hub, as the leader; raises Refused.

        The next change waits until a majority has this one on disk.
        """
        if not self.is_leading(now):
            raise Refused(
                f"members are changed at the leader, {self.leader or 'and there is none'}"
            )
        if len(self._backing.settled & set(self.members.hubs)) < self._majority():
            raise Refused("the members are just being agreed on: try again in a second")
        members = changed_members(self.members, hubs, self.hub_id, self.term)
        self._change(members=members)
        self._backing.settled.clear()
        self._beat(now)
        return self._flush()

    # ---- standing for election

    def _ask_around(self, now: float) -> None:
        self._set_leader("", "no beat was heard in time")
        if self.hub_id not in self.members.hubs:
            self._stand_at = now + self._timeout_seconds()
            return
        self._become(Role.ASKING, "no leader is heard")
        wait = self._timing.ask_again_seconds
        self._stand_at = now + self._rng.uniform(wait, 2 * wait)
        self._votes = set()
        self._send_all("pre-vote", self.term + 1, now)
        self._count_willing(self.hub_id, now)

    def _count_willing(self, hub_id: str, now: float) -> None:
        if self.role is not Role.ASKING or hub_id not in self.members.hubs:
            return
        self._votes.add(hub_id)
        if len(self._votes) >= self._majority():
            self._stand(now)

    def _stand(self, now: float) -> None:
        self._become(Role.CANDIDATE, "a majority is willing")
        self._change(term=self.term + 1, vote=self.hub_id)
        self._votes = set()  # The own vote counts once it is on disk.
        shortest = self._timing.timeout_seconds_min
        self._stand_at = now + self._rng.uniform(shortest / 2, shortest)
        self._send_all("vote", self.term, now)

    def _count(self, hub_id: str, now: float) -> None:
        if self.role is not Role.CANDIDATE or hub_id not in self.members.hubs:
            return
        self._votes.add(hub_id)
        if len(self._votes) >= self._majority():
            self._win(now)

    def _win(self, now: float) -> None:
        # The members get this term's stamp: later they outrank every list that was not agreed on.
        self._change(members=Members(self.members.hubs, self.term))
        self._become(Role.LEADER, "elected by a majority")
        self._backing = Backing(now, self._timing.lease_seconds)
        self._beat(now)

    def _take_over(self, now: float, ask: Ask) -> None:
        is_mine = ask.term == self.term and self.role is not Role.LEADER
        if not is_mine or self.hub_id not in self.members.hubs:
            self._reply("this hub cannot take over that term")
            return
        self._released = ask.term
        self._set_leader("", f"{ask.sender} has stepped down")
        self._stand(now)
        self._reply()

    # ---- leading

    def _beat(self, now: float) -> None:
        self._beat_at = now + self._timing.beat_seconds
        self._send_all("beat", self.term, now)
        self._renew(now)

    def _hear_follower(self, send: Send, answer: Answer, now: float) -> None:
        if self.role is not Role.LEADER:
            return
        has_members = answer.held == self.members.stamp
        self._backing.hear(send.to, send.at, has_members=has_members)
        self._renew(now)

    def _renew(self, now: float) -> None:
        if self._is_durable():
            self._backing.hear(self.hub_id, now, has_members=True)
        self._backing.renew(self.members.hubs, self._majority())
        if self.is_leading(now):
            self._set_leader(self.hub_id, "a majority follows")

    def _lapse(self, now: float) -> None:
        if self.role is Role.LEADER and now >= self._backing.lapses_at:
            self._stop(now, "no majority answered within the lease")

    def _stop(self, now: float, reason: str) -> None:
        self._backing.until = NEVER
        self._become(Role.FOLLOWER, reason)
        self._set_leader("", reason)
        self._stand_at = now + self._timeout_seconds()

    def _followers(self, now: float) -> set[str]:
        others = set(self.members.hubs) - {self.hub_id}
        return self._backing.followers(now - self._timing.timeout_seconds_min, others)

    # ---- answering

    def _follow(self, now: float, ask: Ask) -> None:
        if ask.term < self.term:
            self._reply(f"term {ask.term} is over")
            return
        if self.role is Role.LEADER and ask.term == self.term:
            self._reply(f"{self.hub_id} leads term {self.term}: is another hub named so, too?")
            return
        if ask.term > self.term:
            self._adopt(now, ask.term, f"{ask.sender} leads")
        if ask.members.stamp > self.members.stamp:
            self._change(members=ask.members)
        self._become(Role.FOLLOWER, f"{ask.sender} leads")
        self._set_leader(ask.sender, f"{ask.sender} leads")
        self._promise = Promise(now + self._timing.timeout_seconds_min, self.term)
        self._stand_at = now + self._timeout_seconds()
        self._reply()

    def _vote(self, now: float, ask: Ask) -> None:
        refusal = vote_refusal(ask, self.ballot, self._promise, now)
        if not refusal and self.role is Role.LEADER and ask.released < self.term:
            refusal = f"{self.hub_id} leads"
        if refusal or ask.kind == "pre-vote":
            self._reply(refusal)
            return
        if ask.term > self.term:
            self._adopt(now, ask.term, f"{ask.sender} stands for election")
        self._change(vote=ask.sender)
        self._become(Role.FOLLOWER, f"{ask.sender} stands for election")
        self._stand_at = max(self._stand_at, now + self._timeout_seconds())
        self._reply()

    def _step_down_as_asked(self, now: float, ask: Ask) -> None:
        try:
            stopped = self.step_down(now, ask.target)
        except Refused as error:
            self._reply(str(error))
            return
        self._out += stopped  # Only now: step_down has taken what was there, and begun a new list.
        self._reply()

    # ---- small change

    def _adopt(self, now: float, term: int, reason: str) -> None:
        if self.role is Role.LEADER:
            self._stop(now, reason)
        elif self.role is Role.CANDIDATE:
            self._become(Role.ASKING, reason)
        self._set_leader("", reason)  # A term begins without a leader.
        self._change(term=term, vote="")

    def _timeout_seconds(self) -> float:
        return self._rng.uniform(self._timing.timeout_seconds_min, self._timing.timeout_seconds_max)

    def _majority(self) -> int:
        return self.members.majority
