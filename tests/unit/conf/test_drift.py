"""Drift: every edge in its state, the worst first, told when it begins and when it ends."""

import pytest

from hub.conf import drift
from hub.conf.drift import DriftState, Surveyor, describe_drift, judge
from shared.conf import EMPTY_HASH, Document
from shared.conf_report import Report
from tests.unit.conf.world import World

DEBUG = Document({"log_level": "debug"}).hash
NONE = Report(EMPTY_HASH)


@pytest.mark.parametrize(
    ("report", "state"),
    [
        (Report(), DriftState.UNMANAGED),
        (Report(DEBUG), DriftState.CURRENT),
        (Report(DEBUG, waiting=["tail"]), DriftState.WAITING),
        (Report(EMPTY_HASH), DriftState.BEHIND),
        (Report(EMPTY_HASH, DEBUG, "no"), DriftState.REFUSED),
        (Report(EMPTY_HASH, "another", "no"), DriftState.BEHIND),
        (Report(DEBUG, "another", "no"), DriftState.CURRENT),
    ],
)
def test_an_edge_is_judged_by_what_it_says(report: Report, state: DriftState) -> None:
    assert judge(DEBUG, report) is state


def heard(world: World, node: str, report: Report, **labels: str) -> None:
    """A heartbeat of an edge."""
    world.nodes[node] = labels
    world.drift.note(node, labels, report, world.wall_ms)


def totals(world: World) -> dict[str, int]:
    """How many edges stand how, without the states of none."""
    return {state: count for state, count in world.drift.survey(0).totals.items() if count}


def test_edges_without_settings_are_current() -> None:
    world = World()
    heard(world, "n1", NONE)
    assert describe_drift(world.drift.survey(10))["items"] == []
    assert totals(world) == {"nodes": 1, "current": 1}


def test_a_change_makes_edges_drift_without_a_heartbeat() -> None:
    """A machine that is off does not look as if it had what was set meanwhile."""
    world = World()
    heard(world, "n1", NONE, role="web")
    heard(world, "n2", NONE)
    world.wall_ms = 5_000
    world.write("edges:role=web", "log_level", "debug")
    assert totals(world) == {"nodes": 2, "behind": 1, "current": 1}
    (item,) = describe_drift(world.drift.survey(10))["items"]
    assert item == {
        "node_id": "n1",
        "state": "behind",
        "since": "1970-01-01T00:00:05Z",
        "wanted": DEBUG,
        "applied": EMPTY_HASH,
        "error": None,
        "waiting": [],
    }


def test_an_edge_that_a_scope_names_is_judged_by_that_scope() -> None:
    world = World()
    for node in ("n1", "n2", "n3"):
        heard(world, node, NONE)
    world.write("edges:node=n2", "log_level", "debug")
    assert totals(world) == {"nodes": 3, "behind": 1, "current": 2}
    assert [each.node_id for each in world.drift.survey(10).worst] == ["n2"]
    heard(world, "n2", Report(DEBUG))
    assert totals(world) == {"nodes": 3, "current": 3}
    world.drift.forget("n2")
    assert totals(world) == {"nodes": 2, "current": 2}


def test_since_is_when_the_settings_were_wanted_or_the_edge_came_whichever_is_later() -> None:
    world = World(wall_ms=1_000)
    heard(world, "n1", NONE)
    world.wall_ms = 2_000
    world.write("edges", "log_level", "debug")
    assert [each.since_ms for each in world.drift.survey(9).worst] == [2_000]
    world.wall_ms = 3_000
    heard(world, "n2", NONE)
    world.write("edges:role=none", "log_level", "info")
    assert [(each.node_id, each.since_ms) for each in world.drift.survey(9).worst] == [
        ("n1", 2_000),
        ("n2", 3_000),
    ]


