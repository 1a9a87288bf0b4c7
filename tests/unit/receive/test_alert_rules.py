"""The machine of alerts, by tables and laws: values and time in, moves out."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.receive import alert_rules
from edge.receive.alert_rule import AlertRule
from edge.receive.alert_rules import Alerts, Attributes, Kind, Move, Saved, Window
from tests.unit.otlp.samples import patient

S = 1_000_000_000
RULE = AlertRule("r", metric="m", threshold=10, for_seconds=5, repeat_seconds=1000)
NONE: Attributes = ()


def told(rule: AlertRule, values: list[tuple[float, float | None]]) -> list[tuple[float, str]]:
    """What is told, and when, as values come at times; None lets time pass without one."""
    alerts = Alerts([rule], 0)
    out: list[tuple[float, str]] = []
    for now, value in values:
        moves = (
            alerts.on_time(now) if value is None else alerts.on_value(rule.name, NONE, value, now)
        )
        out += [(now, move.reason) for move in moves]
    return out


@pytest.mark.parametrize(
    ("changes", "values", "expected"),
    [
        # It must hold for that long.
        ({}, [(0, 11), (4, 11)], []),
        ({}, [(0, 11), (5, 11)], [(5, "broken")]),
        ({}, [(0, 11), (3, 9), (5, 11), (9, 11), (10, 11)], [(10, "broken")]),
        ({}, [(0, 11), (5, None), (9, None)], []),  # Time alone proves nothing.
        ({"for_seconds": 0}, [(0, 11)], [(0, "broken")]),
        ({}, [(0, 10), (9, 10)], []),
        ({"operator": ">="}, [(0, 10), (5, 10)], [(5, "broken")]),
        ({"operator": "<"}, [(0, 9), (5, 9), (6, 10)], [(5, "broken"), (6, "cleared")]),
        ({"operator": "<="}, [(0, 10), (5, 10), (6, 11)], [(5, "broken"), (6, "cleared")]),
        # Going on is told once only.
        ({}, [(0, 11), (5, 11), (6, 11), (7, 12)], [(5, "broken")]),
        ({}, [(0, 11), (5, 11), (6, 10)], [(5, "broken"), (6, "cleared")]),
        # Hysteresis.
        ({"clear": 8}, [(0, 11), (5, 11), (6, 9), (7, 8)], [(5, "broken"), (7, "cleared")]),
        ({"clear": 8}, [(0, 11), (5, 11), (6, 9), (7, 11), (8, 9)], [(5, "broken")]),
        (
            {"clear_for_seconds": 3},
            [(0, 11), (5, 11), (6, 9), (8, 9), (9, 9)],
            [(5, "broken"), (9, "cleared")],
        ),
        (
            {"clear_for_seconds": 3},
            [(0, 11), (5, 11), (6, 9), (8, 11), (9, 9), (11, 9)],
            [(5, "broken")],
        ),
        (
            {"operator": "<", "threshold": 5, "clear": 7},
            [(0, 4), (5, 4), (6, 6), (7, 7)],
            [(5, "broken"), (7, "cleared")],
        ),
        # Repetition.
        (
            {"repeat_seconds": 10},
            [(0, 11), (5, 11), (14, 11), (15, 11), (24, None), (25, None)],
            [(5, "broken"), (15, "repeat"), (25, "repeat")],
        ),
        # Missing data.
        (
            {"no_data_seconds": 60},
            [(0, 11), (5, 11), (64, None), (65, None), (66, None)],
            [(5, "broken"), (65, "no_data")],
        ),
        ({"no_data_seconds": 60}, [(0, 11), (60, None), (61, 11), (65, 11)], []),
        ({"no_data_seconds": 60}, [(0, 11), (59, None), (59, 11)], [(59, "broken")]),
    ],
)
def test_what_is_told_and_when(
    changes: dict[str, Any],
    values: list[tuple[float, float | None]],
    expected: list[tuple[float, str]],
) -> None:
    assert told(replace(RULE, **changes), values) == expected


@pytest.mark.parametrize("changes", [{"clear": 9}, {"clear_for_seconds": 5}])
def test_a_value_that_flaps_at_the_threshold_does_not_flap_the_alert(
    changes: dict[str, Any],
) -> None:
    values: list[tuple[float, float | None]] = [(0, 11), (5, 11)]
    values += [(6 + n, 10.5 if n % 2 else 9.5) for n in range(500)]
    assert told(replace(RULE, **changes), values) == [(5, "broken")]


def test_each_attribute_set_is_an_alert_of_its_own() -> None:
    alerts = Alerts([replace(RULE, for_seconds=0)], 0)
    a, b = (("disk", "a"),), (("disk", "b"),)
    assert [move.attributes for move in alerts.on_value("r", a, 11, 0)] == [a]
    assert [move.attributes for move in alerts.on_value("r", b, 11, 1)] == [b]
    assert [move.kind for move in alerts.on_value("r", a, 1, 2)] == [Kind.RESOLVED]
    assert alerts.firing == 1


def test_alerts_of_one_rule_are_bounded_and_those_beyond_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alert_rules, "STATES_MAX", 2)
    alerts = Alerts([replace(RULE, for_seconds=0)], 0)
    for number in range(5):
        alerts.on_value("r", (("n", str(number)),), 11, 0)
        alerts.on_value("r", (("fine", str(number)),), 1, 0)
    assert (alerts.firing, alerts.beyond) == (2, 3)
    alerts.on_value("r", (("n", "0"),), 1, 1)
    assert alerts.on_value("r", (("n", "4"),), 11, 2)


def test_a_resolved_alert_tells_how_long_it_lasted_and_its_last_value() -> None:
    alerts = Alerts([replace(RULE, for_seconds=0)], 0)
    alerts.on_value("r", NONE, 11, 100)
    (move,) = alerts.on_value("r", NONE, 3, 160)
    assert (move.kind, move.value, move.lasted_seconds) == (Kind.RESOLVED, 3, 60)


def test_a_restart_does_not_fire_the_same_alert_again() -> None:
    rule = replace(RULE, for_seconds=0, repeat_seconds=100)
    before = Alerts([rule], 0)
    before.on_value("r", NONE, 11, 10)
    saved = before.saved(40, 1040 * S)
    assert saved == [Saved("r", NONE, 11, 1010 * S, 1010 * S)]
    after = Alerts([rule], 5)
    assert after.restore(saved, 5, 1060 * S) == []
    assert after.on_value("r", NONE, 11, 6) == []
    assert [move.reason for move in after.on_value("r", NONE, 11, 55)] == ["repeat"]
    (resolved,) = after.on_value("r", NONE, 1, 65)
    assert (resolved.reason, resolved.lasted_seconds) == ("cleared", 110)


@pytest.mark.parametrize("wall_s", [0, 1010, 10**6])
def test_a_wall_clock_that_jumped_repeats_an_alert_once_at_most(wall_s: int) -> None:
    rule = replace(RULE, for_seconds=0, repeat_seconds=100)
    alerts = Alerts([rule], 0)
    alerts.restore([Saved("r", NONE, 11, 1010 * S, 1010 * S)], 0, wall_s * S)
    moves = [move for now in range(90) for move in alerts.on_value("r", NONE, 11, now)]
    assert [move.reason for move in moves] == (["repeat"] if wall_s > 1110 else [])
    assert all(move.lasted_seconds >= 0 for move in moves)


def test_an_alert_whose_data_does_not_come_back_after_a_restart_is_resolved() -> None:
    alerts = Alerts([RULE], 0)
    alerts.restore([Saved("r", NONE, 11, 0, 0)], 0, 0)
    assert alerts.on_time(299) == []
    assert [move.reason for move in alerts.on_time(300)] == ["no_data"]


def test_an_alert_without_its_rule_is_resolved_at_the_start() -> None:
    (move,) = Alerts([], 0).restore([Saved("gone", NONE, 11, 0, 0)], 0, 5 * S)
    assert (move.kind, move.reason, move.rule.name) == (Kind.RESOLVED, "no_rule", "gone")


LOGS = AlertRule("l", log="x", operator=">=", threshold=3, within_seconds=60)


def test_records_are_counted_within_their_window() -> None:
    alerts = Alerts([LOGS], 0)
    assert alerts.on_records("l", 2, 100) == []
    (fired,) = alerts.on_records("l", 1, 130)
    assert (fired.reason, fired.value) == ("broken", 3)
    assert alerts.on_time(158) == []
    assert [move.reason for move in alerts.on_time(161)] == ["cleared"]
    assert alerts.on_records("l", 1, 162) == []


def test_too_few_records_are_noticed_when_a_whole_window_was_watched() -> None:
    alerts = Alerts([replace(LOGS, operator="<", threshold=1)], 0)
    assert alerts.on_time(59) == []
    assert [move.reason for move in alerts.on_time(60)] == ["broken"]
    assert [move.reason for move in alerts.on_records("l", 1, 61)] == ["cleared"]


def test_a_log_alert_goes_on_after_a_restart_until_a_whole_window_was_watched() -> None:
    alerts = Alerts([LOGS], 0)
    alerts.restore([Saved("l", NONE, 3, 0, 0)], 0, 0)
    assert alerts.on_time(59) == []
    assert [move.reason for move in alerts.on_time(60)] == ["cleared"]


def test_a_window_takes_bounded_memory_and_forgets() -> None:
    window = Window(60, 0)
    for step in range(10_000):
        window.add(1, step / 10)
    assert 590 <= window.count(999.9) <= 600
    assert len(window._buckets) <= alert_rules.BUCKETS_MAX + 1
    assert window.count(2000) == 0


steps = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 4, 30, 400]),
        st.sampled_from(["a", "b", "time", "restart", "records"]),
        st.sampled_from([0.0, 8.5, 9.5, 10.5, 20.0]),
    ),
    max_size=60,
)
hysteresis = st.fixed_dictionaries(
    {
        "for_seconds": st.sampled_from([0, 5]),
        "clear": st.sampled_from([None, 9.0]),
        "clear_for_seconds": st.sampled_from([0, 5]),
        "repeat_seconds": st.sampled_from([20, 1000]),
    }
)


@patient
@given(steps, hysteresis)
def test_an_alert_fires_and_resolves_in_turns_and_repeats_are_apart(
    steps: list[tuple[int, str, float]], changes: dict[str, Any]
) -> None:
    """Never two in a row for one key, whatever comes and however often the process restarts."""
    rules = [replace(RULE, **changes), replace(LOGS, **{**changes, "clear": None})]
    now, alerts, moves = 0.0, Alerts(rules, 0), list[tuple[float, Move]]()
    for seconds, what, value in steps:
        now += seconds
        if what == "restart":
            saved = alerts.saved(now, int(now * S))
            alerts = Alerts(rules, now)
            made = alerts.restore(saved, now, int(now * S))
        elif what == "time":
            made = alerts.on_time(now)
        elif what == "records":
            made = alerts.on_records("l", int(value) % 4, now)
        else:
            made = alerts.on_value("r", (("key", what),), value, now)
        moves += [(now, move) for move in made]
    firing: dict[tuple[str, Attributes], float] = {}
    for at, move in moves:
        key = (move.rule.name, move.attributes)
        if move.kind is Kind.RESOLVED:
            del firing[key]
        elif move.reason == "repeat":
            assert at - firing[key] >= move.rule.repeat_seconds - 0.001
            firing[key] = at
        else:
            assert key not in firing
            firing[key] = at
    assert len(firing) == alerts.firing
