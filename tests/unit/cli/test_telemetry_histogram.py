"""`headwater logs --histogram`: bars whose lengths can be compared."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hub.cli.query_histogram import SIGNS, bar_lines, bar_of, signs_of
from tests.unit.cli.conftest import Counterpart, Run

Hubs = tuple[Counterpart, Counterpart]

ANSWER: dict[str, Any] = {
    "bins": [
        {"time": "05:00", "records": 10, "counts": {"INFO": 8, "ERROR": 2}},
        {"time": "05:01", "records": 0, "counts": {}},
        {"time": "05:02", "records": 5, "counts": {"INFO": 5}},
    ],
    "totals": {"INFO": 13, "ERROR": 2},
}

counts_of_bins = st.lists(
    st.dictionaries(st.sampled_from("abcdefghijkl"), st.integers(1, 10**9), max_size=12),
    min_size=1,
    max_size=8,
)


def test_bars_are_drawn_and_explained() -> None:
    """The most frequent group comes first and is the darkest."""
    assert list(bar_lines(ANSWER, 21)) == [
        "05:00  10  ████████▓▓",
        "05:01   0",
        "05:02   5  █████",
        "█ INFO 13  ▓ ERROR 2",
    ]


@given(bins=counts_of_bins, room=st.integers(10, 200))
def test_a_bar_is_its_share_of_the_longest(bins: list[dict[str, int]], room: int) -> None:
    """One record shows, and none is beyond the width."""
    totals = {group: sum(each.get(group, 0) for each in bins) for each in bins for group in each}
    sums = [sum(each.values()) for each in bins]
    most, signs = max(sums), signs_of(totals)
    for counts, records in zip(bins, sums, strict=True):
        bar = bar_of(counts, signs, most, room)
        assert len(bar) == (-(-records * room // most) if records else 0)
        assert set(bar) <= set(SIGNS)


def test_the_command_asks_for_bins_and_draws_them(hubs: Hubs, headwater: Run) -> None:
    """Flags of a search narrow the histogram too."""
    hubs[0].answers["log.histogram"] = ANSWER
    words = ["--histogram", "--by", "node", "--bins", "3", "--text", "x", "--service", "shop"]
    result = headwater("logs", *words)
    assert result.stdout.splitlines()[2].startswith("05:02   5  █")
    asked = {"by": "node", "bins": 3, "text": "x", "service": "shop", "signal": "logs"}
    assert hubs[0].asked == [("log.histogram", asked)]


def test_programs_get_the_counts(hubs: Hubs, headwater: Run) -> None:
    hubs[0].answers["log.histogram"] = ANSWER
    lines = headwater("logs", "--histogram", "-o", "ndjson").stdout.splitlines()
    assert [json.loads(line) for line in lines] == ANSWER["bins"]
    assert json.loads(headwater("logs", "--histogram", "-o", "json").stdout) == ANSWER


def test_a_histogram_of_nothing_is_nothing_matched(hubs: Hubs, headwater: Run) -> None:
    empty = {"bins": [{"time": "05:00", "records": 0, "counts": {}}], "totals": {}}
    hubs[0].answers["log.histogram"] = empty
    result = headwater("logs", "--histogram")
    assert (result.exit_code, result.stdout) == (4, "")


def test_groups_cannot_steer_the_terminal() -> None:
    """Services are named by strangers."""
    bins = [{"time": "t", "records": 2, "counts": {"\x1b[31m": 1, "b": 1}}]
    text = "".join(bar_lines({"bins": bins, "totals": {"\x1b[31m": 1, "b": 1}}, 80))
    assert "\x1b" not in text
