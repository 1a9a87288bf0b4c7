"""The newest beats in columns: what is kept comes back as it was, also after slots have moved."""

from hub.nodes.fresh import SILENT, FreshBeats
from hub.nodes.heard import Slots
from shared.beat import Beat, read_beat, write
from shared.merge import NodeRecord, Observation, from_bytes, to_bytes


def seen(beat: int, load: float = 0.5) -> Observation:
    return Observation(1, beat, 1_790_000_000_000 + beat, "hub-1", {"load": {"load_1m": load}})


def test_what_was_heard_last_is_known() -> None:
    """A newer beat replaces an older one; a node that was not heard counts nothing."""
    fresh = FreshBeats("hub-1", Slots())
    fresh.put("edge-2", seen(1))
    fresh.put("edge-2", seen(7, 0.9))
    assert fresh.get("edge-2") == seen(7, 0.9)
    assert fresh.count("edge-2") == (1, 7)
    assert fresh.get("edge-1") is None
    assert fresh.count("edge-1") == SILENT


def test_a_node_that_has_a_slot_but_was_not_heard_is_silent() -> None:
    """Slots are shared with others, who know nodes by what peers say."""
    slots = Slots()
    fresh = FreshBeats("hub-1", slots)
    slots.of("edge-1")
    fresh.put("edge-2", seen(3))
    slots.of("edge-3")
    assert [fresh.get(name) for name in ("edge-1", "edge-3")] == [None, None]


def test_a_node_that_is_forgotten_may_come_back() -> None:
    """What it said before counts no more."""
    fresh = FreshBeats("hub-1", Slots())
    fresh.put("edge-1", seen(9))
    fresh.forget("edge-1")
    fresh.forget("edge-2")
    assert (fresh.get("edge-1"), fresh.count("edge-1")) == (None, SILENT)
    fresh.put("edge-1", seen(2))
    assert fresh.get("edge-1") == seen(2)


def test_beats_stay_with_their_nodes_when_slots_are_given_back() -> None:
    """Whoever is gone takes nothing of the others along."""
    slots = Slots()
    fresh = FreshBeats("hub-1", slots)
    for number in range(6):
        fresh.put(f"edge-{number}", seen(number + 1))
    slots.of("edge-last")
    slots.keep([1, 4, 6])
    assert fresh.get("edge-1") == seen(2)
    assert fresh.get("edge-4") == seen(5)
    assert [fresh.get(name) for name in ("edge-0", "edge-5", "edge-last")] == [None] * 3


def test_the_name_of_a_node_is_kept_once() -> None:
    """Beats, records and slots share one text, wherever they come from: there are 100,000 of them."""
    beat = read_beat(write(Beat("edge-4711", 1, 1, "e", 1, {}, {}, {})))
    record = from_bytes(to_bytes(NodeRecord("edge-4711")))
    slots = Slots()
    slots.of(b"edge-4711".decode())
    assert beat.node_id is record.node_id
    assert slots.names[0] is record.node_id
