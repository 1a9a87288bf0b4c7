"""Bodies of requests, read within bounds, and bodies of answers."""

from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from shared.errors import BadInput, TooLarge


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The body of a request, counted while it comes in; raises TooLarge or BadInput."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise TooLarge("the body", limit_bytes)
    pieces: list[bytes] = []
    size_bytes = 0
    try:
        async for piece in request.stream():
            size_bytes += len(piece)
            if size_bytes > limit_bytes:
                raise TooLarge("the body", limit_bytes)
            pieces.append(piece)
    except ClientDisconnect as error:
        raise BadInput("the client left before its body was whole") from error
    return b"".join(pieces)


def json_object(body: bytes) -> dict[str, Any]:
    """The object that a body holds; raises BadInput."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadInput("the body must be a JSON object")
    return value


def json_answer(value: Any) -> Response:
    """A value as a JSON answer."""
    return Response(orjson.dumps(value, default=str), media_type="application/json")
