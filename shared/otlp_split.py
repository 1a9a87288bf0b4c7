"""Cutting a body in two, for when a hub finds the whole too large or one record in it unreadable."""

from typing import Any

from shared.otlp_tree import TREES, Tree, prune, record_lists
from shared.records import Encoding, Part, Signal


def split_part(signal: Signal, encoding: Encoding, body: bytes) -> tuple[Part, Part] | None:
    """Two parts with the records of a stored, decompressed body, in order, half of them each.

    A record keeps its resource, its scope and its metric. None when there are fewer than two
    records. Raises BadInput when the body cannot be read.
    """
    signal, tree = Signal(signal), TREES[Encoding(encoding)]
    first, second = tree.open(signal, body), tree.open(signal, body)
    records = _count(tree, signal, first)
    if records < 2:
        return None
    _cut(tree, signal, first, 0, records // 2)
    _cut(tree, signal, second, records // 2, records)
    return tree.seal(signal, first), tree.seal(signal, second)


def _count(tree: Tree, signal: Signal, request: Any) -> int:
    lists = record_lists(tree, signal, request)
    return sum(len(tree.many(message, field)) for message, field in lists)


def _cut(tree: Tree, signal: Signal, request: Any, start: int, stop: int) -> None:
    """Keep the records from `start` to before `stop`, and what they are in."""
    passed = 0
    for message, field in record_lists(tree, signal, request):
        held = tree.many(message, field)
        kept = held[max(0, start - passed) : max(0, stop - passed)]
        passed += len(held)
        if len(kept) < len(held):
            tree.keep(message, field, kept)
    prune(tree, signal, request)
