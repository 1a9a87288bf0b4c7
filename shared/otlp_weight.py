"""How much memory a body takes once it is decoded, bounded before anything is decoded.

An empty log record is 2 bytes on the wire and about 140 in memory, so 64 MiB of them would become
several GiB. Three looks, each only where the one before was not enough: at the size alone, which lets
every ordinary body pass at no cost; at the bytes that can begin a message; and along the wire, field
by field, which is exact and slow.

Source of the wire format: https://protobuf.dev/programming-guides/encoding/.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from shared.errors import TooLarge
from shared.records import MIB

PROTO_DECODED_BYTES_MAX = 512 * MIB
"""Of one body. Ordinary ones grow about fourfold, so that even the largest stays below."""

JSON_DECODED_BYTES_MAX = 768 * MIB
"""The same for JSON, which is not counted as exactly: ordinary bodies look as if they grew tenfold."""

MESSAGE_BYTES = 56
FIELD_BYTES = 9
"""Measured with protobuf 7.36: a decoded message takes less than 56 bytes, 9 more for each of its
fields, and its place in the list of its parent is in that."""

UNKNOWN_BYTES = 64
"""What the first field that is not known adds to a message; further ones add their own bytes."""

ITEM_BYTES = 32
"""A number or text in a list: up to 16 bytes, and as much again for the room in which a list grows."""

OBJECT_BYTES = 160
MEMBER_BYTES = 64
"""What the largest of the shapes in otlp_json takes, and a text or number in it or in a list."""

JSON_GROWTH_MAX = 80
"""Decoded bytes per byte of JSON in the worst case, which is a list of empty objects."""

DEPTH_MAX = 100
"""Decoders go no deeper into messages, and neither does the walk."""

_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)

_VARINT, _FIXED_64, _LENGTH_DELIMITED, _GROUP, _GROUP_END, _FIXED_32 = range(6)
_FIXED_BYTES = {_FIXED_64: 8, _FIXED_32: 4}
_FIXED_TYPES = {
    FieldDescriptor.TYPE_FIXED64: _FIXED_64,
    FieldDescriptor.TYPE_SFIXED64: _FIXED_64,
    FieldDescriptor.TYPE_DOUBLE: _FIXED_64,
    FieldDescriptor.TYPE_FIXED32: _FIXED_32,
    FieldDescriptor.TYPE_SFIXED32: _FIXED_32,
    FieldDescriptor.TYPE_FLOAT: _FIXED_32,
}
_TEXT_TYPES = frozenset({FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES})


@dataclass(slots=True, eq=False)
class Kind:
    """What the weight of a message of one type depends on."""

    weight_bytes: int
    known: frozenset[int] = frozenset()
    """The numbers of its fields."""
    items: frozenset[int] = frozenset()
    """Those that are lists of anything but messages."""
    numbers: frozenset[int] = frozenset()
    """Those lists that are of numbers: they may come packed, as a run of a byte for each."""
    children: "dict[int, Kind]" = field(default_factory=dict)
    """The types of the messages in it, by the tag that they have on the wire."""
    texts: frozenset[int] = frozenset()
    """The tags of its texts and ids."""
    fixed: dict[int, int] = field(default_factory=dict)
    """The sizes in bytes of its numbers of fixed size, by their tags."""


@dataclass(frozen=True, slots=True)
class Family:
    """All message types that can occur in one request."""

    root: Kind
    weight_bytes_max: int
    starts: bytes
    """Each message and each text in a list has at least one of these bytes on the wire."""
    has_numbers: bool
    """Numbers in lists have no byte of their own that could be counted."""


def check_proto(family: Family, body: bytes) -> None:
    """Raise TooLarge when decoding this body would take more than PROTO_DECODED_BYTES_MAX."""
    if len(body) * (family.weight_bytes_max // 2 + 1) <= PROTO_DECODED_BYTES_MAX:
        return  # Even if it were nothing but messages of two bytes.
    if not family.has_numbers and _starting_bytes(family, body) <= PROTO_DECODED_BYTES_MAX:
        return
    if decoded_bytes(family, body, PROTO_DECODED_BYTES_MAX) > PROTO_DECODED_BYTES_MAX:
        raise TooLarge(f"the body of {len(body)} bytes, once decoded,", PROTO_DECODED_BYTES_MAX)


def check_json(body: bytes) -> None:
    """Raise TooLarge when decoding this body might take more than JSON_DECODED_BYTES_MAX."""
    if len(body) * JSON_GROWTH_MAX <= JSON_DECODED_BYTES_MAX:
        return
    if _json_bytes(body, body) <= JSON_DECODED_BYTES_MAX:
        return
    # Braces and commas in texts were counted, too. Without the texts there are none of those.
    if _json_bytes(body, _TEXT.sub(b"", body)) > JSON_DECODED_BYTES_MAX:
        raise TooLarge(f"the body of {len(body)} bytes, once decoded,", JSON_DECODED_BYTES_MAX)


def decoded_bytes(family: Family, body: bytes, stop_bytes: int) -> int:
    """About how much memory the decoded body takes, never less; ends early past `stop_bytes`.

    Of a malformed body only what comes before the mistake counts: decoders stop there, too.
    """
    total = len(body)  # Texts are copied.
    for weight_bytes in _weights(family.root, body):
        total += weight_bytes
        if total > stop_bytes:
            break
    return total


def family_of(request: type[Message]) -> Family:
    """The types that can occur in this request, and their weights."""
    kinds: dict[str, Kind] = {}
    root = _kind_of(request.DESCRIPTOR, kinds)
    lists = {_text_tag(number) for kind in kinds.values() for number in kind.items}
    tags = lists.union(*(kind.children for kind in kinds.values()))
    return Family(
        root,
        max(kind.weight_bytes for kind in kinds.values()),
        bytes(_first_bytes(tags)),
        any(kind.numbers for kind in kinds.values()),
    )


def _json_bytes(body: bytes, bones: bytes) -> int:
    # One character beyond the Basic Multilingual Plane makes all of its text four times as wide.
    is_narrow = body.isascii() and b"\\u" not in body
    texts = len(body) if is_narrow else 4 * len(body)
    return texts + OBJECT_BYTES * bones.count(b"{") + MEMBER_BYTES * bones.count(b",")


def _starting_bytes(family: Family, body: bytes) -> int:
    """More than the body can take: as if every byte that can begin a message began the largest."""
    starts = len(body) - len(body.translate(None, family.starts))
    return len(body) + starts * (family.weight_bytes_max + UNKNOWN_BYTES)


def _weights(kind: Kind, body: bytes) -> Iterator[int]:
    """The weights of messages and list items in the order of the wire, until a mistake in it.

    One loop, and the frequent kinds of fields first: a call for each field would double the time.
    """
    at, end = 0, len(body)
    above: list[tuple[Kind, int]] = []
    with suppress(IndexError):  # Of a body that ends within a number.
        while above or at < end:
            if at >= end:
                kind, end = above.pop()
                continue
            tag, at = body[at], at + 1
            if tag > 0x7F:
                tag, at = _varint(body, at - 1)
            if tag in kind.fixed:
                at += kind.fixed[tag]
            elif tag in kind.texts or tag in kind.children:
                length, at = body[at], at + 1
                if length > 0x7F:
                    length, at = _varint(body, at - 1)
                if tag in kind.texts:
                    at += length
                    continue
                if len(above) == DEPTH_MAX:
                    return
                above.append((kind, end))
                kind, end = kind.children[tag], min(at + length, end)
                yield kind.weight_bytes
            else:
                weight_bytes, at = _other(kind, body, tag, at)
                yield weight_bytes


def _other(kind: Kind, body: bytes, tag: int, at: int) -> tuple[int, int]:
    """What a field adds that is none of the frequent ones, and where it ends."""
    number, wire = tag >> 3, tag & 7
    begin, at = at, _past(body, at, wire)
    if number in kind.numbers and wire == _LENGTH_DELIMITED:
        return (at - begin) * ITEM_BYTES, at
    if number in kind.items:
        return ITEM_BYTES, at
    return (0 if number in kind.known else UNKNOWN_BYTES), at


def _past(body: bytes, at: int, wire: int) -> int:
    """Where the content of a field ends; behind everything when it is malformed."""
    if wire == _VARINT:
        return _varint(body, at)[1]
    if wire == _LENGTH_DELIMITED:
        length, at = _varint(body, at)
        return at + length
    if wire == _GROUP:
        return _past_group(body, at)
    return at + _FIXED_BYTES.get(wire, len(body))


def _past_group(body: bytes, at: int) -> int:
    """Where a group ends. No field of ours is one, so it is kept as the bytes that it is."""
    depth = 1
    while depth and at < len(body):
        tag, at = _varint(body, at)
        wire = tag & 7
        if wire in (_GROUP, _GROUP_END):
            depth += 1 if wire == _GROUP else -1
        else:
            at = _past(body, at, wire)
    return at


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """An integer and where it ends; 0 and a place behind everything when it is malformed."""
    value = shift = 0
    for byte in body[at : at + 10]:
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    return 0, len(body) + 1


def _kind_of(message: Any, kinds: dict[str, Kind]) -> Kind:
    if message.full_name in kinds:
        return kinds[message.full_name]
    # The alternatives of a oneof share their place.
    slots = {each.containing_oneof or each.number for each in message.fields}
    kind = Kind(MESSAGE_BYTES + FIELD_BYTES * len(slots))
    kinds[message.full_name] = kind  # Before its children: values hold values.
    plain = [each for each in message.fields if each.message_type is None]
    lists = [each for each in plain if each.is_repeated]
    single = [each for each in plain if not each.is_repeated]
    kind.known = frozenset(each.number for each in message.fields)
    kind.items = frozenset(each.number for each in lists)
    kind.numbers = frozenset(each.number for each in lists if each.type not in _TEXT_TYPES)
    kind.texts = frozenset(_text_tag(each.number) for each in single if each.type in _TEXT_TYPES)
    wires = {each.number: _FIXED_TYPES[each.type] for each in single if each.type in _FIXED_TYPES}
    kind.fixed = {number << 3 | wire: _FIXED_BYTES[wire] for number, wire in wires.items()}
    for each in message.fields:
        if each.message_type is not None:
            kind.children[_text_tag(each.number)] = _kind_of(each.message_type, kinds)
    return kind


def _text_tag(number: int) -> int:
    return number << 3 | _LENGTH_DELIMITED


def _first_bytes(tags: Iterable[int]) -> set[int]:
    """What these tags begin with: seven bits, alone or continued."""
    return {tag for tag in tags if tag < 0x80} | {tag & 0x7F | 0x80 for tag in tags}
