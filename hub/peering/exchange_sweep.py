"""The digest sweep: once a minute two hubs find out whether they really hold the same. Pure.

The one that sweeps sends its table of digests; the other lists its nodes in the buckets that differ;
then both give each other the records that differ. In a mesh that works, these are changes on their
way, and their numbers say so. A record that changes although its numbers were all covered is a repair.
"""

from dataclasses import dataclass
from typing import Generic

from hub.peering.exchange import Exchange
from hub.peering.exchange_values import R
from hub.peering.exchange_wire import (
    LISTED_MAX,
    PAGE_BYTES_MAX,
    Listing,
    Names,
    Swap,
    Table,
    fitting,
)
from shared.errors import BadInput

PAGES_MAX = 1000
"""More pages of 5000 nodes than any fleet has."""


@dataclass(slots=True)
class Sweep(Generic[R]):
    """One sweep with one peer. First `table`, then `on_listing` until it has no more to say, and what
    it hands out of `next_swap` in between."""

    exchange: Exchange[R]
    differing: int = 0
    repaired: int = 0
    pages: int = 0

    def table(self) -> Table:
        """The question that begins a sweep."""
        return Table(**self.exchange.head, table=self.exchange.replica.digests.table())

    def on_listing(self, listing: Listing) -> tuple[list[str], Listing | None]:
        """The nodes to swap now, and the question for the next page, if any. Raises BadInput."""
        self.pages += 1
        names = [node for node, _ in listing.nodes]
        if names != sorted(set(names)) or (names and names[0] <= listing.after):
            raise BadInput(f"the nodes that {listing.sender} lists are in no order")
        if not listing.is_last and (not names or self.pages >= PAGES_MAX):
            raise BadInput(f"the list of {listing.sender} leads nowhere")
        through = "" if listing.is_last else names[-1]
        replica = self.exchange.replica
        found = replica.digests.differing(listing.buckets, listing.after, through, listing.nodes)
        apart = replica.parked.entries.keys() | replica.waiting.entries.keys()
        nodes = [node for node in found if node not in apart]
        self.differing += len(nodes)
        if listing.is_last:
            return nodes, None
        after = Listing(
            **self.exchange.head, buckets=listing.buckets, after=through, nodes=[], is_last=False
        )
        return nodes, after

    def next_swap(self, nodes: list[str]) -> tuple[Swap, list[str]]:
        """Our records of some nodes, with the wish to see theirs, and the nodes that remain."""
        swap = _swap(self.exchange, nodes[:LISTED_MAX])
        return swap, nodes[len(swap.wanted) :]

    def on_swap(self, swap: Swap, at_ms: int) -> None:
        """Merge what came back. Raises BadInput."""
        self.repaired += self.exchange.take_swapped(swap.items, swap.streams, swap, at_ms)


def _swap(exchange: Exchange[R], nodes: list[str]) -> Swap:
    """The first of these nodes, as many as fit: those that this hub has as records, all as wishes."""
    replica, names = exchange.replica, Names()
    held = [node for node in nodes if node in replica.records]
    items = fitting(replica.items(held, names), PAGE_BYTES_MAX) if held else []
    last = items[-1].node if len(items) < len(held) else None
    told = nodes if last is None else nodes[: nodes.index(last) + 1]
    return Swap(**exchange.head, streams=names.streams, items=items, wanted=told[:LISTED_MAX])


# ---- the side that is asked


def answer_table(exchange: Exchange[R], table: Table) -> Listing:
    """Our nodes in the buckets that differ: the first page of them."""
    return _listing(exchange, exchange.replica.digests.unequal(table.table), "")


def answer_listing(exchange: Exchange[R], question: Listing) -> Listing:
    """The next page of our nodes in some buckets."""
    return _listing(exchange, question.buckets, question.after)


def _listing(exchange: Exchange[R], buckets: list[int], after: str) -> Listing:
    digests = exchange.replica.digests
    nodes = digests.listing(buckets, after, LISTED_MAX) if buckets else []
    is_last = len(nodes) < LISTED_MAX
    return Listing(**exchange.head, buckets=buckets, after=after, nodes=nodes, is_last=is_last)


def answer_swap(exchange: Exchange[R], swap: Swap, at_ms: int) -> Swap:
    """Merge the records of the one that sweeps, and give it ours as they were before. Raises BadInput."""
    mine = _swap(exchange, [node for node in swap.wanted if node in exchange.replica.records])
    exchange.take_swapped(swap.items, swap.streams, swap, at_ms)
    return Swap(**exchange.head, streams=mine.streams, items=mine.items)
