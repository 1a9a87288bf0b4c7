"""Which clock of several hubs is called wrong, by whom, for how long, and who is told."""

import pytest

from hub.peering.clock_answers import own_sentence
from hub.peering.clock_samples import Echo
from hub.peering.clock_steps import STEP_AGAIN_SECONDS
from hub.peering.clock_verdict import CALM_SECONDS, ClockLimits, Verdict
from hub.peering.clocks import Clocks
from tests.unit.peering.clock_mesh import START_MS, Mesh

# ---- Verdicts


@pytest.mark.parametrize(
    ("wrong_ms", "verdict"),
    [
        (0, "sound"), (490, "sound"), (510, "suspect"), (-510, "suspect"), (4_980, "suspect"),
        (5_020, "quarantined"), (-5_020, "quarantined"), (10**11, "quarantined"),
    ],
)  # fmt: skip
def test_half_a_second_is_suspect_and_five_are_quarantined(wrong_ms: float, verdict: str) -> None:
    mesh = Mesh({"a": 0.0, "b": 0.0, "c": wrong_ms}).run(5)
    assert mesh.verdicts("a") == {"a": "sound", "b": "sound", "c": verdict}


def test_with_three_hubs_the_wrong_one_learns_that_it_is_itself() -> None:
    mesh = Mesh({"a": 0.0, "b": 40.0, "c": 7_200.0}).run(5)
    assert mesh.verdicts("c") == {"a": "sound", "b": "sound", "c": "quarantined"}
    assert mesh.told("c") == [("clock.quarantined", "c")]
    facts = mesh.events["c"][0][1]
    assert facts["is_own"]
    assert 7_100 < facts["offset_ms"] < 7_300
    assert facts["by"] == "a, b, c"
    assert facts["limit_ms"] == 500.0


