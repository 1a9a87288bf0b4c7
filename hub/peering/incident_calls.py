"""The RPC methods about incidents, and fetching from a peer what it saw and this hub does not know."""

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from hub.params import Name, read
from hub.peering.incident import SIGHT_BYTES_MAX, HubId, Key, Sight, read_sight, sight_bytes
from hub.peering.incident_book import IncidentBook
from hub.peering.incident_report import incident, incidents
from hub.peering.incident_section import WANTED_MAX
from hub.peering.view_calls import Ask
from shared.errors import BadInput, RpcError
from shared.merge import UnixMs

LISTED_MAX = 200


class ListIncidents(Struct, forbid_unknown_fields=True):
    """The newest incidents."""

    limit: Annotated[int, Meta(ge=1, le=LISTED_MAX)] = 50


class OfIncident(Struct, forbid_unknown_fields=True):
    """One incident, by any name that a hub gave it."""

    incident: Name


class WantedSights(Struct, forbid_unknown_fields=True):
    """What a hub lacks of the sights of another: who saw it and when it began."""

    wanted: Annotated[list[tuple[HubId, UnixMs]], Meta(max_length=WANTED_MAX)]


class _Sights(Struct):
    sights: Annotated[
        list[Annotated[str, Meta(max_length=2 * SIGHT_BYTES_MAX)]], Meta(max_length=WANTED_MAX)
    ]


@dataclass(slots=True)
class IncidentCalls:
    """Answers about incidents from the book of this hub."""

    book: IncidentBook
    ask: Ask

    async def hub_incidents(self, raw: dict[str, Any]) -> dict[str, Any]:
        """The times during which hubs were apart, the newest first."""
        wanted: ListIncidents = read(ListIncidents, raw)
        found = incidents(self.book.sights.values())
        return {"items": found[: wanted.limit], "total": len(found)}

    async def hub_incident(self, raw: dict[str, Any]) -> dict[str, Any]:
        """One incident: islands over time, writes on each side, every conflict."""
        wanted: OfIncident = read(OfIncident, raw)
        found = incident(wanted.incident, self.book.sights.values())
        if found is None:
            raise RpcError(
                "not_found",
                f"no incident is called {wanted.incident}",
                {"incident": wanted.incident},
            )
        return found

    async def hub_incident_sights(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Sights for a hub that lacks them; those that are not here are left out."""
        wanted: WantedSights = read(WantedSights, raw)
        held = (self.book.sights.get(key) for key in wanted.wanted)
        return {"sights": [base64.b64encode(sight_bytes(s)).decode() for s in held if s]}

    async def fetch(self, hub: str, keys: Iterable[Key]) -> int:
        """Ask a peer for sights, as `IncidentTalk.take` says; returns how many were news.

        Raises RpcError or Unreachable as `ask` does, and BadInput when the answer cannot be read.
        """
        asked = set(keys)
        wanted = [list(key) for key in sorted(asked)]
        if not wanted:
            return 0
        answer = await self.ask(hub, "hub.incident.sights", {"wanted": wanted})
        try:
            told = msgspec.convert(answer, _Sights).sights
        except msgspec.ValidationError as error:
            raise BadInput(f"{hub} tells of splits in a strange way: {error}") from error
        return self.book.learn(
            [sight for sight in map(_sight, told) if sight.key in asked]  # Nothing else was wanted.
        )


def _sight(told: str) -> Sight:
    try:
        return read_sight(base64.b64decode(told, validate=True))
    except (binascii.Error, ValueError) as error:
        raise BadInput("what a hub saw of a split is not base64") from error
