"""What hubs say to each other about nodes, as MessagePack: version 2, every list bounded.

*Push* carries what its sender has just originated, and nobody answers it. *Pulse* tells each second
what a hub has. *Ask* and *Answer* fetch what is missing, page by page. The rest is the digest sweep.
A record travels as bytes, so that one that cannot be read spoils nothing around it.
"""

import sys
from collections.abc import Iterable, Mapping
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta
from msgspec.structs import force_setattr

from hub.peering.digests import BUCKETS, TABLE_BYTES
from hub.peering.refusals import OtherCluster, OtherVersion
from hub.peering.vector import STREAMS_MAX, Stream
from shared.errors import BadInput, TooLarge
from shared.ranges import SEQ_MAX
from shared.readers import NAME

VERSION = 2
"""Of these messages. New fields leave it as it is: older hubs pass them over."""

RECORDS_MAX = 1000  # A page is decoded and merged in some milliseconds.
PUSH_BYTES_MAX = 256 * 1024
PAGE_BYTES_MAX = 1024 * 1024
RECORD_BYTES_MAX = 256 * 1024
"""Of one record on the wire: far more than any node says, so that only nonsense is refused."""

MESSAGE_BYTES_MAX = 4 * 1024 * 1024
DOTS_MAX = 64
SPANS_OF_STREAM_MAX = 4096
RETIRED_MAX = 64
LISTED_MAX = 5000

HubId = Annotated[str, Meta(pattern=rf"\A{NAME.pattern}\Z")]
NodeId = HubId
Epoch = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._-]{1,64}\Z")]
Cluster = Annotated[str, Meta(max_length=128)]
Seq = Annotated[int, Meta(ge=1, le=SEQ_MAX)]
Position = Annotated[int, Meta(ge=0, le=SEQ_MAX)]
Span = tuple[Seq, Seq]
StreamName = tuple[HubId, Epoch]
ToldStream = tuple[HubId, Epoch, Annotated[list[Span], Meta(max_length=SPANS_OF_STREAM_MAX)]]
ToldVector = Annotated[list[ToldStream], Meta(max_length=STREAMS_MAX)]
Streams = Annotated[list[StreamName], Meta(max_length=STREAMS_MAX)]
Index = Annotated[int, Meta(ge=0, lt=STREAMS_MAX)]
Digest = Annotated[str, Meta(max_length=64)]
Hash = Annotated[int, Meta(ge=0)]  # MessagePack has no larger numbers than 64 bits.
Buckets = Annotated[list[Annotated[int, Meta(ge=0, lt=BUCKETS)]], Meta(max_length=BUCKETS)]


class Item(msgspec.Struct, frozen=True, array_like=True):
    """A record, or what has changed of one, with the changes that are in it: `[stream, number]`.

    `base` is -1 for a whole record. A part names one dot, and counts only where the node already has
    the number `base` of that stream (0: none is needed).
    """

    node: NodeId
    dots: Annotated[list[tuple[Index, Seq]], Meta(max_length=DOTS_MAX)]
    record: Annotated[bytes, Meta(max_length=RECORD_BYTES_MAX)]
    base: Annotated[int, Meta(ge=-1, le=SEQ_MAX)] = -1

    def __post_init__(self) -> None:
        # The name of a node is in many tables: one text for all of them.
        force_setattr(self, "node", sys.intern(self.node))


Items = Annotated[list[Item], Meta(max_length=RECORDS_MAX)]


class Retired(msgspec.Struct, frozen=True, array_like=True):
    """A stream that is no more: what was covered of it is in `successor` up to the number `through`."""

    stream: StreamName
    successor: StreamName
    through: Position
    covered: Annotated[list[Span], Meta(max_length=SPANS_OF_STREAM_MAX)]


class Head(msgspec.Struct, frozen=True):
    """What every message begins with. `life` is the epoch of the sender's own stream."""

    version: int
    cluster: Cluster
    sender: HubId
    life: Epoch


class Push(Head, frozen=True, tag="push"):
    """New changes of the sender's own stream; `claims` says which numbers these are in all, when the
    message holds everything that was to tell."""

    streams: Streams
    items: Items
    claims: Span | None = None


class Pulse(Head, frozen=True, tag="pulse"):
    """What the sender covers, the position up to which that is all of its table, and which digest it
    `knows` of the receiver; `vector` is left out while the receiver knows it."""

    position: Position
    digest: Digest
    knows: Digest
    vector: ToldVector | None = None
    retired: Annotated[list[Retired], Meta(max_length=RETIRED_MAX)] = []


