"""Coverage: what an answer may promise."""

import dataclasses
from typing import Any

import pytest
from msgspec.structs import replace

from hub.query.coverage import Backlog, StoreState, backlog_of, coverage, lost_records
from hub.rest_fold import worse_of
from shared.records import Gap
from tests.unit.query.stock import NOW_NS

IDLE = Backlog("edge-1", "online", 0, 0, None, 2.0)


def judge(*backlogs: Backlog, asked: list[str] | None = None) -> dict[str, Any]:
    return coverage("hub-1", backlogs, asked, NOW_NS)


def test_an_idle_online_node_is_complete_up_to_its_last_beat() -> None:
    assert judge(IDLE) == {
        "hub": "hub-1",
        "complete_until": "2027-01-15T07:59:58Z",
        "behind": [],
        "behind_nodes": 0,
        "missing_nodes": [],
        "partial": False,
        "isolated": False,
        "index": None,
        "damaged_chunks": 0,
        "gaps": {"count": 0, "records": 0, "reasons": {}, "nodes": []},
        "skewed": [],
        "skewed_nodes": 0,
    }


@pytest.mark.parametrize(
    ("skew_ms", "is_told"), [(None, False), (2000, False), (2001, True), (-86_400_000, True)]
)
def test_a_node_whose_clock_is_wrong_is_named(skew_ms: int | None, is_told: bool) -> None:
    answer = judge(dataclasses.replace(IDLE, clock_skew_ms=skew_ms))
    told = [{"node": "edge-1", "clock_skew_ms": skew_ms}] if is_told else []
    assert (answer["skewed"], answer["partial"]) == (told, False)


def test_chunks_that_were_damaged_and_are_not_back_make_an_answer_partial() -> None:
    state = StoreState({"behind_chunks": 4}, damaged_chunks=3)
    answer = coverage("hub-1", [IDLE], None, NOW_NS, store=state)
    assert (answer["partial"], answer["damaged_chunks"]) == (True, 3)
    assert answer["index"] == {"behind_chunks": 4}


def test_a_hub_that_reaches_no_other_says_so_and_answers_in_part() -> None:
    answer = coverage("hub-1", [IDLE], None, NOW_NS, store=StoreState(is_isolated=True))
    assert (answer["isolated"], answer["partial"]) == (True, True)


def test_declared_losses_are_named_and_do_not_make_an_answer_partial() -> None:
    """Asking again would not bring them; what a split put elsewhere is not lost."""
    shed = Gap("logs", "shed", ((4, 5),), 2, 30, 900, 1, 2)
    found = [
        ("edge-2", shed),
        ("edge-1", shed),
        ("edge-1", replace(shed, reason="damaged", records=1)),
        ("edge-3", replace(shed, reason="split")),
    ]
    answer = coverage("hub-1", [IDLE], None, NOW_NS, lost_records(found))
    assert answer["partial"] is False
    assert answer["gaps"] == {
        "count": 3,
        "records": 61,
        "reasons": {"damaged": 1, "shed": 60},
        "nodes": ["edge-1", "edge-2"],
    }


@pytest.mark.parametrize(
    ("held", "partial", "until"),
    [
        (Backlog("edge-1", "online", 2, 90, 1.5, 0.5), False, "2027-01-15T07:59:58Z"),
        (Backlog("edge-1", "online", 2, 90, 58.0, 2.0), True, "2027-01-15T07:59:00Z"),
        (Backlog("edge-1", "offline", 0, 0, None, 3600.0), True, "2027-01-15T07:00:00Z"),
        (Backlog("edge-1", "late", 0, 0, None, 60.0), True, "2027-01-15T07:59:00Z"),
        (Backlog("edge-1", "unknown", 0, 0, None, None), True, None),
        (Backlog("edge-1", "online", 0, 0, 99.0, 0.0), False, "2027-01-15T08:00:00Z"),
    ],
)
def test_old_pending_data_or_silence_make_an_answer_partial(
    held: Backlog, partial: bool, until: str | None
) -> None:
    answer = judge(held)
    assert (answer["partial"], answer["complete_until"]) == (partial, until)
    assert [item["node"] for item in answer["behind"]] == (["edge-1"] if partial else [])


def test_only_the_asked_nodes_count() -> None:
    offline = Backlog("edge-2", "offline", 5, 500, 10.0, 3600.0)
    assert judge(IDLE, offline, asked=["edge-1"])["partial"] is False
    answer = judge(IDLE, offline)
    assert answer["behind"] == [
        {"node": "edge-2", "chunks": 5, "records": 500, "age_s": 3610.0, "state": "offline"}
    ]


def test_a_node_that_nobody_knows_is_missing() -> None:
    answer = judge(IDLE, asked=["edge-1", "edge-9"])
    assert answer["missing_nodes"] == ["edge-9"]
    assert answer["partial"] is True
    assert answer["complete_until"] is None


def test_without_any_node_an_answer_is_complete_until_now() -> None:
    assert judge()["complete_until"] == "2027-01-15T08:00:00Z"


def test_a_backlog_is_read_from_a_node_record() -> None:
    buffer = {"chunks": 9, "records": 900, "pending_chunks": 2, "oldest_age_s": 3.5}
    node = {"node_id": "edge-1", "state": "online", "told_age_s": 1.5, "buffer": buffer}
    assert backlog_of(node) == Backlog("edge-1", "online", 2, 900, 3.5, 1.5)
    silent = {"node_id": "edge-2", "state": "unknown", "told_age_s": None, "buffer": None}
    assert backlog_of(silent) == Backlog("edge-2", "unknown", 0, 0, None, None)


def test_a_silent_fleet_is_counted_and_only_some_of_it_named() -> None:
    """An answer must not become megabytes because all nodes are away."""
    gone = [
        Backlog(f"edge-{number:05}", "offline", 0, 0, None, 60.0, 5000) for number in range(2500)
    ]
    answer = coverage("hub-1", reversed(gone), None, NOW_NS)
    for name in ("behind", "skewed"):
        assert [each["node"] for each in answer[name]] == [each.node_id for each in gone[:1000]]
        assert answer[f"{name}_nodes"] == 2500
    page = coverage("hub-1", gone[:10], None, NOW_NS)
    both = worse_of(answer, page)
    assert (len(both["behind"]), both["behind_nodes"]) == (1000, 2500)
    assert worse_of(page, coverage("hub-1", gone[10:30], None, NOW_NS))["behind_nodes"] == 30
