"""The question "do you live?" between hubs, its answer, and asking it through a third hub. Rules only.

A question may name a hub that the asked one is to probe in turn; its answer then says what it heard.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from hub.peering.detect_row import Incarnation, Name, Number, Short
from hub.peering.detect_values import Failure, Life
from shared.errors import BadInput, HeadwaterError, Unreachable
from shared.readers import NAME

PROBE_BYTES_MAX = 4096
TIMEOUT_SECONDS_MAX = 16.0
"""What a hub that is asked to probe another spends on it at most."""


class Sign(msgspec.Struct, frozen=True):
    """A sign of life: which hub, and which moment of its life."""

    hub: Name
    instance: Short
    incarnation: Incarnation
    beat: Number

    @property
    def life(self) -> Life:
        """The moment, as the detector takes it."""
        return Life(self.instance, self.incarnation, self.beat)


class Question(msgspec.Struct, frozen=True):
    """Asks for a sign of life, of the asked hub itself or of the hub `about` through it."""

    sender: Sign
    about: Name = ""
    timeout_seconds: Annotated[float, Meta(gt=0, le=TIMEOUT_SECONDS_MAX)] = 1.0


class Reply(msgspec.Struct, frozen=True):
    """The sign of life of the asked hub, and that of the hub asked about if it gave one."""

    sender: Sign
    about: Sign | None = None


_questions = msgspec.json.Decoder(Question)
_replies = msgspec.json.Decoder(Reply)


def sign_of(hub: str, life: Life) -> Sign:
    """A moment in the life of a hub, as it travels."""
    return Sign(hub, life.instance, life.incarnation, life.beat)


def write_probe(message: Question | Reply) -> bytes:
    """A question or an answer as JSON."""
    return msgspec.json.encode(message)


def read_question(body: bytes) -> Question:
    """Read a question; raises BadInput."""
    try:
        question = _questions.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"the probe cannot be read: {error}") from error
    _check_name(question.sender.hub)
    if question.about:
        _check_name(question.about)
    return question


def read_reply(body: bytes) -> Reply:
    """Read an answer; raises BadInput."""
    try:
        reply = _replies.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"the answer to a probe cannot be read: {error}") from error
    _check_name(reply.sender.hub)
    return reply


def _check_name(hub: str) -> None:
    if not NAME.fullmatch(hub):
        raise BadInput(f"{hub[:63]!r} is not the name of a hub")


def failure_of(error: HeadwaterError) -> Failure:
    """What a request that ended with this error says of the peer it was sent to."""
    if not isinstance(error, Unreachable):
        return Failure.UNUSABLE  # It answered, with something that cannot be read.
    match error.kind:
        case "refused":
            return Failure.REFUSED
        case "unroutable":
            return Failure.UNROUTABLE
        case "answered":
            return Failure.UNUSABLE
        case "lost":
            return Failure.TIMEOUT
