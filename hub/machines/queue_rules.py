"""Orders that wait for their nodes, as they stand in the replicated records of nodes. Rules only.

Each life of each hub writes one field of a node's record and no other, so that hubs never write over
each other: its own orders, and which orders of anybody are over. An order is open while some field has
it, none says that it is over, and its time has not come. Whoever hands it to the node, and however
often, hands the same request id, which the node remembers for longer than any order is open.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from shared.errors import RpcError
from shared.merge import UNIX_MS_MAX, NodeRecord
from shared.orders import QUEUEABLE, OrderId, QueuedOrder

FIELD = "queued:"
ORDERS_OF_NODE_MAX = 32
PARAMS_BYTES_MAX = 16 * 1024
BOOK_BYTES_MAX = 64 * 1024
"""Records of nodes travel between all hubs, so what is in them stays small."""

OVER_MAX = 256
EPOCH_LENGTH = 8

Ms = Annotated[int, Meta(ge=0, le=UNIX_MS_MAX)]


class Waiting(Struct, frozen=True):
    """An order with when it was given, and when it is too late for it."""

    order: QueuedOrder
    at_ms: Ms
    expires_ms: Ms

    @property
    def id(self) -> str:
        """Its request id."""
        return self.order.request_id


class Book(Struct, frozen=True):
    """What one life of a hub says of the orders of a node. `over` has until when to say so."""

    orders: Annotated[list[Waiting], Meta(max_length=ORDERS_OF_NODE_MAX)] = []
    over: Annotated[dict[OrderId, Ms], Meta(max_length=OVER_MAX)] = {}


NOTHING = Book()


def field_of(hub_id: str, store_epoch: str) -> str:
    """The field of one life of a hub: one that lost its disk must not write over what it forgot."""
    return f"{FIELD}{hub_id}:{store_epoch[:EPOCH_LENGTH]}"


def has_any(record: NodeRecord | None) -> bool:
    """Whether a node's record has such fields at all."""
    return record is not None and any(name.startswith(FIELD) for name in record.intent)


def books_of(record: NodeRecord | None) -> dict[str, Book]:
    """All books of a node; one that cannot be read is left out."""
    if record is None:
        return {}
    read = ((name, _book(record.intent_value(name))) for name in record.intent if _is_ours(name))
    return {name: book for name, book in read if book is not None}


def open_orders(books: Mapping[str, Book], now_ms: int) -> list[Waiting]:
    """The orders that are still to be done, oldest first, each once."""
    over = {each for book in books.values() for each in book.over}
    found: dict[str, Waiting] = {}
    for _, book in sorted(books.items()):
        for each in book.orders:
            if each.id not in over and each.expires_ms > now_ms:
                found.setdefault(each.id, each)
    return sorted(found.values(), key=lambda each: (each.at_ms, each.id))


def is_over(books: Mapping[str, Book], request_id: str) -> bool:
    """Whether somebody said that an order is over."""
    return any(request_id in book.over for book in books.values())


def added(books: Mapping[str, Book], mine: str, fresh: Waiting, now_ms: int) -> Book | None:
    """My book with one more order; None when it waits already, or is over.

    Raises RpcError conflict for a request id that stands for another order, and quota.
    """
    waiting = open_orders(books, now_ms)
    known = next((each for each in waiting if each.id == fresh.id), None)
    if known is not None:
        check_same(known.order, fresh.order)
        return None
    if is_over(books, fresh.id):
        return None
    book = tidied(books, mine, now_ms)
    if len(waiting) >= ORDERS_OF_NODE_MAX or len(book.orders) >= ORDERS_OF_NODE_MAX:
        message = f"{ORDERS_OF_NODE_MAX} orders wait for this node already: cancel some"
        raise RpcError("quota", message, {"limit": ORDERS_OF_NODE_MAX})
    grown = Book([*book.orders, fresh], book.over)
    if len(msgspec.json.encode(grown)) > BOOK_BYTES_MAX:
        message = f"the orders that wait for this node may have {BOOK_BYTES_MAX} bytes in all"
        raise RpcError("quota", message, {"limit": BOOK_BYTES_MAX})
    return grown


def check_same(known: QueuedOrder, asked: QueuedOrder) -> None:
    """Raise RpcError conflict when one request id is used for two things."""
    if (known.method, known.vm, known.params) != (asked.method, asked.vm, asked.params):
        message = f"request_id {asked.request_id!r} was already used for another order"
        raise RpcError("conflict", message, {"request_id": asked.request_id})


def closed(
    books: Mapping[str, Book], mine: str, request_ids: Iterable[str], now_ms: int
) -> Book | None:
    """My book with these open orders said to be over; None when none of them is open."""
    waiting = {each.id: each for each in open_orders(books, now_ms)}
    ended = {each: waiting[each].expires_ms for each in request_ids if each in waiting}
    if not ended:
        return None
    book = tidied(books, mine, now_ms)
    kept = sorted({**book.over, **ended}.items(), key=lambda each: -each[1])[:OVER_MAX]
    return Book([each for each in book.orders if each.id not in ended], dict(kept))


def tidied(books: Mapping[str, Book], mine: str, now_ms: int) -> Book:
    """My book without what is over or too late."""
    over = {each for book in books.values() for each in book.over}
    book = books.get(mine, NOTHING)
    return Book(
        [each for each in book.orders if each.id not in over and each.expires_ms > now_ms],
        {each: until for each, until in book.over.items() if until > now_ms},
    )


def expired(books: Mapping[str, Book], mine: str, now_ms: int) -> list[Waiting]:
    """My orders that came too late, and of which nobody says that they are over."""
    book = books.get(mine, NOTHING)
    return [
        each for each in book.orders if each.expires_ms <= now_ms and not is_over(books, each.id)
    ]


def check_order(order: QueuedOrder) -> None:
    """Raise RpcError for an order that cannot wait."""
    if order.method not in QUEUEABLE:
        raise RpcError("invalid_params", f"{order.method} cannot wait for a node: leave out queue")
    if len(msgspec.json.encode(order.params)) > PARAMS_BYTES_MAX:
        raise RpcError("invalid_params", f"an order that waits holds {PARAMS_BYTES_MAX} bytes")


def to_value(book: Book) -> Any:
    """The book as it stands in a record."""
    return msgspec.to_builtins(book)


def _is_ours(name: str) -> bool:
    return name.startswith(FIELD)


def _book(value: Any) -> Book | None:
    try:
        return msgspec.convert(value, Book)
    except (msgspec.ValidationError, RecursionError):
        return None
