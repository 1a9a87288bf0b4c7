"""Stands behind every door for peers: a body must come in time, and what is refused is told of."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from hub.peering.witness import Witness
from hub.web.routes import RouteSpec
from shared.errors import BadInput, Refused, TooSlow
from shared.readers import NAME

FROM_HEADER = "x-headwater-hub"
"""Which hub speaks. Peers of older releases do not say it, and are called by their address."""

BODY_SECONDS_MAX = 30.0
"""No peer waits longer for an answer than that but where this hub makes it wait, with its body read."""


def watched(routes: Iterable[RouteSpec], witness: Witness) -> list[RouteSpec]:
    """The same doors; the witness is told of what is refused at those for peers."""
    return [_watched(each, witness) if each.role == "peer" else each for each in routes]


def _watched(spec: RouteSpec, witness: Witness) -> RouteSpec:
    async def door(request: Request) -> Response:
        try:
            answer = await spec.handler(_hurried(request))
        except (BadInput, Refused) as error:
            now = asyncio.get_running_loop().time()
            witness.refused(_who(request, error), spec.path, error, now)
            raise
        witness.accepted(_named(request), spec.path)
        return answer

    return replace(spec, handler=door)


def _who(request: Request, error: Exception) -> str:
    """Who was refused: as the message says, as the request says, or where it came from."""
    told = getattr(error, "sender", "")
    return told or _named(request)


def _named(request: Request) -> str:
    told = request.headers.get(FROM_HEADER, "")
    if NAME.fullmatch(told):
        return told
    return request.client.host if request.client else "an unknown caller"


def _hurried(request: Request) -> Request:
    """The request with a limit of time for its body; what comes after the body may take for ever."""
    ends_at = asyncio.get_running_loop().time() + BODY_SECONDS_MAX
    is_whole = False

    async def receive() -> Message:
        nonlocal is_whole
        if is_whole:
            return await request.receive()
        try:
            async with asyncio.timeout_at(ends_at):
                message = await request.receive()
        except TimeoutError as error:
            raise TooSlow("the body", BODY_SECONDS_MAX) from error
        is_whole = not message.get("more_body", False)
        return message

    return Request(request.scope, receive)
