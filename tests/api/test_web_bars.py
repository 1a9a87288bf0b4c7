"""The bars above the logs, as a plain rule: all of them in the drawing, and none that is lost."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.query.times import NS_PER_S, format_time, parse_time
from hub.web.bars import HEIGHT, LEVELS, PIECE_HEIGHT_MIN, bars_of
from tests.api.web_moments import NOW_S
from tests.api.web_query_answers import BINS, histogram

COUNTS = st.dictionaries(
    st.sampled_from(["INFO", "WARN", "ERROR", "FATAL", "DEBUG", "TRACE", "UNSET", "notice"]),
    st.integers(1, 10**12),
    max_size=8,
)


def answer(counts: list[dict[str, int]], step_s: float, cut_s: float = 0.0) -> dict[str, Any]:
    """An answer of log.histogram whose first and last bins are cut by some seconds."""
    first_s = NOW_S - int(NOW_S % step_s) if step_s >= 1 else NOW_S
    times_ns = [int((first_s + n * step_s) * NS_PER_S) for n in range(len(counts) + 1)]
    return {
        "start": format_time(times_ns[0] + int(cut_s * NS_PER_S)),
        "end": format_time(times_ns[-1] - int(cut_s * NS_PER_S)),
        "step_s": step_s,
        "bins": [
            {"time": format_time(time_ns), "records": sum(held.values()), "counts": held}
            for time_ns, held in zip(times_ns, counts, strict=False)
        ],
        "totals": {},
        "scanned": {"complete": True},
    }


@given(
    st.lists(COUNTS, min_size=1, max_size=70), st.sampled_from([0.001, 0.5, 1, 60, 3600, 864_000])
)
def test_every_bar_lies_in_the_drawing(counts: list[dict[str, int]], step_s: float) -> None:
    bars = bars_of(answer(counts, step_s))
    assert bars is not None
    assert len(bars.bars) == sum(bool(held) for held in counts)
    for bar in bars.bars:
        assert 0 <= bar.left <= 100
        assert bar.left + bar.width <= 100.5
        assert all(0 <= piece.top <= HEIGHT for piece in bar.pieces)
        assert all(piece.top + piece.height <= HEIGHT + 0.11 for piece in bar.pieces)
        assert [piece.level for piece in bar.pieces] == [
            level for level in LEVELS if level in dict(bar.counts)
        ]
    assert bars.records == sum(sum(held.values()) for held in counts)
    assert all(0 <= mark.left <= 100 for mark in bars.marks)


def test_one_error_among_a_million_records_is_drawn() -> None:
    bars = bars_of(answer([{"INFO": 1_000_000, "ERROR": 1}], 60))
    assert bars is not None
    (error, _) = bars.bars[0].pieces
    assert (error.level, error.height) == ("error", PIECE_HEIGHT_MIN)
    assert error.top + error.height == HEIGHT, "what matters stands on the ground"


def test_a_bar_leads_to_its_part_of_the_range() -> None:
    """The first and the last step are cut to the range, so that no link asks for more."""
    bars = bars_of(answer([{"INFO": 1}] * 3, 60, cut_s=20))
    assert bars is not None
    lengths = [
        (parse_time(bar.end, 0, "end") - parse_time(bar.start, 0, "start")) // NS_PER_S
        for bar in bars.bars
    ]
    assert lengths == [40, 60, 40]
    assert bars.bars[0].start == bars.start
    assert bars.bars[-1].end == bars.end


def test_a_bar_says_its_range_and_its_counts() -> None:
    bars = bars_of(histogram({}))
    assert bars is not None
    assert bars.bars[0].told.endswith(": 42 records (41 info, 1 error)")
    assert len(bars.bars) == BINS - BINS // 5, "steps without records have no bar"


def test_a_severity_of_another_name_counts_as_unset() -> None:
    bars = bars_of(answer([{"NOTICE": 3, "UNSET": 2}], 60))
    assert bars is not None
    assert bars.bars[0].counts == (("unset", 5),)


def test_counts_that_are_not_whole_say_from_when_they_are() -> None:
    scanned = {"complete": False, "from": "2026-11-21T05:00:00Z"}
    bars = bars_of({**histogram({}), "scanned": scanned})
    assert bars is not None
    assert bars.whole_from == "2026-11-21T05:00:00Z"


@pytest.mark.parametrize("told", [{}, {"bins": []}, {"error": {"message": "no"}}])
def test_without_bins_there_is_no_drawing(told: dict[str, Any]) -> None:
    assert bars_of(told) is None
