"""Hubs that are gone for good: decided by people, known to every hub, undone by people only. Rules only.

Forgetting a hub at one place is not enough, since the others teach it again. A farewell is a replicated
word: of two about the same hub the one with more `acts` wins, then the later stamp. Each decision of a
person counts one act more than what it is based on, so no stamp of a wrong clock stands in its way.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from shared.errors import BadInput
from shared.readers import NAME
from shared.stamp import Stamp

HUBS_MAX = 256
ACTS_MAX = 2**31
URL_LENGTH_MAX = 300
WHY_LENGTH_MAX = 200

HubName = Annotated[str, Meta(pattern=rf"\A{NAME.pattern}\Z", max_length=63)]


class Farewell(Struct, frozen=True):
    """What a person decided about a hub: gone, or let in again."""

    hub: HubName
    acts: Annotated[int, Meta(ge=1, le=ACTS_MAX)]
    stamp: Stamp
    gone: bool
    why: Annotated[str, Meta(max_length=WHY_LENGTH_MAX)] = ""
    url: Annotated[str, Meta(max_length=URL_LENGTH_MAX)] = ""

    @property
    def order(self) -> tuple[int, Stamp, bytes]:
        """Later words are greater; the bytes decide between liars."""
        return (self.acts, self.stamp, msgspec.json.encode(self))


class FarewellSection(Struct, frozen=True):
    """What hubs tell each other: the digest of all words, and the words to whoever has others."""

    digest: Annotated[str, Meta(max_length=64)]
    words: Annotated[list[Farewell], Meta(max_length=HUBS_MAX)] = []


_section = msgspec.json.Decoder(FarewellSection)


def read_section(body: bytes) -> FarewellSection:
    """What a peer tells; raises BadInput."""
    try:
        return _section.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"what a hub says of hubs that are gone cannot be read: {error}") from error


@dataclass(slots=True)
class Farewells:
    """The last word about each hub that was ever sent away."""

    by_hub: dict[str, Farewell] = field(default_factory=dict)
    hub_by_url: dict[str, str] = field(default_factory=dict)
    """Which of them was at an address in the settings of this hub. Others have settings of their own."""
    _digest: str = ""

    def gone(self, hub: str) -> Farewell | None:
        """The word by which a hub is gone; None for one that may take part."""
        word = self.by_hub.get(hub)
        return word if word is not None and word.gone else None

    def urls(self, hub: str) -> list[str]:
        """Where the settings of this hub still name one that is gone."""
        return sorted(url for url, name in self.hub_by_url.items() if name == hub)

    def located(self, hub: str, url: str) -> bool:
        """Note that an address in the settings leads to a gone hub; whether that is news."""
        is_news = self.hub_by_url.get(url) != hub
        self.hub_by_url[url] = hub
        return is_news

    def lose(self, hub: str) -> list[str]:
        """Forget where a hub was; returns its addresses."""
        urls = self.urls(hub)
        for url in urls:
            del self.hub_by_url[url]
        return urls

    def decide(self, hub: str, stamp: Stamp, why: str, url: str, *, gone: bool) -> Farewell:
        """The word of a person, which overrules all that is known here; not yet taken in."""
        known = self.by_hub.get(hub)
        acts = min(known.acts + 1, ACTS_MAX) if known else 1
        return Farewell(hub, acts, stamp, gone, why, url)

    def newer(self, words: Iterable[Farewell]) -> list[Farewell]:
        """Those of some words that change what is known here; raises BadInput for too many hubs."""
        fresh = [word for word in words if self._is_newer(word)]
        if len(self.by_hub.keys() | {word.hub for word in fresh}) > HUBS_MAX:
            raise BadInput(f"more than {HUBS_MAX} hubs are gone: admit some again")
        return fresh

    def _is_newer(self, word: Farewell) -> bool:
        known = self.by_hub.get(word.hub)
        return known is None or word.order > known.order

    def take(self, words: Iterable[Farewell]) -> None:
        """Take in words that are newer than what is known."""
        for word in words:
            if self._is_newer(word):
                self.by_hub[word.hub] = word
        self._digest = ""

    @property
    def digest(self) -> str:
        """The same on hubs that know the same; empty when nobody was ever sent away."""
        if self.by_hub and not self._digest:
            whole = msgspec.json.encode(self.words())
            self._digest = hashlib.sha256(whole).hexdigest()[:16]
        return self._digest

    def words(self) -> list[Farewell]:
        """All of them, by hub."""
        return [self.by_hub[hub] for hub in sorted(self.by_hub)]
