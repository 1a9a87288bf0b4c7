"""Which sights a hub holds, as gossip: one short text, and the list while two hubs differ. Pure."""

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Annotated

import msgspec
from msgspec import Meta

from hub.peering.incident import HubId, Key, Sight
from hub.peering.incident_book import IncidentBook
from shared.errors import BadInput
from shared.merge import Count, UnixMs

HEADS_MAX = 200
WANTED_MAX = 4
"""So many sights are asked for at once: each may be some 400 KB."""

SECTION_BYTES_MAX = 32 * 1024


class Head(msgspec.Struct, frozen=True, array_like=True):
    """A sight and its revision."""

    observer: HubId
    began_ms: UnixMs
    revision: Count

    @property
    def key(self) -> Key:
        """What names the sight."""
        return self.observer, self.began_ms


class IncidentSection(msgspec.Struct, frozen=True):
    """What a hub holds: `root` stands for all of it, `heads` are the newest."""

    root: Annotated[str, Meta(min_length=16, max_length=16)]
    heads: Annotated[list[Head], Meta(max_length=HEADS_MAX)] = []


_decoder = msgspec.json.Decoder(IncidentSection)


def read_incidents(body: bytes) -> IncidentSection:
    """Read a section as `msgspec.json.encode` writes it; raises BadInput."""
    if len(body) > SECTION_BYTES_MAX:
        raise BadInput(f"a list of incidents has at most {SECTION_BYTES_MAX} bytes")
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"the list of incidents cannot be read: {error}") from error


@dataclass(slots=True)
class IncidentTalk:
    """Keeps the sights of hubs alike: who holds what, and what to ask of whom."""

    book: IncidentBook
    _roots: dict[str, str] = field(default_factory=dict)

    def of_mine(self, to_hub: str) -> IncidentSection:
        """What to tell a peer."""
        heads = [Head(*key, sight.revision) for key, sight in self.book.sights.items()]
        heads.sort(key=lambda head: (-head.began_ms, head.observer))
        root = blake2b(msgspec.json.encode(heads), digest_size=8).hexdigest()
        differs = self._roots.get(to_hub, root) != root
        return IncidentSection(root, heads[:HEADS_MAX] if differs else [])

    def take(self, section: IncidentSection, from_hub: str) -> list[Key]:
        """Take in what a peer holds; returns the sights to ask of it, a few at a time."""
        self._roots[from_hub] = section.root
        own = self.book.own
        news = [
            head.key
            for head in section.heads
            if _tells_more(head, self.book.sights.get(head.key))
            and (not own or head.key != own.key)
        ]
        return news[:WANTED_MAX]

    def forget(self, hub: str) -> None:
        """Drop a hub that has gone for good."""
        self._roots.pop(hub, None)


def _tells_more(head: Head, mine: Sight | None) -> bool:
    return mine is None or head.revision > mine.revision
