"""Bodies of requests, read within bounds, and bodies of answers."""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from shared.errors import BadInput, CutShort, TooLarge


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The body of a request, counted while it comes in; raises TooLarge or CutShort."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise TooLarge("the body", limit_bytes)
    pieces: list[bytes] = []
    size_bytes = 0
    is_whole = False
    while not is_whole:
        # Not by `request.stream()`, whose generator costs more than a small body.
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise CutShort("the client left before its body was whole")
        piece = message.get("body", b"")
        size_bytes += len(piece)
        if size_bytes > limit_bytes:
            raise TooLarge("the body", limit_bytes)
        pieces.append(piece)
        is_whole = not message.get("more_body", False)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def json_object(body: bytes) -> dict[str, Any]:
    """The object that a body holds; raises BadInput."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadInput("the body must be a JSON object")
    return value


class JsonBytes(Response):
    """JSON that is written already, as an answer: with the least work, for what is asked often."""

    def __init__(self, body: bytes) -> None:
        self.status_code, self.background, self.body = 200, None, body
        length = b"%d" % len(body)
        self.raw_headers = [(b"content-length", length), (b"content-type", b"application/json")]


def json_answer(value: Any) -> Response:
    """A value as a JSON answer."""
    return Response(orjson.dumps(value, default=str), media_type="application/json")
