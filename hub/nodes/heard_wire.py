"""The compact form in which a hub tells its peers whose beats moved: numbers, never names twice.

A name gets a number once per numbering; from then on a beat is a gap to the number before, and how
old the news is. Both are mostly small, so that msgpack takes two bytes for a beat. Its count is not
told: the hub that heard it knows that it moved. A beat can be told twice without harm: told again, it
is so much older.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from shared.errors import BadInput, TooLarge
from shared.readers import NAME

NAMES_MAX = 4096
"""Names in one message: 100,000 nodes are introduced in 25 messages of at most 300 KB."""

BEATS_MAX = 8192
"""Beats in one message: more than any hub takes in within a second."""

NUMBERS_MAX = 1_000_000
"""Numbers of one numbering; a hub with so many nodes wants relays."""

AGE_DS_MAX = 65_535
"""Older news is told as so old: after 1.8 hours nobody cares how dead a node is."""

INTERVAL_DS_MAX = 36_000

BYTES_MAX = 1024 * 1024

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Number = Annotated[int, Meta(ge=0, le=NUMBERS_MAX)]
AgeDs = Annotated[int, Meta(ge=0, le=AGE_DS_MAX)]
Name = Annotated[str, Meta(pattern=rf"\A{NAME.pattern}\Z")]
Numbering = Annotated[str, Meta(min_length=1, max_length=64)]


class HeardSection(msgspec.Struct, frozen=True, array_like=True):
    """What moved at one hub, for one peer.

    `first` is the number of the first of `names`. `gaps` and `ages` are of one length and sorted by
    number: distance to the number before (the first from 0), and tenths of seconds since the node's
    beat moved when this was sent.
    The whole covers the sender's changes up to `through`; `interval_ds` is what it asks of nodes.
    """

    numbering: Numbering
    interval_ds: Annotated[int, Meta(ge=1, le=INTERVAL_DS_MAX)]
    through: Count
    first: Number
    names: Annotated[list[Name], Meta(max_length=NAMES_MAX)]
    gaps: Annotated[list[Number], Meta(max_length=BEATS_MAX)]
    ages: Annotated[list[AgeDs], Meta(max_length=BEATS_MAX)]


class HeardReply(msgspec.Struct, frozen=True):
    """How far a peer is with a numbering: so many names, and all changes up to `through`."""

    numbering: Annotated[str, Meta(max_length=64)]
    names: Number
    through: Count


_decoder = msgspec.msgpack.Decoder(HeardSection)
_encoder = msgspec.msgpack.Encoder()


def write(section: HeardSection) -> bytes:
    """The section as msgpack."""
    return _encoder.encode(section)


def read(body: bytes) -> HeardSection:
    """Read a section from a peer; raises BadInput."""
    if len(body) > BYTES_MAX:
        raise TooLarge("what a hub heard", BYTES_MAX)
    try:
        section = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"what a hub heard cannot be read: {error}") from error
    check(section)
    return section


def check(section: HeardSection) -> None:
    """Refuse what its types allow and its meaning does not; raises BadInput."""
    if len(section.gaps) != len(section.ages):
        raise BadInput("what a hub heard has columns of different length")
    if section.first + len(section.names) > NUMBERS_MAX:
        raise BadInput(f"a hub numbers at most {NUMBERS_MAX} nodes")
    if sum(section.gaps) > NUMBERS_MAX:
        raise BadInput("what a hub heard names a number that no hub gives")
    if 0 in section.gaps[1:]:
        raise BadInput("what a hub heard names a number twice")
