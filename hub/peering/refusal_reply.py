"""How a hub refuses a message of another: the HTTP status, and what it says to that. Pure."""

from typing import Annotated

import msgspec
from msgspec import Meta

REFUSING = frozenset({400, 401, 403, 408, 410, 413, 415})
"""Statuses by which a hub says that it will never take what it was told."""

UNAUTHORIZED = 401
OTHER_KEY = "it has another CLUSTER_KEY than this hub, so the two belong to different clusters"
"""What that status of a hub means to people. What it says itself is for those who write clients."""


class _Problem(msgspec.Struct, frozen=True):
    """A refusal in the form of RFC 9457."""

    detail: Annotated[str, Meta(max_length=4000)]


def reason_of(status: int, body: bytes) -> str:
    """What a peer says of why it refuses; it is bounded, and may be of any form."""
    if status == UNAUTHORIZED:
        return OTHER_KEY
    try:
        return msgspec.json.decode(body, type=_Problem).detail
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return f"HTTP {status}"
