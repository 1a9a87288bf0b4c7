"""Values of a program as OTLP values: bounded, and never an error, whatever the program hands over."""

import reprlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from shared.records import KIB

NAME_BYTES_MAX = 256
TEXT_BYTES_MAX = 64 * KIB
"""Of one text, which may be a stack trace."""

ATTRIBUTES_BYTES_MAX = 128 * KIB
"""Of all attributes of a record. Those that do not fit are left out and counted in the record."""

ATTRIBUTES_MAX = 128
"""The default of the OpenTelemetry specification, too."""

VALUE_BYTES = 16
"""What a value takes beside its text, and never less than it does on the wire."""

DEPTH_MAX = 4
"""Lists in lists: what is deeper is kept as text."""

CUT = "…"
"""The end of a text that was longer."""


_COLLECTIONS = (Mapping, list, tuple, set, frozenset)

T = TypeVar("T")


@dataclass(slots=True)
class Room:
    """How many bytes the attributes of one record may still take."""

    left_bytes: int = ATTRIBUTES_BYTES_MAX

    def take(self, size_bytes: int) -> bool:
        """Take these bytes, or nothing when there are not as many."""
        if size_bytes > self.left_bytes:
            return False
        self.left_bytes -= size_bytes
        return True


@dataclass(slots=True)
class Attributes:
    """Attributes as OTLP writes them, and how many there was no room for."""

    pairs: list[KeyValue] = field(default_factory=list)
    dropped: int = 0


def attributes_of(given: Mapping[str, object]) -> Attributes:
    """As many of these as the bounds allow, in their order."""
    found, room = Attributes(), Room()
    for key, value in given.items():
        pair = _pair(key, value, room, 0) if len(found.pairs) < ATTRIBUTES_MAX else None
        if pair is None:
            found.dropped += 1
        else:
            found.pairs.append(pair)
    return found


def clean(value: object, bytes_max: int) -> str:
    """Any value as text of at most this many bytes of UTF-8; lone surrogates become \\udXXX."""
    text = value if isinstance(value, str) else _told(value)
    encoded = text[:bytes_max].encode("utf-8", "backslashreplace")
    if len(text) <= bytes_max and len(encoded) <= bytes_max:
        return encoded.decode()
    return encoded[: bytes_max - len(CUT.encode())].decode("utf-8", "ignore") + CUT


def number_of(value: object) -> int | float | None:
    """A measured number as OTLP can carry it; None for what is no number."""
    if isinstance(value, int) and is_int64(value):
        return int(value)
    try:
        return float(value)  # type: ignore[arg-type]  # Decimals and numbers of NumPy are welcome.
    except (TypeError, ValueError, OverflowError):
        return None


def is_int64(value: int) -> bool:
    """Whether OTLP has room for this integer."""
    return -(2**63) <= value < 2**63


def _pair(key: object, value: object, room: Room, depth: int) -> KeyValue | None:
    name = clean(key, NAME_BYTES_MAX)
    held = _value(value, room, depth) if room.take(len(name.encode()) + VALUE_BYTES) else None
    return None if held is None else KeyValue(key=name, value=held)


def _value(value: object, room: Room, depth: int) -> AnyValue | None:
    """The value, or None when there is no room for it."""
    if not room.take(VALUE_BYTES):
        return None
    if value is None:
        return AnyValue()
    if isinstance(value, bool):  # Before int: True is an int too.
        return AnyValue(bool_value=value)
    if isinstance(value, int) and is_int64(value):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, _COLLECTIONS) and depth < DEPTH_MAX:
        return _values(value, room, depth + 1)
    if isinstance(value, bytes):
        return AnyValue(bytes_value=value) if room.take(len(value)) else None
    text = clean(value, TEXT_BYTES_MAX)
    return AnyValue(string_value=text) if room.take(len(text.encode())) else None


def _values(value: Mapping[Any, Any] | Iterable[Any], room: Room, depth: int) -> AnyValue:
    """As much of a list or mapping as there is room for."""
    if isinstance(value, Mapping):
        pairs = (_pair(key, each, room, depth) for key, each in value.items())
        return AnyValue(kvlist_value=KeyValueList(values=_while_room(pairs)))
    items = (_value(each, room, depth) for each in value)
    return AnyValue(array_value=ArrayValue(values=_while_room(items)))


def _while_room(found: Iterable[T | None]) -> Iterator[T]:
    for each in found:
        if each is None:
            return
        yield each


def _told(value: object) -> str:
    try:
        # Of large collections a few items tell enough, and the text of all would fill the memory.
        return reprlib.repr(value) if isinstance(value, _COLLECTIONS) else str(value)
    except Exception as error:
        # Whose fault it is, is worth more than an exception in the middle of the program's work.
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"
