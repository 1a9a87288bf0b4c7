"""What a hub is in an election, as others see it: each change becomes an event, each word an action."""

from hub.lead.action import Action, Reply, Save, Send
from hub.lead.messages import Answer, Ask, Kind
from hub.lead.mode import Mode
from hub.lead.model import (
    LEADER_ELECTED,
    LEADER_LOST,
    STATE_CHANGED,
    TERM_CHANGED,
    Ballot,
    Members,
    Role,
    Tell,
)


class Spoken:
    """Gathers what is to be done, and puts the saving of a changed ballot in front of it."""

    def __init__(self, hub_id: str, ballot: Ballot) -> None:
        self.hub_id = hub_id
        self.ballot = ballot
        self.role = Role.FOLLOWER
        self.leader = ""
        self._durable = ballot
        self._released = 0
        self._out: list[Action] = []

    @property
    def term(self) -> int:
        """The latest term this hub knows; also the fencing number of who leads it."""
        return self.ballot.term

    @property
    def members(self) -> Members:
        """The hubs whose majority is wanted."""
        return self.ballot.members

    def _change(
        self, *, term: int | None = None, vote: str | None = None, members: Members | None = None
    ) -> None:
        held = self.ballot
        self.ballot = Ballot(
            members or held.members,
            held.term if term is None else term,
            held.vote if vote is None else vote,
            held.unsure and not vote,
        )
        if self.ballot.term != held.term:
            self._tell(TERM_CHANGED, f"from {held.term}")

    def _become(self, role: Role, reason: str) -> None:
        before, self.role = self.role, role
        if before.state != role.state:
            self._tell(STATE_CHANGED, reason)

    def _set_leader(self, leader: str, reason: str) -> None:
        if leader == self.leader:
            return
        if self.leader:
            self._tell(LEADER_LOST, reason)
        self.leader = leader
        if leader:
            self._tell(LEADER_ELECTED, reason)

    def _tell(self, name: str, reason: str) -> None:
        facts = {
            "hub": self.hub_id,
            "term": self.term,
            "mode": str(Mode.QUORUM),
            "state": self.role.state,
            "leader": self.leader,
            "reason": reason,
        }
        self._out.append(Tell(name, facts))

    def _reply(self, refusal: str = "") -> None:
        held = self.members.stamp
        self._out.append(Reply(Answer(self.hub_id, self.term, not refusal, refusal[:300], held)))

    def _send_all(self, kind: Kind, term: int, now: float) -> None:
        for hub in self.members.hubs:
            if hub != self.hub_id:
                self._send(hub, kind, term, now)

    def _send(self, to: str, kind: Kind, term: int, now: float) -> None:
        ask = Ask(kind, self.hub_id, term, self.members, self._released)
        self._out.append(Send(to, ask, now))

    def _is_durable(self) -> bool:
        return self._durable == self.ballot

    def _flush(self) -> list[Action]:
        save: list[Action] = [] if self._is_durable() else [Save(self.ballot)]
        out, self._out = self._out, []
        return save + out
