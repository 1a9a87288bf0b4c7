"""Times as people write them, and records as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.offline_filter import Wanted, is_wanted, moment, read_time
from shared.errors import BadInput
from shared.terminal import safe, table
from tests.unit.offline.parts import T0

NS = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("2026-11-21T10:00:00Z", T0),
        ("2026-11-21T11:00:00.5+01:00", T0 + NS // 2),
        ("1795255200", T0),
        ("1795255200.000000001", T0 + 1),
        ("-15m", T0 - 15 * 60 * NS),
        ("-2d", T0 - 2 * 86400 * NS),
    ],
)
def test_times_are_read_to_the_nanosecond(text: str, time_ns: int) -> None:
    """As the searches through hubs read them."""
    assert read_time(text, T0) == time_ns


@given(st.text(max_size=40) | st.from_regex(r"[-0-9T:.Z+ ]{1,30}", fullmatch=True))
def test_reading_a_time_raises_nothing_but_bad_input(text: str) -> None:
    """Whatever is typed."""
    try:
        assert 0 <= read_time(text, T0) < 2**63
    except BadInput:
        return


def test_a_record_without_a_time_is_as_old_as_its_chunk() -> None:
    """It must be found under some time."""
    row = {"time_ns": 0, "body": "late"}
    assert is_wanted(row, T0, Wanted(since_ns=T0))
    assert not is_wanted(row, T0, Wanted(until_ns=T0))


def test_a_moment_is_written_in_utc_and_none_is_a_dash() -> None:
    """The same on every machine."""
    assert moment(T0 + 1_999_999) == "2026-11-21T10:00:00.001Z"
    assert moment(None) == "-"
    assert moment(2**63 - 1).startswith("2262-04-11")


@given(st.text(max_size=40))
def test_safe_text_is_one_line_that_steers_nothing(text: str) -> None:
    """Escape sequences, bidirectional marks and line ends are shown and do nothing."""
    assert safe(safe(text)) == safe(text)
    assert len(safe(text).splitlines()) <= 1
    assert "\x1b" not in safe(text)


def test_columns_are_aligned() -> None:
    """Each as wide as its widest cell."""
    assert table([("A", "B"), ("long", "x")]) == "A     B\nlong  x"
