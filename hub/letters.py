"""The calls about an edge's dead letters, passed on to the edge that holds them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from hub import params
from hub.calls import Calls

SUMMARIES = {
    "edge.dead_letters.list": "What hubs refused of a node's log: node, limit.",
    "edge.dead_letters.show": "One refused chunk with some of its records: node, seq, limit.",
    "edge.dead_letters.retry": "Push refused chunks again: node, seqs or all.",
    "edge.dead_letters.discard": "Give refused chunks up, which is declared: node, seqs or all.",
}

Seq = Annotated[int, Meta(ge=1)]


class ListLetters(Struct, forbid_unknown_fields=True):
    """A node, and how many of its dead letters at most."""

    node: params.Name
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class ShowLetter(Struct, forbid_unknown_fields=True):
    """A node, one of its dead letters, and how many of its records."""

    node: params.Name
    seq: Seq
    limit: Annotated[int, Meta(ge=1, le=100)] = 10


class ChooseLetters(Struct, forbid_unknown_fields=True):
    """A node, and some or all of its dead letters."""

    node: params.Name
    seqs: list[Seq] = []
    all: bool = False
    request_id: Annotated[str, Meta(max_length=128)] | None = None


PARAMS: dict[str, type[Struct]] = {
    "edge.dead_letters.list": ListLetters,
    "edge.dead_letters.show": ShowLetter,
    "edge.dead_letters.retry": ChooseLetters,
    "edge.dead_letters.discard": ChooseLetters,
}


@dataclass(frozen=True, slots=True)
class Letters:
    """Passes the calls on."""

    calls: Calls

    def method(self, name: str) -> Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]:
        """The handler of one method."""

        async def call(raw: dict[str, Any]) -> dict[str, Any]:
            wanted: Any = params.read(PARAMS[name], raw)
            order = msgspec.to_builtins(wanted)
            answer = await self.calls.call(wanted.node, name, order)
            hops = answer.hops
            return {**answer.result, "path": {"served_by": hops[-1]["hub"], "hops": hops}}

        return call
