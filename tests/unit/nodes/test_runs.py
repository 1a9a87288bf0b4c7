"""Runs of a node's agent: a restart is welcome, a copy is not, and late beats are neither."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.nodes.clones import TOLD_MAX, Clones
from hub.nodes.heard import Slots
from hub.nodes.runs import LATE_SECONDS, Runs, Standing
from hub.web.event_words import sentence_of
from shared.beat import Beat, read_beat, run_number, write
from shared.errors import BadInput
from tests.examples import examples

WINDOW = 16.0
ONE, TWO, THREE = 0xA1, 0xB2, 0xC3
WELCOME, LATE, CLONE = Standing.WELCOME, Standing.LATE, Standing.CLONE

STORIES: dict[str, list[tuple[float, int, int, Standing]]] = {
    "a run beats on": [(0, 5, ONE, WELCOME), (5, 5, ONE, WELCOME), (10, 5, ONE, WELCOME)],
    "a restart has a higher incarnation": [
        (0, 5, ONE, WELCOME),
        (0.5, 6, TWO, WELCOME),
        (1, 7, THREE, WELCOME),
    ],
    "a late beat does not undo a restart": [
        (0, 5, ONE, WELCOME),
        (0.5, 6, TWO, WELCOME),
        (0.6, 5, ONE, LATE),
        (0.7, 6, TWO, WELCOME),
        (LATE_SECONDS + 0.5, 5, ONE, LATE),
        (LATE_SECONDS + 0.6, 5, ONE, CLONE),
    ],
    "a copy of a stopped machine starts as often": [
        (0, 5, ONE, WELCOME),
        (1, 5, TWO, CLONE),
        (2, 5, ONE, WELCOME),
        (300, 5, ONE, WELCOME),
        (300, 5, TWO, CLONE),
    ],
    "an older copy": [(0, 5, ONE, WELCOME), (9, 5, ONE, WELCOME), (11, 4, TWO, CLONE)],
    "a copy takes over when the original is gone for longer than the window": [
        (0, 5, ONE, WELCOME),
        (WINDOW, 5, TWO, CLONE),
        (WINDOW + 0.1, 5, TWO, WELCOME),
        (WINDOW + 0.2, 5, ONE, CLONE),
        (2 * WINDOW, 5, TWO, WELCOME),
    ],
    "the copy of a disk in use gives way when the original counts on": [
        (0, 5, ONE, WELCOME),
        (1, 6, TWO, WELCOME),
        (2, 5, ONE, LATE),
        (2.5, 7, ONE, WELCOME),
        (3, 6, TWO, CLONE),
        (4, 7, ONE, WELCOME),
    ],
}


@pytest.mark.parametrize("story", STORIES)
def test_a_beat_is_judged_by_what_was_heard_before(story: str) -> None:
    runs = Runs(Slots())
    judged = [runs.judge("edge-1", inc, run, at, WINDOW) for at, inc, run, _ in STORIES[story]]
    assert judged == [standing for *_, standing in STORIES[story]]


def test_only_the_run_that_was_there_before_may_count_on() -> None:
    """Otherwise the two would outrank each other for ever."""
    runs = Runs(Slots())
    runs.judge("edge-1", 5, ONE, 0, WINDOW)
    runs.judge("edge-1", 6, TWO, 1, WINDOW)
    assert runs.to_outrank("edge-1", ONE, 2, WINDOW) == 6
    assert runs.to_outrank("edge-1", TWO, 2, WINDOW) is None
    runs.judge("edge-1", 7, ONE, 2, WINDOW)
    assert [runs.to_outrank("edge-1", run, 3, WINDOW) for run in (ONE, TWO)] == [None, None]
    runs.judge("edge-1", 8, THREE, 2 + 2 * WINDOW, WINDOW)
    assert runs.to_outrank("edge-1", ONE, 3 + 2 * WINDOW, WINDOW) is None
    assert runs.to_outrank("edge-2", ONE, 3, WINDOW) is None


def test_a_run_that_comes_back_much_later_may_not_count_on() -> None:
    """A machine that was paused finds another one in its place."""
    runs = Runs(Slots())
    runs.judge("edge-1", 5, ONE, 0, WINDOW)
    runs.judge("edge-1", 6, TWO, 1, WINDOW)
    assert runs.to_outrank("edge-1", ONE, 1 + WINDOW, WINDOW) == 6
    assert runs.to_outrank("edge-1", ONE, 1.1 + WINDOW, WINDOW) is None


def test_a_node_that_was_removed_may_come_as_any_machine() -> None:
    runs = Runs(Slots())
    runs.judge("edge-1", 70, ONE, 0, WINDOW)
    runs.forget("edge-1")
    runs.forget("edge-2")
    assert runs.known("edge-1", 0, WINDOW) is None
    assert runs.judge("edge-1", 1, TWO, 1, WINDOW) is WELCOME
    assert runs.known("edge-1", 1, WINDOW) == (1, TWO)


@settings(max_examples=examples(300))
@given(starts=st.lists(st.floats(0, 40), min_size=1, max_size=8), late=st.floats(0, 9.9))
def test_a_node_that_only_restarts_is_never_called_a_clone(
    starts: list[float], late: float
) -> None:
    """However fast it restarts, and though a beat of each life arrives late."""
    runs, now = Runs(Slots()), 0.0
    for life, pause in enumerate(starts, 1):
        now += pause
        assert runs.judge("edge-1", life, life, now, WINDOW) is WELCOME
        if life > 1:
            assert runs.judge("edge-1", life - 1, life - 1, now + late, WINDOW) is not CLONE
        assert runs.judge("edge-1", life, life, now + late, WINDOW) is WELCOME
        now += late


@settings(max_examples=examples(300))
@given(
    steps=st.lists(st.tuples(st.floats(0.1, 5), st.booleans()), max_size=40), lag=st.integers(0, 3)
)
def test_the_original_is_welcome_at_each_beat_whatever_copies_do(
    steps: list[tuple[float, bool]], lag: int
) -> None:
    """As long as it beats within the window, and the copy was not started more often."""
    runs, now = Runs(Slots()), 0.0
    runs.judge("edge-1", 5, ONE, now, WINDOW)
    for pause, is_copy in steps:
        now += pause
        if is_copy:
            assert runs.judge("edge-1", 5 - lag, TWO, now, WINDOW) is not WELCOME
        assert runs.judge("edge-1", 5, ONE, now, WINDOW) is WELCOME


# ---- what people are told


def beat(run: str, incarnation: int = 5, node_id: str = "edge-1") -> Beat:
    return Beat(node_id, incarnation, 1, "e", 1, {}, {}, {}, run=run)


def run_of(number: int) -> str:
    return f"{number:016x}"


def test_it_is_told_once_for_each_pair_of_runs() -> None:
    told: list[dict[str, object]] = []
    clones = Clones(lambda name, facts: told.append({"name": name, **facts}))
    assert clones.refusal_of_beat(beat(run_of(ONE)), 5, "10.0.0.1", 0, WINDOW) is None
    for at in range(1, 6):
        error = clones.refusal_of_beat(beat(run_of(TWO)), 5, "10.0.0.2", at, WINDOW)
        assert "another machine that runs now has the identity of edge-1" in str(error)
        assert clones.refusal_of_beat(beat(run_of(ONE)), 5, "10.0.0.1", at, WINDOW) is None
    assert [(each["name"], each["node_id"], each["refused_at"]) for each in told] == [
        ("node.cloned", "edge-1", "10.0.0.2")
    ]
    clones.refusal_of_beat(beat(run_of(THREE)), 5, "10.0.0.3", 6, WINDOW)
    assert len(told) == 2


def test_only_the_run_that_was_refused_is_sent_away_with_all_else() -> None:
    """The first push of a restarted edge may come before its first beat."""
    clones = Clones(lambda name, facts: None)
    clones.refusal_of_beat(beat(run_of(ONE)), 5, "", 0, WINDOW)
    assert clones.refusal("edge-1", run_of(TWO), 1, WINDOW) is None
    clones.refusal_of_beat(beat(run_of(TWO)), 5, "", 1, WINDOW)
    assert clones.refusal("edge-1", run_of(TWO), 1, WINDOW) is not None
    for run in ("", "no run", run_of(ONE)):
        assert clones.refusal("edge-1", run, 1, WINDOW) is None
    assert clones.refusal("edge-1", run_of(TWO), 1 + WINDOW, WINDOW) is None
    clones.refusal_of_beat(beat(run_of(TWO)), 5, "", 1 + WINDOW, WINDOW)
    assert clones.refusal("edge-1", run_of(TWO), 2 + WINDOW, WINDOW) is None


def test_edges_of_older_versions_are_never_taken_for_copies() -> None:
    clones = Clones(lambda name, facts: pytest.fail(name))
    for at in range(4):
        assert clones.refusal_of_beat(beat("", incarnation=9 - at), 9 - at, "", at, WINDOW) is None


def test_what_the_copy_must_outrank_is_counted_as_the_edge_does() -> None:
    """Hubs add to the incarnation of a node that was let back."""
    clones = Clones(lambda name, facts: None)
    clones.refusal_of_beat(beat(run_of(ONE), 5), 1005, "", 0, WINDOW)
    clones.refusal_of_beat(beat(run_of(TWO), 8), 1008, "", 1, WINDOW)
    error = clones.refusal_of_beat(beat(run_of(ONE), 5), 1005, "", 2, WINDOW)
    assert error is not None
    assert error.outrank == 8


@pytest.mark.parametrize(
    ("incarnation", "run", "at", "is_told"),
    [
        (5, run_of(TWO), 1.0, True),
        (5, run_of(ONE), 1.0, False),
        (6, run_of(TWO), 1.0, False),
        (4, run_of(TWO), 1.0, False),
        (5, "", 1.0, False),
        (5, "a peer's nonsense", 1.0, False),
        (5, run_of(TWO), WINDOW + 1, False),
    ],
)
def test_two_runs_of_one_start_that_two_hubs_hear_are_told_of(
    incarnation: int, run: str, at: float, is_told: bool
) -> None:
    told: list[str] = []
    clones = Clones(lambda name, facts: told.append(str(facts["heard_by"])))
    clones.refusal_of_beat(beat(run_of(ONE)), 5, "", 0, WINDOW)
    for _ in range(3):
        clones.heard_elsewhere("edge-1", incarnation, run, "hub-2", at, WINDOW)
    assert told == ["hub-2"] * is_told


def test_what_is_remembered_is_bounded() -> None:
    clones = Clones(lambda name, facts: None)
    clones.refusal_of_beat(beat(run_of(ONE)), 5, "", 0, WINDOW)
    for number in range(TOLD_MAX + 50):
        clones.refusal_of_beat(beat(run_of(0x1000 + number)), 5, "", 1, WINDOW)
    assert len(clones._told.seen) == len(clones._refused.seen) == TOLD_MAX


@settings(max_examples=examples(200))
@given(text=st.text(max_size=20))
def test_a_run_is_sixteen_hex_digits_or_nothing(text: str) -> None:
    body = write(beat(text))
    if text == "":
        assert read_beat(body).run == ""
    elif not run_number(text) and text != "0" * 16:
        with pytest.raises(BadInput):
            read_beat(body)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"refused_at": "10.0.0.2"}, "Two machines run as edge-1: the one at 10.0.0.2 is refused"),
        (
            {"heard_at": "10.0.0.2"},
            "Two machines run as edge-1, with edges of an older version: the one at 10.0.0.2 counts less",
        ),
        ({"heard_by": "hub-2"}, "Two machines run as edge-1: hub-2 hears the other one"),
        ({"epoch": "e1"}, "Two machines write the log of edge-1, or its disk was set back"),
    ],
)
def test_people_read_which_copy_it_is(facts: dict[str, str], words: str) -> None:
    row = {"type": "node.cloned", "attributes": {"node_id": "edge-1", **facts}}
    assert sentence_of(row).startswith(words)
