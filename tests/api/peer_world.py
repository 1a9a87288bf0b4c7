"""What a peer hub posts about nodes, written by hand."""

from typing import Any

from hub.peering import exchange_wire
from hub.peering.exchange_wire import Ask, Item, Push
from hub.peering.node_letters import write_letter
from shared.merge import NodeRecord, to_bytes
from shared.security import derive
from tests.api.conftest import CLUSTER_KEY

CLUSTER = derive(CLUSTER_KEY, "cluster id")[:16]
LIFE = "of-hub-2.1"


def head(**changes: Any) -> dict[str, Any]:
    """What every message of the second hub begins with."""
    usual = {"version": exchange_wire.VERSION, "cluster": CLUSTER, "sender": "hub-2", "life": LIFE}
    return {**usual, **changes}


def push_of(*records: tuple[str, bytes], first_seq: int = 1, **changes: Any) -> Push:
    """New changes of the second hub: whole records, as bytes."""
    items = [Item(node, [(0, seq)], body) for seq, (node, body) in enumerate(records, first_seq)]
    return Push(**head(**changes), streams=[(changes.get("sender", "hub-2"), LIFE)], items=items)


def push_letter(*records: NodeRecord, **changes: Any) -> bytes:
    """The same, as it is posted."""
    told = [(record.node_id, to_bytes(record)) for record in records]
    return write_letter(push_of(*told, **changes))


def ask_letter(asked_life: str, after: int = 0) -> bytes:
    """A question of a hub that has nothing."""
    return write_letter(Ask(**head(), asked_life=asked_life, after=after, have=[]))
