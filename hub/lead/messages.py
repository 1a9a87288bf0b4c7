"""What hubs say to each other about leadership, as JSON: one question, one answer."""

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from hub.lead.model import HubId, Members, Term
from shared.errors import BadInput, TooLarge

MESSAGE_BYTES_MAX = 4096  # Nine names of 63 characters and some numbers.

Message = TypeVar("Message")
Kind = Literal["pre-vote", "vote", "beat", "take-over", "step-down"]


class Ask(msgspec.Struct, frozen=True):
    """A question or order of one hub to another.

    pre-vote: would you vote for me in `term`; vote: do so; beat: I lead `term`, go on following;
    take-over: I have stopped leading `term`, stand now; step-down: hand over, to `target` if named.
    `released` is a term whose leader has stopped for good, so that nobody need wait for its lease.
    """

    kind: Kind
    sender: HubId
    term: Term
    members: Members
    released: Term = 0
    target: Annotated[str, Meta(max_length=63)] = ""


class Answer(msgspec.Struct, frozen=True):
    """Yes or no with the reason; `term` is the latest the answerer knows, `held` its members' stamp."""

    sender: HubId
    term: Term
    granted: bool
    reason: Annotated[str, Meta(max_length=300)] = ""
    held: tuple[Term, Term] = (0, 0)


_asks = msgspec.json.Decoder(Ask)
_answers = msgspec.json.Decoder(Answer)


def write(message: Ask | Answer) -> bytes:
    """The message as JSON."""
    return msgspec.json.encode(message)


def read_ask(body: bytes) -> Ask:
    """Read a question; raises BadInput, and TooLarge before anything is built."""
    return _read(_asks, body)


def read_answer(body: bytes) -> Answer:
    """Read an answer; raises BadInput, and TooLarge before anything is built."""
    return _read(_answers, body)


def _read(decoder: "msgspec.json.Decoder[Message]", body: bytes) -> Message:
    if len(body) > MESSAGE_BYTES_MAX:
        raise TooLarge("a message about leadership", MESSAGE_BYTES_MAX)
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"the message about leadership cannot be read: {error}") from error
