"""Takes up the node records of the last life, a page at a time, so that a hub that starts over
100,000 of them does not stand still: they are read and checked off the event loop."""

from functools import partial

from hub.peering.exchange_saved import ReadNode, SavedGossip, read_node
from hub.registry import RULES, Registry
from hub.store import gossip_table
from shared.memory import give_back
from shared.merge import NodeRecord
from shared.runtime import Runtime
from shared.sqlite import Database

PAGE_RECORDS = 2000  # Some ten milliseconds of the event loop.


async def load_nodes(
    registry: Registry, database: Database, runtime: Runtime, life: str, cluster: str
) -> dict[str, str]:
    """Begin a life with all that is on disk; returns the nodes that cannot be read, with why.

    Nothing else may write node records meanwhile.
    """
    known = await runtime.offload(partial(_vector, database))
    beginning, after = registry.beginning(life), ""
    while page := await runtime.offload(partial(_page, database, after)):
        registry.load(beginning, page)
        after = page[-1].node
    unreadable = registry.begun(beginning, cluster, known)
    await runtime.offload(give_back)
    return unreadable


def _vector(database: Database) -> SavedGossip:
    with database.reading() as connection:
        return gossip_table.load_vector(connection)


def _page(database: Database, after: str) -> list[ReadNode[NodeRecord]]:
    with database.reading() as connection:
        page = gossip_table.load_page(connection, after, PAGE_RECORDS)
    return [read_node(RULES, each) for each in page]
