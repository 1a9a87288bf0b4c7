"""How each way that an OTLP request can end looks as HTTP: a table, and nothing that waits.

Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp-response. Only 429, 502, 503 and 504 are
retried by senders, so only what may succeed later is answered with one of them.
"""

import math
from dataclasses import dataclass

from shared.errors import BadInput, HeadwaterError, TooLarge, Unavailable, UnsupportedType
from shared.otlp import JSON_TYPE, PROTO_TYPE, status_body
from shared.receive.sink import Overloaded


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, and the words under which it is counted."""

    status: int
    body: bytes
    content_type: str
    outcome: str
    reason: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row of the table: HTTP status, code of google.rpc.Status, and the word for the counters."""

    status: int
    code: int
    reason: str


BAD_DATA = Refusal(400, 3, "bad_data")
NO_CREDENTIALS = Refusal(401, 16, "credentials")
FROM_BROWSER = Refusal(403, 7, "browser")
NOT_FOUND = Refusal(404, 5, "unknown_path")
NOT_ALLOWED = Refusal(405, 12, "method")
TOO_SLOW = Refusal(408, 4, "too_slow")
TOO_LARGE = Refusal(413, 3, "too_large")
UNSUPPORTED = Refusal(415, 3, "unsupported_type")
PRESSED = Refusal(429, 8, "pressed")
BUSY = Refusal(503, 14, "busy")


def refuse(
    refusal: Refusal, message: str, *, json: bool, headers: tuple[tuple[str, str], ...] = ()
) -> Answer:
    """An answer that says no, as a google.rpc.Status in the encoding of the request."""
    return Answer(
        refusal.status,
        status_body(refusal.code, message, json),
        JSON_TYPE if json else PROTO_TYPE,
        "refused",
        refusal.reason,
        headers,
    )


def refuse_error(error: HeadwaterError, *, json: bool) -> Answer:
    """The answer to an error of ours; those that no request can cause are raised again."""
    if isinstance(error, Unavailable):
        seconds = retry_after_seconds(error.retry_after_seconds)
        row = PRESSED if isinstance(error, Overloaded) else BUSY
        return refuse(row, str(error), json=json, headers=(("retry-after", str(seconds)),))
    if isinstance(error, TooLarge):
        return refuse(TOO_LARGE, str(error), json=json)
    if isinstance(error, UnsupportedType):
        return refuse(UNSUPPORTED, str(error), json=json)
    if isinstance(error, BadInput):
        return refuse(BAD_DATA, str(error), json=json)
    raise error


def retry_after_seconds(seconds: float) -> int:
    """Whole seconds, at least one: the header has no fractions, and 0 would mean at once."""
    return max(1, math.ceil(seconds))


def stored(body: bytes, *, json: bool) -> Answer:
    """Full success: everything in the request is on disk."""
    return Answer(200, body, JSON_TYPE if json else PROTO_TYPE, "stored")
