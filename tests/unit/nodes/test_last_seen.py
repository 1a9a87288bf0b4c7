"""When a node was heard last: the newest moment that any hub tells, whoever heard it."""

from hub.describe import Now, describe_node
from hub.nodes.heard_told import HeardTold
from hub.registry import Registry
from shared.beat import Beat
from shared.merge import NodeRecord, Observation
from shared.stamp import HybridClock

WALL_MS = 1_790_000_000_000


def test_a_hub_that_started_again_shows_what_others_heard_meanwhile() -> None:
    """Its own record is of the last beat that hubs told each other, up to a minute before the last one."""
    registry = Registry("hub-1", 0.0, HybridClock("hub-1"), numbering="one")
    record = NodeRecord("edge-1", None, Observation(1, 1, WALL_MS - 27_000, "hub-1", {}))
    registry.apply(record, 0.0)
    before = describe_node(registry, registry.records["edge-1"], Now(5.0, WALL_MS))
    assert before["last_seen_by"] == "hub-1"
    told = HeardTold("two")
    told.moved("edge-1", 100.0)
    section = told.section("hub-1", 1.0, 110.0)
    assert section is not None
    registry.life.heard.take("hub-2", section, 5.0)
    after = describe_node(registry, registry.records["edge-1"], Now(5.0, WALL_MS))
    assert (after["last_seen"], after["last_seen_by"]) == (Now(5.0, WALL_MS).before(10.0), "hub-2")


def test_what_this_hub_heard_itself_is_shown_to_the_millisecond() -> None:
    """However long ago by its monotonic clock: the time shown does not tremble."""
    registry = Registry("hub-1", 0.0, HybridClock("hub-1"), numbering="one")
    registry.hear(Beat("edge-1", 1, 1, "e", 1, {}, {}, {}), 1.0, WALL_MS)
    for wall_ms in (WALL_MS + 999, WALL_MS + 1_003):
        shown = describe_node(registry, registry.records["edge-1"], Now(2.0, wall_ms))
        assert shown["last_seen"] == Now(1.0, WALL_MS).time(1.0)
