"""Fetches from peers what they saw of splits and this hub does not know, a few sights at a time."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from hub.peering.incident import Key
from hub.peering.incident_calls import IncidentCalls
from shared.errors import BadInput, HeadwaterError
from shared.tasks import Bell

log = logging.getLogger(__name__)

AHEAD_MS_MAX = 24 * 3600 * 1000
"""A split that begins later than this by our clock is none that anybody saw."""


@dataclass(slots=True)
class SightFetch:
    """What this hub lacks, by the peer that has it."""

    _wanted: dict[str, Sequence[Key]] = field(default_factory=dict)
    _said: dict[str, str] = field(default_factory=dict)
    """By peer, why its sights could not be had last: told once, and not each second."""
    _bell: Bell = field(default_factory=Bell)

    def want(self, hub: str, keys: Sequence[Key], wall_ms: int) -> None:
        """Have these sights fetched soon; a peer that says again that it has them is asked again."""
        possible = [key for key in keys if key[1] <= wall_ms + AHEAD_MS_MAX]
        if possible:
            self._wanted[hub] = possible
            self._bell.ring()

    def forget(self, hub: str) -> None:
        """Ask nothing more of a hub that is a peer no longer."""
        self._wanted.pop(hub, None)
        self._said.pop(hub, None)

    async def run(self, calls: IncidentCalls, write_down: Callable[[], Awaitable[None]]) -> None:
        """Ask for ever, and write down what comes."""
        while True:
            await self._bell.wait()
            wanted, self._wanted = self._wanted, {}
            for hub, keys in wanted.items():
                await self._fetch(calls, hub, keys, write_down)

    async def _fetch(
        self,
        calls: IncidentCalls,
        hub: str,
        keys: Sequence[Key],
        write_down: Callable[[], Awaitable[None]],
    ) -> None:
        try:
            await calls.fetch(hub, keys)
            await write_down()
        except HeadwaterError as error:
            level = logging.WARNING if isinstance(error, BadInput) else logging.DEBUG
            if self._said.get(hub) != str(error):
                log.log(level, "what %s saw of splits was not fetched: %s", hub, error)
            self._said[hub] = str(error)
