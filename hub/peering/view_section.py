"""What a hub says of its view with every gossip: some hundred bytes, and 1.4 KB while two differ."""

import base64
import binascii
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from hub.peering.view_digest import BUCKETS, SHORT_BYTES
from shared.errors import BadInput
from shared.merge import Count

HUBS_MAX = 32
STATES_MAX = 16
SECTION_BYTES_MAX = 16 * 1024

Name = Annotated[str, Meta(min_length=1, max_length=64)]
Word = Annotated[str, Meta(max_length=16)]
Short = Annotated[str, Meta(max_length=64)]


class HubBelief(msgspec.Struct, frozen=True, array_like=True):
    """What a hub holds of another one: alive, avoid, dead, leaving or unknown, and of which life."""

    state: Word
    instance: Short = ""

    def to_wire(self) -> dict[str, str]:
        """As it is shown."""
        return {"state": self.state, "instance": self.instance}


class ViewSection(msgspec.Struct, frozen=True):
    """The view of one hub. `root` stands for all buckets; `buckets` are base64.

    `number` grows with each section of a life; 0 is said by older releases, which do not count.
    """

    hubs: Annotated[dict[Name, HubBelief], Meta(max_length=HUBS_MAX)]
    root: Annotated[str, Meta(min_length=16, max_length=16)]
    nodes: Count = 0
    states: Annotated[dict[Word, Count], Meta(max_length=STATES_MAX)] = {}
    buckets: Annotated[str, Meta(max_length=2 * BUCKETS * SHORT_BYTES)] = ""
    number: Count = 0

    def is_older(self, other: "ViewSection", hub: str) -> bool:
        """Whether this hub said something else, `other`, later in the same life."""
        mine, theirs = self.hubs.get(hub), other.hubs.get(hub)
        same_life = mine is not None and theirs is not None and mine.instance == theirs.instance
        return same_life and 0 < self.number <= other.number


_decoder = msgspec.json.Decoder(ViewSection)


def read_view(body: bytes) -> ViewSection:
    """Read a section as `msgspec.json.encode` writes it; raises BadInput."""
    if len(body) > SECTION_BYTES_MAX:
        raise BadInput(f"the view of a hub has at most {SECTION_BYTES_MAX} bytes, not {len(body)}")
    try:
        section = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"the view of a hub cannot be read: {error}") from error
    short_buckets(section)
    return section


def short_buckets(section: ViewSection) -> bytes | None:
    """The buckets in a section, None when it has none; raises BadInput."""
    if not section.buckets:
        return None
    try:
        buckets = base64.b64decode(section.buckets, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadInput("the buckets in the view of a hub are not base64") from error
    if len(buckets) != BUCKETS * SHORT_BYTES:
        raise BadInput(f"the view of a hub has {BUCKETS * SHORT_BYTES} bytes of buckets")
    return buckets


def to_wire(section: ViewSection) -> dict[str, Any]:
    """The section as JSON values."""
    return dict(msgspec.to_builtins(section))
