"""What the rules of the exchange speak of: how records are merged, what becomes of them, streams that
are no more. Values."""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from hub.peering.vector import Stream
from shared.ranges import Ranges

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class RecordRules(Generic[R]):
    """What must be known of records. `merge` is commutative, associative and idempotent, and `encode`
    gives equal bytes for equal records."""

    node_of: Callable[[R], str]
    merge: Callable[[R, R], R]
    encode: Callable[[R], bytes]
    decode: Callable[[bytes], R]


class Taken(enum.Enum):
    """What became of an item."""

    NEW = "new"
    KNOWN = "known"
    EARLY = "early"
    WITHHELD = "withheld"
    REPAIRED = "repaired"
    PARKED = "parked"
    BURIED = "buried"


@dataclass(frozen=True, slots=True)
class RetiredStream:
    """What was `covered` of a stream is in `successor` up to the number `through`."""

    successor: Stream
    through: int
    covered: Ranges


@dataclass(slots=True)
class Unsaid(Generic[R]):
    """What is to be pushed of a node: a part that needs `base`, or the whole record (no part)."""

    part: R | None
    base: int
