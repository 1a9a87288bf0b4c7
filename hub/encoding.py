"""Answers as JSON, with breaks: a hub that writes megabytes in one go stands still meanwhile."""

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson

ITEMS_AT_ONCE = 200  # Of nodes some 150 kB, about a millisecond.
DEPTH_MAX = 3  # An answer, its result, and a list in that; deeper ones are written whole.


async def encoded(answer: Any) -> bytes:
    """The JSON text of an answer; what JSON does not know is written as its text.

    The event loop gets its turn within long lists.
    """
    return orjson.dumps(await _told(answer, DEPTH_MAX), default=str)


async def _told(value: Any, depth: int) -> Any:
    """The same value with its long lists written already."""
    if isinstance(value, list):
        return await _pieces(value, depth)
    if isinstance(value, dict) and depth:
        return {name: await _told(held, depth - 1) for name, held in value.items()}
    return value


async def _pieces(items: Sequence[Any], depth: int) -> Any:
    if len(items) <= ITEMS_AT_ONCE:
        has_more_within = depth == DEPTH_MAX  # The answers of a batch.
        return [await _told(item, depth - 1) for item in items] if has_more_within else items
    pieces = list[bytes]()
    for first in range(0, len(items), ITEMS_AT_ONCE):
        await asyncio.sleep(0)
        pieces.append(orjson.dumps(items[first : first + ITEMS_AT_ONCE], default=str)[1:-1])
    return orjson.Fragment(b"[" + b",".join(pieces) + b"]")