def test_the_worst_come_first_and_the_others_are_counted() -> None:
    world = World()
    world.write("edges", "log_level", "debug")
    for number in range(20):
        world.wall_ms += 1
        heard(world, f"behind-{number:02}", NONE)
    heard(world, "refusing", Report(EMPTY_HASH, DEBUG, "no such level"))
    heard(world, "waiting", Report(DEBUG, waiting=["tail"]))
    answer = describe_drift(world.drift.survey(3))
    assert [each["node_id"] for each in answer["items"]] == ["refusing", "behind-00", "behind-01"]
    assert answer["items"][0]["error"] == "no such level"
    assert answer["more"] == 19
    assert describe_drift(world.drift.survey(100))["more"] == 0


def test_refusals_of_one_set_are_told_when_they_begin_and_when_they_end() -> None:
    world = World()
    world.write("edges", "log_level", "debug")
    refusing = Report(EMPTY_HASH, DEBUG, "no such level")
    for node in ("n1", "n2"):
        heard(world, node, refusing)
        heard(world, node, refusing)
    facts = {"hash": DEBUG, "edge": "n1", "error": "no such level"}
    assert world.told == [("conf.refused_by_edge", facts)]
    heard(world, "n1", Report(EMPTY_HASH, DEBUG, "still no such level"))
    heard(world, "n1", Report(DEBUG))
    assert len(world.told) == 1
    world.drift.forget("n2")
    assert world.told[1:] == [("conf.refusal_over", {"hash": DEBUG})]


def test_only_the_hub_that_speaks_for_an_edge_tells_of_its_refusal() -> None:
    """One that speaks for it only since a moment ago tells then; one that does so much later, never."""
    world, cared = World(), set[str]()
    world.drift.speaks_for = cared.__contains__
    refusing = Report(EMPTY_HASH, DEBUG, "no such level")
    for node in ("n1", "n2"):
        heard(world, node, refusing)
    world.drift.look(world.wall_ms + 1)
    assert world.told == []
    cared.add("n2")
    world.drift.look(world.wall_ms + drift.WAIT_MS)
    world.drift.look(world.wall_ms + drift.WAIT_MS)
    facts = {"hash": DEBUG, "edge": "n2", "error": "no such level"}
    assert world.told == [("conf.refused_by_edge", facts)]
    world.drift.look(world.wall_ms + drift.WAIT_MS + 1)
    cared.add("n1")
    world.drift.look(world.wall_ms + drift.WAIT_MS + 2)
    assert len(world.told) == 1


def test_the_end_of_a_refusal_is_told_by_the_hub_that_told_it() -> None:
    world, cared = World(), {"n1"}
    world.drift.speaks_for = cared.__contains__
    heard(world, "n1", Report(EMPTY_HASH, DEBUG, "no"))
    cared.clear()
    heard(world, "n2", Report(EMPTY_HASH, "another", "no"))
    for node in ("n1", "n2"):
        heard(world, node, NONE)
    assert [name for name, _ in world.told] == ["conf.refused_by_edge", "conf.refusal_over"]
    assert world.told[1][1] == {"hash": DEBUG}


def test_a_hundred_thousand_edges_are_a_few_groups() -> None:
    world = World()
    for number in range(2_000):
        heard(world, f"n{number}", NONE, role="web" if number % 2 else "db")
    assert len(world.drift._members) == 2
    world.write("edges:role=web", "log_level", "debug")
    assert totals(world) == {"nodes": 2_000, "behind": 1_000, "current": 1_000}
    assert len(world.drift.survey(50).worst) == 50


def test_edges_may_say_something_new_between_two_steps_of_a_survey(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hub answers beats meanwhile: with labels of their own, 100,000 edges are as many groups."""
    monkeypatch.setattr(drift, "LOOKED_AT_ONCE", 4)
    world = World()
    for number in range(20):
        world.drift.note(f"n{number:02}", {"rack": str(number)}, Report("a" * 16), 1_000 + number)
    surveyor, steps = Surveyor(world.drift, 3), 0
    for _ in surveyor.steps():
        world.drift.note(f"n{steps:02}", {"rack": "new"}, Report("b" * 16), 5_000)
        world.drift.forget(f"n{19 - steps}")
        steps += 1
    assert steps >= 5
    survey = surveyor.survey
    assert survey.totals["nodes"] == survey.totals["behind"] <= 20
    assert [each.node_id for each in survey.worst] == ["n00", "n01", "n02"]
