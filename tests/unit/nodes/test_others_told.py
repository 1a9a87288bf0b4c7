"""What other hubs say now: only the last word of each log counts, and only of hubs that speak."""

import pytest

from hub.nodes.history import BEGAN, Change
from hub.nodes.history_share import HistoryShare, Standing
from hub.nodes.others_told import OthersTold

LOG = "hub-2@e1"


def said(*words: tuple[str, str, str]) -> OthersTold:
    """What one other hub said, in this order."""
    others = OthersTold()
    lines = [
        Change(n, node, subject, 1, state, n) for n, (node, subject, state) in enumerate(words)
    ]
    others.take(LOG, lines)
    return others


def test_the_last_word_on_a_check_counts_while_its_hub_speaks() -> None:
    others = said(("edge-1", "ssh", "ok"), ("edge-1", "ssh", "failed"))
    assert others.fails("edge-1", "ssh", [LOG])
    assert not others.fails("edge-1", "ssh", [])
    assert not others.fails("edge-1", "web", [LOG])
    others.take(LOG, [Change(9, "edge-1", "ssh", 1, "unknown", 9)])
    assert not others.fails("edge-1", "ssh", [LOG])


@pytest.mark.parametrize(
    ("theirs", "mine", "is_disputed"),
    [
        ("online", "offline", True),
        ("late", "offline", True),
        ("offline", "online", True),
        ("offline", "suspect", True),
        ("offline", "offline", False),
        ("online", "late", False),
        ("unknown", "offline", False),
        ("offline", "unknown", False),
    ],
)
def test_a_node_is_disputed_when_one_hub_hears_it_and_another_calls_it_offline(
    theirs: str, mine: str, *, is_disputed: bool
) -> None:
    others = said(("edge-1", "", theirs))
    assert others.is_disputed("edge-1", mine, [LOG]) is is_disputed
    assert not others.is_disputed("edge-1", mine, [])
    assert not others.is_disputed("edge-2", mine, [LOG])


def test_the_line_that_opens_an_attendance_is_about_no_node() -> None:
    others = said(("", "", BEGAN))
    assert others.logs == {}


def test_a_node_that_is_gone_is_forgotten() -> None:
    others = said(("edge-1", "", "offline"), ("edge-1", "ssh", "failed"), ("edge-2", "", "offline"))
    others.forget("edge-1")
    assert not others.fails("edge-1", "ssh", [LOG])
    assert not others.is_disputed("edge-1", "online", [LOG])
    assert others.is_disputed("edge-2", "online", [LOG])


def test_of_the_logs_of_a_hub_the_one_that_it_attended_last_speaks() -> None:
    share = HistoryShare("hub-1@e1")
    share.load(
        [
            Standing("hub-1@e1", 1, 1, 50),
            Standing("hub-2@old", 900, 9, 100),
            Standing("hub-2@new", 1, 1, 200),
            Standing("hub-3@e1", 1, 1, 10),
        ]
    )
    assert share.speaking(["hub-2", "hub-3", "hub-4"]) == ["hub-2@new", "hub-3@e1"]