@pytest.mark.parametrize("hubs", [4, 5, 6, 7])
def test_a_minority_is_wrong_and_everybody_agrees_which_one(hubs: int) -> None:
    wrong = {f"h{n}": 0.0 for n in range(hubs)} | {
        f"h{n}": 9_000.0 + n for n in range((hubs - 1) // 2)
    }
    mesh = Mesh(wrong).run(5)
    for hub in wrong:
        bad = {name for name, verdict in mesh.verdicts(hub).items() if verdict == "quarantined"}
        assert bad == {name for name, ms in wrong.items() if ms}


def test_the_others_tell_the_offender_in_a_sentence() -> None:
    mesh = Mesh({"a": 0.0, "b": 0.0, "c": 0.0, "d": 7_200.0}).run(5)
    assert own_sentence(mesh.clocks["d"], mesh.now) == (
        "Three hubs say that this hub's clock is 7.2 s ahead"
    )
    assert own_sentence(mesh.clocks["a"], mesh.now) is None
    assert own_sentence(mesh.clocks["d"], mesh.now + 31) is None, "they said so, long ago"


def test_with_two_hubs_both_raise_the_alarm_and_quarantine_is_mutual() -> None:
    mesh = Mesh({"a": 0.0, "b": 8_000.0}).run(5)
    assert mesh.verdicts("a") == mesh.verdicts("b") == {"a": "quarantined", "b": "quarantined"}
    assert set(mesh.told("a")) == set(mesh.told("b")) == {
        ("clock.quarantined", "a"), ("clock.quarantined", "b")
    }  # fmt: skip
    assert mesh.clocks["a"].quarantined(mesh.now, 0).keys() == {"b"}
    assert mesh.clocks["b"].quarantined(mesh.now, 0).keys() == {"a"}
    assert own_sentence(mesh.clocks["a"], mesh.now) == (
        "One hub says that this hub's clock is 8.0 s behind"
    )


def test_where_two_camps_are_equal_each_doubts_the_other_and_not_its_own() -> None:
    mesh = Mesh({"a": 0.0, "b": 0.0, "c": 20_000.0, "d": 20_000.0}).run(5)
    seen = mesh.verdicts("a")
    assert (seen["b"], seen["c"], seen["d"]) == ("sound", "quarantined", "quarantined")
    assert mesh.verdicts("c")["d"] == "sound"


def test_a_slow_link_makes_a_clock_uncertain_and_never_suspect() -> None:
    """An answer that took 3 s says of a clock only that it is off by 1.5 s at most."""
    mesh = Mesh({"a": 0.0, "b": 1_000.0, "c": 0.0}, trip_ms=1_500).run(20)
    assert mesh.verdicts("a") == {"a": "sound", "b": "sound", "c": "sound"}
    assert mesh.events["a"] == []


def test_a_clock_is_sound_again_after_a_calm_while_and_this_is_told_once() -> None:
    mesh = Mesh({"a": 0.0, "b": 0.0, "c": 7_000.0}).run(5)
    mesh.wrong_ms["c"] = 0.0
    mesh.run(int(CALM_SECONDS) - 2)
    assert mesh.clocks["a"].verdict("c") is Verdict.QUARANTINED
    mesh.run(20)
    assert mesh.told("a") == [
        ("clock.quarantined", "c"), ("clock.stepped", "c"), ("clock.sound", "c")
    ]  # fmt: skip
    assert mesh.told("c")[-1] == ("clock.sound", "c")


def test_a_clock_at_the_limit_does_not_flap() -> None:
    mesh = Mesh({"a": 0.0, "b": 0.0, "c": 500.0})
    for round_number in range(120):
        mesh.wrong_ms["c"] = 500.0 + (45.0 if round_number % 2 else -45.0)
        mesh.run(1)
    assert mesh.told("a") == [("clock.suspect", "c")]


def test_a_clock_that_jumps_all_the_time_is_told_of_once_a_minute() -> None:
    mesh = Mesh({"a": 0.0, "b": 0.0, "c": 0.0})
    for round_number in range(int(STEP_AGAIN_SECONDS) * 2 - 1):
        mesh.wrong_ms["c"] = 300.0 * (round_number % 2)
        mesh.run(1)
    assert mesh.told("a") == [("clock.stepped", "c")] * 2
    assert mesh.clocks["a"].steps.counted > 100


def test_a_hub_that_died_stays_a_referee_for_as_long_as_its_clock_can_be_known() -> None:
    mesh = Mesh({"a": 0.0, "b": 0.0, "c": 7_000.0}).run(5)
    mesh.cut = {frozenset(("a", "b")), frozenset(("b", "c"))}
    mesh.run(60)
    assert mesh.verdicts("a") == {"a": "sound", "b": "sound", "c": "quarantined"}
    assert mesh.verdicts("c")["c"] == "quarantined"


def test_the_drift_of_a_peer_is_measured() -> None:
    mesh = Mesh({"a": 0.0, "b": 0.0}, drift_ppm={"b": 120.0}).run(320)
    drift = mesh.clocks["a"].peers["b"].drift_ppm
    assert drift is not None
    assert drift == pytest.approx(120.0, abs=15)
    assert mesh.events["a"] == []


def test_what_a_message_proves_before_any_measurement_holds_stamps_back() -> None:
    clocks = Clocks("a")
    clocks.glimpse("b", START_MS + 4_000, 1.0, START_MS)
    assert clocks.quarantined(1.0, START_MS) == {}
    clocks.glimpse("b", START_MS + 6_000, 1.0, START_MS)
    assert clocks.quarantined(2.0, START_MS + 1_000) == {"b": START_MS}
    clocks.measured("b", Echo(3.0, 3.0, START_MS, START_MS, START_MS, START_MS))
    assert clocks.quarantined(3.0, START_MS) == {}, "it was measured and is not far off"


def test_a_sound_peer_that_was_set_ahead_is_not_believed_even_before_the_next_answer() -> None:
    """So that what it pushes together with its new time does not slip in."""
    mesh = Mesh({"a": 0.0, "b": 0.0, "c": 0.0}).run(5)
    mesh.wrong_ms["c"] = 7_000.0
    clocks, wall_ms = mesh.clocks["a"], mesh.wall("a", mesh.now)
    clocks.glimpse("c", mesh.wall("c", mesh.now), mesh.now, wall_ms)
    assert clocks.verdict("c") is Verdict.SOUND
    assert clocks.quarantined(mesh.now, wall_ms) == {"c": wall_ms}
    mesh.wrong_ms["c"] = 0.0
    mesh.run(1)
    assert clocks.quarantined(mesh.now, wall_ms) == {}, "it was measured, and is sound"


def test_the_peer_that_answers_first_is_not_blamed_alone_but_its_stamps_wait() -> None:
    clocks = Clocks("a")
    far = Echo(3.0, 3.0, START_MS, START_MS, START_MS + 9_000, START_MS + 9_000)
    assert clocks.measured("b", far) == []
    assert clocks.verdict("b") is Verdict.UNKNOWN
    assert clocks.quarantined(3.5, START_MS + 500) == {"b": START_MS}


def test_times_that_cannot_be_are_counted_and_change_nothing() -> None:
    clocks = Clocks("a")
    assert clocks.measured("b", Echo(1.0, 1.01, START_MS, START_MS + 10, 900.0, 0.0)) == []
    assert clocks.counters["samples_refused"] == 1
    assert clocks.offset("b", 1.0) is None


def test_a_hub_that_is_gone_for_good_leaves_nothing_behind() -> None:
    mesh = Mesh({"a": 0.0, "b": 0.0, "c": 7_000.0}).run(5)
    clocks = mesh.clocks["a"]
    clocks.forget("c")
    assert clocks.quarantined(mesh.now, 0) == {}
    assert "c" not in clocks.peers | clocks.standings | clocks.told


def test_limits_are_a_setting_and_the_second_is_ten_times_the_first() -> None:
    limits = ClockLimits(skew_ms_max=100.0)
    assert [limits.level(ms) for ms in (100, 101, 1_000, 1_001)] == [
        Verdict.SOUND, Verdict.SUSPECT, Verdict.SUSPECT, Verdict.QUARANTINED,
    ]  # fmt: skip
