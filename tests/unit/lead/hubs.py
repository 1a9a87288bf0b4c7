"""One election machine in the hands of a test: others are played, and so is the disk."""

from random import Random
from typing import Any

from hub.lead.action import Action, Reply, Save, Send
from hub.lead.election import Election
from hub.lead.messages import Answer, Ask
from hub.lead.model import Ballot, Members, Tell, Timing

THREE = Members(("hub-1", "hub-2", "hub-3"))
START = 100.0


def machine(
    hub_id: str = "hub-1", ballot: Ballot | None = None, now: float = START, **timing: Any
) -> Election:
    """A hub that has just started."""
    return Election(hub_id, ballot or Ballot(THREE), Timing(**timing), now, Random(1))


def settled(election: Election, now: float, actions: list[Action]) -> list[Action]:
    """The actions and all that follow, with a disk that takes everything at once."""
    done: list[Action] = []
    while actions:
        done += actions
        saves = [action.ballot for action in actions if isinstance(action, Save)]
        actions = election.saved(now, saves[0]) if saves else []
    return done


def sends(actions: list[Action], kind: str) -> list[Send]:
    """What is sent of one kind."""
    return [each for each in actions if isinstance(each, Send) and each.ask.kind == kind]


def told(actions: list[Action]) -> list[str]:
    """The names of the events."""
    return [action.name for action in actions if isinstance(action, Tell)]


def answer_of(actions: list[Action]) -> Answer:
    """The one answer."""
    (found,) = [action.answer for action in actions if isinstance(action, Reply)]
    return found


def agree(election: Election, now: float, asked: list[Send], *hubs: str) -> list[Action]:
    """Let these hubs say yes to what was sent to them."""
    done: list[Action] = []
    for send in asked:
        if send.to in hubs:
            ask = send.ask
            term = ask.term - (ask.kind == "pre-vote")
            yes = Answer(send.to, term, granted=True, held=ask.members.stamp)
            done += settled(election, now, election.on_answer(now, send, yes))
    return done


def elected(now: float = START, *, with_lease: bool = True) -> tuple[Election, float]:
    """hub-1, elected by hub-2, and the time."""
    election = machine(now=now)
    now = election.due_at()
    asked = sends(settled(election, now, election.tick(now)), "pre-vote")
    votes = sends(agree(election, now, asked, "hub-2"), "vote")
    beats = sends(agree(election, now, votes, "hub-2"), "beat")
    if with_lease:
        agree(election, now, beats, "hub-2")
        assert election.is_leading(now)
    return election, now


def vote_ask(sender: str, term: int, kind: Any = "vote", **changes: Any) -> Ask:
    """Somebody stands for election."""
    return Ask(kind, sender, term, **{"members": THREE, **changes})


def beat(sender: str, term: int) -> Ask:
    """A beat of the leader of a term."""
    return Ask("beat", sender, term, Members(THREE.hubs, term))
