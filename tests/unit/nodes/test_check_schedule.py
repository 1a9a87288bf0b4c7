"""When checks run: a budget that nobody can exceed, and that nobody starves in."""

from collections import Counter
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hub.nodes.check_rules import Check, read_checks
from hub.nodes.check_schedule import CheckBudget, Plan, Run, Schedule


def checks(*names: str, **more: Any) -> tuple[Check, ...]:
    """TCP checks of these names."""
    return read_checks([{"name": n, "kind": "tcp", "target": ":22", **more} for n in names])


def everything(plan: Plan) -> bool:
    return True


def simulate(
    schedule: Schedule, seconds: int, takes: dict[str, float], count_from: float = 0
) -> tuple[Counter[str], int, list[float]]:
    """Run a schedule where a check of a node takes so long (5 s and more times out).

    Returns how often each node's checks began, the most that ran at once, and when they began.
    """
    began: Counter[str] = Counter()
    running: list[tuple[float, Run]] = []
    most, begins = 0, []
    for tick in range(2 * seconds):
        now = tick / 2
        for ends, run in [each for each in running if each[0] <= now]:
            schedule.ended(run, timed_out=takes.get(run.plan.node, 0.1) >= 5, now=now)
            running.remove((ends, run))
        for run in schedule.take(now, everything):
            began[run.plan.node] += now >= count_from
            begins.append(now)
            running.append((now + takes.get(run.plan.node, 0.1), run))
        most = max(most, len(running))
    return began, most, begins


def test_each_check_runs_about_once_per_interval() -> None:
    """An hour of a check each minute is 60 runs, give or take the jitter."""
    schedule = Schedule(Random(1))
    for number in range(20):
        schedule.plan(f"edge-{number}", checks("a"), 0)
    began, _, _ = simulate(schedule, 3600, {})
    assert all(57 <= began[f"edge-{number}"] <= 63 for number in range(20))
    assert schedule.missed == 0


def test_no_more_than_the_budget_run_at_once_and_begin_per_second() -> None:
    """Even when a thousand are due in the same moment."""
    schedule = Schedule(Random(1), CheckBudget(at_once_max=8, per_second_max=4))
    for number in range(1000):
        schedule.plan(f"edge-{number}", checks("a", interval_s=5), 0)
    _, most, begins = simulate(schedule, 120, dict.fromkeys((f"edge-{n}" for n in range(9)), 30))
    assert most <= 8
    assert max(Counter(int(at) for at in begins).values()) <= 8, "a second's worth may be saved up"
    assert len(begins) <= 4 * 120 + 4


def test_nothing_starves_when_there_is_too_much_to_do() -> None:
    """Ten times more than the budget allows: everyone gets the same tenth."""
    schedule = Schedule(Random(1), CheckBudget(at_once_max=100, per_second_max=2))
    for number in range(200):
        schedule.plan(f"edge-{number}", checks("a", interval_s=10), 0)
    began, _, _ = simulate(schedule, 2000, {})
    assert min(began[f"edge-{number}"] for number in range(200)) >= 15
    assert max(began.values()) - min(began.values()) <= 6
    assert schedule.missed > 0


def test_targets_that_hang_delay_nobody() -> None:
    """With more hanging targets than places, those that answer still run in every interval."""
    schedule = Schedule(Random(1), CheckBudget(at_once_max=8, per_second_max=50))
    hanging = {f"dead-{number}": 5.0 for number in range(100)}
    for node in [*hanging, *(f"edge-{number}" for number in range(50))]:
        schedule.plan(node, checks("a", interval_s=30), 0)
    began, _, _ = simulate(schedule, 1200, hanging, count_from=300)
    assert min(began[f"edge-{number}"] for number in range(50)) >= 26
    assert min(began[node] for node in hanging) >= 1, "those that hang have their turns, too"


def test_checks_of_other_hubs_cost_no_budget() -> None:
    """They are passed over until their next turn, when they may be ours."""
    schedule = Schedule(Random(1), CheckBudget(per_second_max=1))
    schedule.plan("edge-1", checks("a", "b", interval_s=10), 0)
    assert schedule.take(10, lambda plan: False) == []
    found = schedule.take(25, lambda plan: plan.check.name == "b")
    assert [run.plan.check.name for run in found] == ["b"]


def test_a_plan_that_changes_leaves_the_others_as_they_are() -> None:
    """Only what is new, or different, begins a new round; what is gone is named."""
    schedule = Schedule(Random(1))
    schedule.plan("edge-1", checks("a", "b", "c"), 0)
    assert schedule.take(0, everything) == []
    before = {run.plan.check.name: run.plan for run in schedule.take(1000, everything)}
    assert schedule.plan("edge-1", (*checks("a"), *checks("b", timeout_s=9)), 1000) == ["c"]
    assert [each.name for each in schedule.checks_of("edge-1")] == ["a", "b"]
    assert (before["a"].is_gone, before["b"].is_gone, before["c"].is_gone) == (False, True, True)
    assert schedule.plan("edge-1", (), 1000) == ["a", "b"]
    assert schedule.nodes() == []


def test_a_check_that_is_taken_away_while_it_runs_gives_its_place_back() -> None:
    """And does not come again."""
    schedule = Schedule(Random(1))
    schedule.plan("edge-1", checks("a"), 0)
    (run,) = schedule.take(100, everything)
    schedule.plan("edge-1", (), 101)
    schedule.ended(run, timed_out=True, now=105)
    assert (schedule.running, schedule.slow_running) == (0, 0)
    assert schedule.take(10_000, everything) == []


steps = st.lists(
    st.tuples(
        st.sampled_from(["plan", "take", "end", "unplan"]),
        st.integers(0, 3),
        st.integers(0, 20),
        st.booleans(),
    ),
    max_size=60,
)


@given(steps, st.integers(1, 3))
@settings(deadline=None)
def test_places_are_counted_right_whatever_happens(
    script: list[tuple[str, int, int, bool]], places: int
) -> None:
    """Never more than there are, never less than none, and no check runs twice at once."""
    schedule = Schedule(Random(1), CheckBudget(places, 1000.0))
    now, running = 0.0, list[Run]()
    for kind, number, seconds, flag in script:
        now += seconds
        if kind == "plan":
            schedule.plan(f"edge-{number}", checks("a", "b", interval_s=5 + number), now)
        if kind == "unplan":
            schedule.plan(f"edge-{number}", (), now)
        if kind == "take":
            running += schedule.take(now, everything)
        if kind == "end" and running:
            schedule.ended(running.pop(number % len(running)), timed_out=flag, now=now)
        assert schedule.running == len(running) <= places
        assert schedule.slow_running == sum(run.is_slow for run in running)
        alive = [run.plan for run in running if not run.plan.is_gone]
        assert len({(plan.node, plan.check.name) for plan in alive}) == len(alive)
        assert schedule.next_seconds(now) > 0
