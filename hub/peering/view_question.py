"""What a hub asks another one about views and incidents: bounded, and read before anything is done."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from shared.errors import BadInput

QUESTION_BYTES_MAX = 4 * 1024

ViewMethod = Literal["hub.views.bucket", "hub.incident.sights"]


class ViewQuestion(msgspec.Struct, frozen=True):
    """Who asks which method, with what."""

    sender: Annotated[str, Meta(min_length=1, max_length=64)]
    method: Annotated[str, Meta(max_length=64)]
    params: dict[str, Any] = {}


class _Known(ViewQuestion, frozen=True):
    method: ViewMethod


_decoder = msgspec.json.Decoder(_Known)


def read_question(body: bytes) -> ViewQuestion:
    """Read a question of a peer as `msgspec.json.encode` writes it; raises BadInput."""
    if len(body) > QUESTION_BYTES_MAX:
        raise BadInput(f"a question about views has at most {QUESTION_BYTES_MAX} bytes")
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"a question about views cannot be read: {error}") from error
