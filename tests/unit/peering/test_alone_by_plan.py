"""A hub whose peers were all stopped in order: it is alone, as planned, and that is no alarm."""

from hub.peering.detect_values import Failure, Life, Tell
from tests.unit.peering.test_detector import Bench


def left_alone(held: set[str]) -> Bench:
    """A hub whose peers all left by plan half a minute ago."""
    bench = Bench("hub-2", "hub-3")
    bench.detector.is_held = held.__contains__
    bench.run(6.0)
    bench.silent = {"hub-2": Failure.REFUSED, "hub-3": Failure.REFUSED}
    bench.run(30.0)
    return bench


def test_peers_that_all_left_by_plan_are_no_alarm_until_one_stays_away() -> None:
    held = {"hub-2", "hub-3"}
    bench = left_alone(held)
    held.remove("hub-3")
    bench.run(30.0)
    told = [each.facts for each in bench.actions if isinstance(each, Tell)]
    assert bench.told() == ["hub.isolated", "hub.isolated"]
    assert [facts["by_plan"] for facts in told] == [True, False]
    bench.silent.clear()
    bench.run(2.0)
    assert bench.told()[2:] == ["hub.rejoined"]


def test_a_peer_that_is_back_by_plan_and_not_reached_yet_is_no_alarm() -> None:
    """Its own call ends what it had said of its leave, before it answers us."""
    held = {"hub-2", "hub-3"}
    bench = left_alone(held)
    bench.detector.heard("hub-3", bench.now, Life("hub-3.2", 2, 1))
    held.remove("hub-3")
    bench.run(0.3)
    assert bench.detector.is_isolated
    bench.silent.clear()
    bench.run(2.0)
    assert bench.told() == ["hub.isolated", "hub.rejoined"]
