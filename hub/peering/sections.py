"""What the parts of a hub tell their like on peers, carried by every message of the gossip."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
from msgspec import Raw

from shared.errors import BadInput, HeadwaterError, Refused

Refusing = Callable[[str, str, HeadwaterError, float], None]
Accepting = Callable[[str, str], None]


def _untold(*_: object) -> None:
    """Nobody listens."""


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
    on_refused: Refusing = _untold
    """Told of a section that cannot be read: the hub, the section, why, and when."""
    on_accepted: Accepting = _untold

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
        """Hear a peer. One section that cannot be read spoils no other; raises Refused for a peer of
        which nothing may be heard."""
        for name, body in sections.items():
            section = self.by_name.get(name)
            if section is not None:
                self._take(section, bytes(body), from_hub, now)

    def _take(self, section: Section, body: bytes, from_hub: str, now: float) -> None:
        door = f"section {section.name}"
        try:
            _heard(section, body, from_hub, now)
        except BadInput as error:
            self.on_refused(from_hub, door, error, now)
            return
        except Refused as error:  # It is no section that is wrong, but the hub.
            self.on_refused(from_hub, door, error, now)
            raise
        self.on_accepted(from_hub, door)


def _heard(section: Section, body: bytes, from_hub: str, now: float) -> None:
    """Let a section hear a peer; raises BadInput, also for what would break the stack of a reader."""
    try:
        section.take(body, from_hub, now)
    except RecursionError as error:
        raise BadInput("it nests too deeply") from error
