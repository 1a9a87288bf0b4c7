"""The errors that Headwater raises on purpose, each named by what the caller can do about it.

Errors of libraries are translated into these where layers meet and keep their cause.
"""

from collections.abc import Mapping
from typing import Any, Literal


class HeadwaterError(Exception):
    """Root of the family: the text is one sentence that a person can act on."""


class SettingsError(HeadwaterError):
    """A setting is unknown, of the wrong type, or contradicts another one."""


class BadInput(HeadwaterError):
    """Somebody sent what cannot be read; sending the same again will fail again."""


class TooLarge(BadInput):
    """An input passes a declared limit."""

    def __init__(self, what: str, limit_bytes: int) -> None:
        super().__init__(f"{what} is larger than the limit of {limit_bytes} bytes")
        self.limit_bytes = limit_bytes


class TooSlow(BadInput):
    """An input did not come within its time."""

    def __init__(self, what: str, limit_seconds: float) -> None:
        super().__init__(f"{what} did not come within {limit_seconds:.0f} seconds")


class CutShort(BadInput):
    """The caller hung up amid its input, which says nothing of what it wanted to say."""


class UnsupportedType(BadInput):
    """The content type or encoding is not one that this door reads."""


class Refused(HeadwaterError):
    """The caller is not who it says, or may not do this."""


class Removed(Refused):
    """A person took this node out of the fleet; only a person lets it back."""


class Cloned(Refused):
    """Another machine runs with the same identity; the one that was there first goes on.

    `outrank` is the incarnation that the caller must pass to show that it is that one; None if it is
    not.
    """

    def __init__(self, reason: str, outrank: int | None = None) -> None:
        super().__init__(reason)
        self.outrank = outrank


class Unavailable(HeadwaterError):
    """This part cannot take the work now; the same request may succeed later."""

    def __init__(self, reason: str, retry_after_seconds: float = 5.0) -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds


class BufferFull(Unavailable):
    """The edge buffer or its disk has no room left."""


Silence = Literal["lost", "refused", "unroutable", "answered"]
"""Why nothing of use came back: it got lost on the way or the time was up, the machine answers and
nobody listens there, it never left this machine, or an answer came and says that it cannot."""


class Unreachable(HeadwaterError):
    """No answer of use came back. `sent` is False only when the request surely never left."""

    def __init__(self, where: str, reason: str, *, sent: bool, kind: Silence = "lost") -> None:
        said = "says no" if kind == "answered" else "does not answer"
        super().__init__(f"{where} {said}: {reason}")
        self.where = where
        self.sent = sent
        self.kind: Silence = kind


class RpcError(HeadwaterError):
    """An answer of a remote call that says no; `kind` is one of shared.jsonrpc.CODES."""

    def __init__(self, kind: str, message: str, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.data = dict(data or {})
