"""Finding the nodes of one bucket among very many does not hold up a hub."""

import asyncio

from hub.peering.view_calls import NODES_AT_ONCE, ViewCalls
from hub.peering.view_digest import bucket_of
from hub.peering.views import ViewBook
from shared.merge import Facts, NodeRecord

NODES = 4 * NODES_AT_ONCE


async def nobody(*_: object) -> dict[str, object]:
    raise AssertionError("nobody is asked")


async def test_others_have_their_turn_while_a_bucket_is_looked_for() -> None:
    """Beats and the words of other hubs are answered meanwhile."""
    book, turns = ViewBook("hub-1"), 0
    for number in range(NODES):
        book.digest.note(None, NodeRecord(f"edge-{number}", Facts(1, 1, {})))

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    answer = await ViewCalls(book, nobody).hub_views_bucket({"bucket": 7})
    task.cancel()
    assert turns >= NODES // NODES_AT_ONCE
    names = [f"edge-{number}" for number in range(NODES)]
    assert list(answer["nodes"]) == sorted(name for name in names if bucket_of(name) == 7)
    assert answer["nodes_total"] == len(answer["nodes"])
