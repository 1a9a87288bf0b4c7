"""The HTTP door for peer hubs that elect a leader."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from hub.bodies import read_body
from hub.lead.messages import MESSAGE_BYTES_MAX, read_ask
from hub.lead.mode import Mode
from hub.web.routes import RouteSpec
from shared.errors import BadInput

PATH = "/peer/lead"

Answering = Callable[[bytes], Awaitable[bytes]]


def lead_route(answer: Answering) -> RouteSpec:
    """Where peers ask for votes and tell that they lead."""

    async def lead(request: Request) -> Response:
        said = await answer(await read_body(request, MESSAGE_BYTES_MAX))
        return Response(said, media_type="application/json")

    return RouteSpec(PATH, ("POST",), "peer", lead)


def for_admitted(answer: Answering, check_admitted: Callable[[str], None]) -> Answering:
    """Answers only hubs for which `check_admitted` does not raise Refused: one that people sent away may
    be among the members of the election still."""

    async def answer_admitted(message: bytes) -> bytes:
        check_admitted(read_ask(message).sender)
        return await answer(message)

    return answer_admitted


def no_vote(mode: Mode) -> Answering:
    """What a hub answers that takes no part in elections: raises BadInput with its own setting."""

    async def answer(message: bytes) -> bytes:
        raise BadInput(f"this hub has leader = {mode}, so it neither votes nor follows")

    return answer
