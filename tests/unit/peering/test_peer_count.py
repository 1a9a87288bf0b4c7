"""How many peers a hub says that it has: hubs, not addresses."""

import pytest

from hub.peering.detect_values import Failure, Tell
from hub.peers import Peers
from tests.unit.peering.test_detector import Bench


def test_an_address_at_which_nobody_ever_answered_is_no_peer() -> None:
    """The hub that was there is known under another address now, or there never was one."""
    peers = Peers("hub-1", "http://hub-1")
    old, new, _never = peers.learn(["http://old", "http://new", "http://never"], configured=True)
    assert peers.count() == 3, "nobody knows yet who is there"
    new.hub_id = "hub-2"
    assert peers.count() == 1
    old.hub_id = "hub-2"
    assert peers.count() == 1


@pytest.mark.parametrize(
    ("addresses", "peers"), [(("hub-2", "http://old:7700"), 1), (("http://a:1", "http://b:1"), 2)]
)
def test_who_is_isolated_tells_of_hubs_and_not_of_addresses(
    addresses: tuple[str, ...], peers: int
) -> None:
    """Unless nobody has answered anywhere: who these would be nobody knows."""
    bench = Bench(*addresses)
    bench.silent = dict.fromkeys([each for each in addresses if "old" in each], Failure.TIMEOUT)
    bench.silent.update({each: Failure.TIMEOUT for each in addresses if peers == 2})
    bench.run(6.0)
    bench.silent = dict.fromkeys(addresses, Failure.TIMEOUT)
    bench.run(6.0)
    (facts,) = [
        each.facts
        for each in bench.actions
        if isinstance(each, Tell) and each.name == "hub.isolated"
    ]
    assert facts["peers"] == peers
