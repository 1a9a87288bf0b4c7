"""Removed nodes that go on beating stay out, with words, until a person lets them back."""

import pytest

from hub.nodes.enrolment import SILENT_MS_MAX, Enrolment
from hub.nodes.graves import Graves
from hub.nodes.tombstones import Turn, removal_value, tombstone
from shared.merge import NodeRecord
from shared.stamp import Stamp

REMOVED, AGAIN, BACK = (Stamp(at, 0, "hub-1") for at in (1_000, 2_000, 3_000))


def dead(node_id: str = "edge-1", stamp: Stamp = REMOVED) -> NodeRecord:
    return tombstone(node_id, stamp, removal_value(900, "ada", "sold"))


@pytest.fixture
def enrolment() -> Enrolment:
    return Enrolment(Graves())


def test_a_beat_of_a_live_or_unknown_node_is_welcome(enrolment: Enrolment) -> None:
    assert enrolment.refusal("edge-1", None, 5) is None
    assert enrolment.refusal("edge-1", NodeRecord("edge-1"), 5) is None


def test_a_removed_node_is_told_how_to_come_back(enrolment: Enrolment) -> None:
    refused = enrolment.refusal("edge-1", dead(), 5)
    assert refused is not None
    words = "node edge-1 was removed by ada (sold): `headwater nodes register edge-1` lets it back"
    assert str(refused[0]) == words


def test_each_beat_is_counted_and_the_first_one_told(enrolment: Enrolment) -> None:
    told = []
    for at_ms in (5, 6, 7):
        refused = enrolment.refusal("edge-1", dead(), at_ms)
        assert refused is not None
        told += refused[1]
    assert told == [("node.refused", {"node_id": "edge-1", "removed_by": "ada", "why": "sold"})]
    assert enrolment.refused_beats == 3
    (request,) = enrolment.to_wire()
    assert (request["first_ms"], request["last_ms"], request["beats"]) == (5, 7, 3)


def test_a_node_whose_tombstone_has_gone_is_refused_as_well(enrolment: Enrolment) -> None:
    enrolment.graves.bury("edge-1", Turn(0, REMOVED))
    refused = enrolment.refusal("edge-1", None, 5)
    assert refused is not None
    assert "removed by hub-1" in str(refused[0])


def test_a_second_removal_is_told_anew(enrolment: Enrolment) -> None:
    enrolment.refusal("edge-1", dead(), 5)
    refused = enrolment.refusal("edge-1", dead(stamp=AGAIN), 6)
    assert refused is not None
    assert len(refused[1]) == 1


def test_beyond_the_bound_nodes_are_counted_and_told_of_no_more() -> None:
    enrolment = Enrolment(Graves(), requests_max=2)
    told = 0
    for round_ms in range(3):
        for name in ("edge-1", "edge-2", "edge-3"):
            refused = enrolment.refusal(name, dead(name), round_ms)
            assert refused is not None
            told += len(refused[1])
    assert (told, enrolment.refused_beats) == (2, 9)
    assert [each["node_id"] for each in enrolment.to_wire()] == ["edge-2", "edge-1"]


def test_requests_of_nodes_that_fell_silent_make_room(enrolment: Enrolment) -> None:
    enrolment.refusal("edge-1", dead(), 5)
    enrolment.refusal("edge-2", dead("edge-2"), 50)
    enrolment.tidy(SILENT_MS_MAX + 6)
    assert [each["node_id"] for each in enrolment.to_wire()] == ["edge-2"]


def test_registering_opens_the_grave_and_ends_the_request(enrolment: Enrolment) -> None:
    enrolment.graves.bury("edge-1", Turn(0, REMOVED))
    enrolment.refusal("edge-1", None, 5)
    record = enrolment.register("edge-1", BACK)
    assert enrolment.refusal("edge-1", record, 6) is None
    assert (enrolment.to_wire(), len(enrolment.graves)) == ([], 0)


def test_a_node_that_was_let_back_on_another_hub_asks_no_more(enrolment: Enrolment) -> None:
    enrolment.refusal("edge-1", dead(), 5)
    enrolment.settle(dead())
    assert len(enrolment.requests) == 1
    enrolment.settle(NodeRecord("edge-1"))
    assert enrolment.to_wire() == []
