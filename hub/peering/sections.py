"""What the parts of a hub tell their like on peers, carried by every message of the gossip."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
from msgspec import Raw

from shared.errors import BadInput

log = logging.getLogger(__name__)


class Section(Protocol):
    """One of them."""

    @property
    def name(self) -> str:
        """Under which name it travels; a hub that does not know it passes it over."""
        ...

    def of_mine(self, peer: str, now: float) -> Any:
        """What to tell a peer (its id) now: something that is written as JSON, or None for nothing."""
        ...

    def take(self, body: bytes, from_hub: str, now: float) -> None:
        """Hear what a peer tells, as JSON; raises BadInput, which spoils nothing else."""
        ...


@dataclass(slots=True)
class Sections:
    """All sections of one hub, by name."""

    by_name: dict[str, Section] = field(default_factory=dict)
    _said: dict[tuple[str, str], str] = field(default_factory=dict)
    """By peer and section, what could not be read last: told once, and not with each message."""

    def add(self, section: Section) -> None:
        """Have a section carried from now on."""
        self.by_name[section.name] = section

    def of_mine(self, peer: str, now: float) -> dict[str, Raw]:
        """What to tell a peer now; nothing to one that has not told its id."""
        if not peer:
            return {}
        told = {name: each.of_mine(peer, now) for name, each in self.by_name.items()}
        return {name: Raw(msgspec.json.encode(it)) for name, it in told.items() if it is not None}

    def take(self, sections: Mapping[str, Raw], from_hub: str, now: float) -> None:
        """Hear a peer. One section that cannot be read spoils no other."""
        for name, body in sections.items():
            section = self.by_name.get(name)
            if section is not None:
                self._take(section, bytes(body), from_hub, now)

    def _take(self, section: Section, body: bytes, from_hub: str, now: float) -> None:
        key = (from_hub, section.name)
        try:
            section.take(body, from_hub, now)
        except BadInput as error:
            if self._said.get(key) != str(error):
                log.warning("what %s tells of %s: %s", from_hub, section.name, error)
                self._said[key] = str(error)
            return
        self._said.pop(key, None)

    def forget(self, hub_id: str) -> None:
        """Drop what is known of a peer that is no longer one."""
        for key in [key for key in self._said if key[0] == hub_id]:
            del self._said[key]