class Ask(Head, frozen=True, tag="ask"):
    """A wish for what has changed after a position and is not in `have`."""

    asked_life: Epoch
    after: Position
    have: ToldVector


class Answer(Head, frozen=True, tag="answer"):
    """A page. The last one (`vector` is there) lets the asker claim all that the sender covers."""

    through: Position
    streams: Streams
    items: Items
    vector: ToldVector | None = None


class Table(Head, frozen=True, tag="table"):
    """All the digests of the sender."""

    table: Annotated[bytes, Meta(min_length=TABLE_BYTES, max_length=TABLE_BYTES)]


class Listing(Head, frozen=True, tag="listing"):
    """The hashes of the sender's nodes in some buckets, by name, after `after` and up to the last one
    listed; to the end when `is_last`."""

    buckets: Buckets
    after: Annotated[str, Meta(max_length=64)]
    nodes: Annotated[list[tuple[NodeId, Hash]], Meta(max_length=LISTED_MAX)]
    is_last: bool


class Swap(Head, frozen=True, tag="swap"):
    """Records that differ, as the sender has them; `wanted` names those that it wants to see."""

    streams: Streams
    items: Items
    wanted: Annotated[list[NodeId], Meta(max_length=LISTED_MAX)] = []


Message = Push | Pulse | Ask | Answer | Table | Listing | Swap
Kind = TypeVar("Kind", bound=Head)

_encoder = msgspec.msgpack.Encoder()
_head = msgspec.msgpack.Decoder(Head)
_message = msgspec.msgpack.Decoder(Message)


def write(message: Message) -> bytes:
    """The message as bytes."""
    return _encoder.encode(message)


def read(body: bytes, kind: type[Kind], cluster: str) -> Kind:
    """Read a message of one kind; raises BadInput, or Refused when it is of another cluster."""
    if len(body) > MESSAGE_BYTES_MAX:
        raise TooLarge("a message between hubs", MESSAGE_BYTES_MAX)
    try:
        _check_head(_head.decode(body), cluster)
        message = _message.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"a message between hubs cannot be read: {error}") from error
    if not isinstance(message, kind):
        found, wanted = type(message).__name__.lower(), kind.__name__.lower()
        raise BadInput(f"this is a message of the kind {found} and not {wanted}")
    return message


def _check_head(head: Head, cluster: str) -> None:
    if head.version != VERSION:
        raise OtherVersion(head.sender, head.version, VERSION)
    if head.cluster != cluster:
        raise OtherCluster(head.sender, head.cluster, cluster)


def dots_of(item: Item, streams: list[StreamName]) -> dict[Stream, int]:
    """The changes in an item, by stream; raises BadInput for a stream that is not in the message."""
    dots: dict[Stream, int] = {}
    for index, seq in item.dots:
        if index >= len(streams):
            raise BadInput(f"{item.node} names stream {index} of {len(streams)}")
        dots[streams[index]] = seq
    if len(dots) != len(item.dots) or not dots:
        raise BadInput(f"{item.node} must name each of its streams once, and one at least")
    if item.base >= 0 and len(dots) != 1:
        raise BadInput(f"a part of {item.node} must name one change")
    if item.base >= 0 and item.base >= max(dots.values()):
        raise BadInput(f"a part of {item.node} must come after what it needs")
    return dots


class Names:
    """Gives the streams of one message short numbers."""

    def __init__(self) -> None:
        self.streams: list[StreamName] = []
        self._index: dict[Stream, int] = {}

    def dots(self, dots: Mapping[Stream, int]) -> list[tuple[int, int]]:
        """Dots as an item carries them: no more than an item may carry, which is safe."""
        return [(self._number(stream), seq) for stream, seq in list(dots.items())[:DOTS_MAX]]

    def _number(self, stream: Stream) -> int:
        if stream not in self._index:
            self._index[stream] = len(self.streams)
            self.streams.append(stream)
        return self._index[stream]


def size_of(item: Item) -> int:
    """About how many bytes an item takes in a message."""
    return len(item.record) + len(item.node) + 12 * len(item.dots) + 16


def fitting(items: Iterable[Item], bytes_max: int) -> list[Item]:
    """The first items that fit into a message: one at least."""
    page: list[Item] = []
    room = bytes_max
    for item in items:
        room -= size_of(item)
        if page and (room < 0 or len(page) >= RECORDS_MAX):
            break
        page.append(item)
    return page
