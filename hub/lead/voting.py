"""Whether a hub gives its vote, and what a valid step of a hub's own ballot is. Pure judgements."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import msgspec

from hub.lead.messages import Ask
from hub.lead.model import Ballot, Members
from shared.errors import Refused

TRY_AGAIN = "try again in a second"
"""The end of a refusal that time alone mends."""

TERM_JUMP_MAX = 1_000_000
"""Terms go up by one; who is further ahead than years of elections would bring it, is broken."""


@dataclass(frozen=True, slots=True)
class Promise:
    """Until when, and since which term, a hub keeps to the leader that it hears."""

    until: float
    term: int

    def holds(self, now: float, ask: Ask) -> bool:
        """Whether the vote that is asked for must wait.

        When the leader of `released` stopped, all leases of it and of earlier terms had ended.
        """
        return now < self.until and ask.released < self.term


def vote_refusal(ask: Ask, ballot: Ballot, promise: Promise, now: float) -> str:
    """Why a vote or pre-vote is refused, empty when it is granted. The term is not yet adopted.

    Source: Ongaro, "Consensus: bridging theory and practice" (2014), 3.4, 4.2.3 and 9.6; the members
    take the place of the log, so that who has missed a change of them cannot be elected.
    """
    wanted = ballot.term + (ask.kind == "pre-vote")
    if ask.term < wanted:
        return f"term {ask.term} is over"
    if promise.holds(now, ask):
        return "a leader is heard here"
    if ballot.may_have_forgotten and ask.members.stamp > ballot.members.stamp:
        return "this hub may have forgotten a vote: it votes once it has heard the leader"
    if ask.members.stamp < ballot.members.stamp:
        return "the members have changed since"
    if ask.members.stamp == ballot.members.stamp and ask.members != ballot.members:
        return f"members differ: here they are {', '.join(ballot.members.hubs)}"
    if ask.kind == "vote" and ask.term == ballot.term and ballot.vote not in ("", ask.sender):
        return f"the vote of term {ask.term} went to {ballot.vote}"
    return ""


def is_absurd(ask_term: int, ballot: Ballot) -> bool:
    """Whether a term is so far ahead that taking it over would end the elections for good."""
    return ask_term > ballot.term + TERM_JUMP_MAX


def no_successor(wanted: str, leader: str, members: Members) -> str:
    """Why `wanted`, or anybody when it is empty, cannot take over from `leader` now."""
    if wanted == leader:
        return f"{leader} leads already"
    if wanted and wanted not in members.hubs:
        return f"no hub that votes is called {wanted}: they are {', '.join(members.hubs)}"
    who = f"{wanted} does not follow" if wanted else "no other hub follows"
    return f"{who} now, so nobody could take over: {TRY_AGAIN}"


def first_ballot(stored: Ballot | None, hubs: Sequence[str]) -> Ballot:
    """The ballot to start with: the stored one; the hubs of the settings only until a leader was
    heard, since later the members change by an explicit step alone."""
    configured = Members(tuple(sorted(set(hubs))))
    if stored is None:
        return Ballot(configured, unsure=True)
    if stored.members.stamp == (0, 0):
        return msgspec.structs.replace(stored, members=configured)
    return stored


def difference(ballot: Ballot, hubs: Sequence[str]) -> str:
    """One sentence when the members on disk are not those of the settings, else empty."""
    if set(hubs) == set(ballot.members.hubs):
        return ""
    return (
        f"lead_hubs names {', '.join(sorted(set(hubs)))}, but the members are "
        f"{', '.join(ballot.members.hubs)}: change them one at a time with "
        "`headwater peers members`"
    )


def changed_members(members: Members, hubs: Collection[str], leader: str, term: int) -> Members:
    """The next members; raises Refused unless they differ by one hub that is not the leader.

    By one only: majorities of neighbouring lists share a hub (Ongaro, 4.1).
    """
    wanted = tuple(sorted(set(hubs)))
    if len(set(wanted) ^ set(members.hubs)) != 1:
        raise Refused(f"members change by one hub at a time; they are {', '.join(members.hubs)}")
    if leader not in wanted:
        raise Refused(f"{leader} leads: let it step down before it leaves")
    number = members.number + 1 if members.term == term else 0
    return Members(wanted, term, number)
