"""Builds the talk of a hub with its peers about nodes: the loops, the door, the section, the method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from hub.bodies import read_body
from hub.describe import time_of_ms
from hub.ground import Ground
from hub.params import read
from hub.peering.exchange_wire import MESSAGE_BYTES_MAX
from hub.peering.node_letters import MEDIA_TYPE
from hub.peering.parked import ENTRIES_MAX
from hub.peering.sections import Section
from hub.peering.talk import Talk, build_talk
from hub.peering.talk_answers import TalkAnswers
from hub.peering.talk_post import PATH
from hub.rpc import Method
from hub.web.routes import RouteSpec


class ListParked(Struct, forbid_unknown_fields=True):
    """How many of the records that were set aside, the newest first."""

    limit: Annotated[int, Meta(ge=1, le=ENTRIES_MAX)] = 100


@dataclass(frozen=True, slots=True)
class TalkPart:
    """What hubs share of nodes, at work."""

    talk: Talk
    answers: TalkAnswers

    def methods(self) -> Mapping[str, Method]:
        """What people ask."""
        return {"parked.list": Method(self.parked, ListParked)}

    def routes(self) -> Sequence[RouteSpec]:
        """Where peers tell and ask."""
        return [RouteSpec(PATH, ("POST",), "peer", self.door)]

    def sections(self) -> Sequence[Section]:
        """Who has what."""
        return [self.talk]

    async def run(self) -> None:
        """Talk for ever."""
        await self.talk.run()

    async def close(self) -> None:
        """Nothing is held: `hub.saving` writes what this has brought."""

    async def door(self, request: Request) -> Response:
        """New changes of a peer, or a question for those that it lacks."""
        letter = await read_body(request, MESSAGE_BYTES_MAX)
        return Response(self.answers.answer(letter), media_type=MEDIA_TYPE)

    async def parked(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Records of peers that this hub could not apply and set aside, the newest first."""
        wanted, replica = read(ListParked, raw), self.talk.registry.replica
        newest = replica.parked.newest(wanted.limit)
        items = [{**each, "at": time_of_ms(each["at_ms"])} for each in newest]
        return {"items": items, "total": replica.parked.total}


def build(ground: Ground) -> TalkPart:
    """The part of this hub; from now on its changes are told."""
    talk = build_talk(ground.registry, ground.mesh, ground.runtime, ground.report, ground.counters)
    answers = TalkAnswers(ground.mesh, ground.registry.exchange, ground.runtime)
    return TalkPart(talk, answers)
