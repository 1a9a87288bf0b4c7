"""Small hubs and records for tests of the talk about nodes."""

from typing import Any

from hub.peering.exchange import Exchange
from hub.peering.exchange_replica import Replica
from shared.merge import Facts, Intent, NodeRecord
from shared.stamp import Stamp
from tests.law.exchange_world import RULES

NOW = 100.0


def exchange(hub_id: str = "hub-1", life: str = "s.1") -> Exchange[NodeRecord]:
    """A hub that knows nothing."""
    return Exchange(Replica((hub_id, life), RULES), "c1")


def data_of(**fields: Any) -> Any:
    """What nodes and hubs tell, as records keep it."""
    return fields


def facts(node: str, number: int = 1, **data: Any) -> NodeRecord:
    """What a node says of itself."""
    return NodeRecord(node, Facts(1, number, data_of(**data)))


def intent(node: str, name: str, value: object, at: int = 1) -> NodeRecord:
    """What a person wants of a node."""
    return NodeRecord(node, intent={name: Intent(value, Stamp(at, 0, "hub-1"))})


def fetch(asker: Exchange[NodeRecord], teller: Exchange[NodeRecord]) -> int:
    """Hear twice what a hub has, and ask it until nothing is lacking; returns how many pages."""
    for now in (NOW, NOW + 1):
        asker.take_pulse(teller.pulse(asker.replica.own[0]), now)
    pages = 0
    while (found := asker.next_ask(NOW + 1)) is not None:
        asker.take_answer(found[1], teller.answer(found[1]), 5)
        pages += 1
    return pages


def known(hub: Exchange[NodeRecord]) -> dict[str, NodeRecord]:
    """The records of a hub."""
    return hub.replica.records
