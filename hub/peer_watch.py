"""Stands behind every door for peers: a body must come in time, and what is refused is told of."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from hub.peering.witness import Witness
from hub.web.routes import RouteSpec
from shared.errors import BadInput, CutShort, Refused, TooSlow
from shared.readers import NAME

FROM_HEADER = "x-headwater-hub"
"""Which hub speaks. Peers of older releases do not say it, and are called by their address."""

UNKNOWN = "an unknown caller"

TELLS_MORE = "/peer/gossip"
"""Where a hub that was sent away says where it is, too: that door refuses it once it has read that."""

BODY_SECONDS_MAX = 30.0
"""No peer waits longer for an answer than that but where this hub makes it wait, with its body read."""


class Gate(Protocol):
    """Who may take part, and who is told of what is refused."""

    @property
    def witness(self) -> Witness: ...

    def check_admitted(self, hub_id: str) -> None:
        """Raise Refused for a hub that was sent away."""
        ...


def watched(routes: Iterable[RouteSpec], gate: Gate) -> list[RouteSpec]:
    """The same doors; those for peers are closed to hubs that were sent away, and the witness is told of
    what is refused there."""
    return [_watched(each, gate) if each.role == "peer" else each for each in routes]


def tell_of_strangers(witness: Witness) -> Callable[[RouteSpec, Request], None]:
    """Have the witness told of who knocks at a door for peers without the cluster key."""

    def knocks(spec: RouteSpec, request: Request) -> None:
        if spec.role == "peer":
            address = request.client.host if request.client else UNKNOWN
            witness.knocked(address, _said_name(request), spec.path, _now())

    return knocks


def _watched(spec: RouteSpec, gate: Gate) -> RouteSpec:
    witness = gate.witness

    async def door(request: Request) -> Response:
        try:
            if spec.path != TELLS_MORE:
                gate.check_admitted(_named(request))
            answer = await spec.handler(_hurried(request))
        except CutShort:  # A hub that dies, or waits no longer, has said nothing that could be bad.
            raise
        except (BadInput, Refused) as error:
            witness.refused(_who(request, error), spec.path, error, _now())
            raise
        witness.accepted(_named(request), spec.path)
        return answer

    return replace(spec, handler=door)


def _who(request: Request, error: Exception) -> str:
    """Who was refused: as the message says, as the request says, or where it came from."""
    told = getattr(error, "sender", "")
    return told or _named(request)


def _named(request: Request) -> str:
    return _said_name(request) or (request.client.host if request.client else UNKNOWN)


def _said_name(request: Request) -> str:
    told = request.headers.get(FROM_HEADER, "")
    return told if NAME.fullmatch(told) else ""


def _now() -> float:
    return asyncio.get_running_loop().time()


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
