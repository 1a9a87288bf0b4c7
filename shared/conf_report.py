"""What heartbeats carry of replicated settings: what an edge has, and what a hub says that it should."""

from typing import Annotated

import msgspec
from msgspec import Meta

Key = Annotated[str, Meta(min_length=1, max_length=64)]
AGE_MAX = 2**63 - 1  # What every reader of JSON integers takes.
Hash = Annotated[str, Meta(max_length=64)]


class Age(msgspec.Struct, frozen=True, order=True, array_like=True):
    """How much a hub knows of the settings: the sums over the stamps of all that is in force.

    A hub that knows more is never less: stamps only grow, and each entry adds its own. So two hubs
    that are not yet in step never pull an edge to and fro between them.
    """

    wall_ms: Annotated[int, Meta(ge=0, le=AGE_MAX)] = 0
    counter: Annotated[int, Meta(ge=0, le=AGE_MAX)] = 0


class Report(msgspec.Struct, frozen=True):
    """What an edge says of its settings in each heartbeat.

    `refused` is the hash of settings that it could not apply, `error` why, and `waiting` the keys
    that count from its next start. An empty `applied` is an edge that takes no settings from hubs.
    """

    applied: Hash = ""
    refused: Hash = ""
    error: Annotated[str, Meta(max_length=500)] = ""
    waiting: Annotated[list[Key], Meta(max_length=100)] = []


class Wanted(msgspec.Struct, frozen=True):
    """What a hub says in its answer to a heartbeat: which settings this edge should have."""

    hash: Annotated[str, Meta(min_length=64, max_length=64)]
    age: Age = Age()
