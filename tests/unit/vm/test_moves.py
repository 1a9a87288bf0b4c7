"""What may be asked of a machine, case by case."""

import pytest

from edge.vm.model import Move, State
from edge.vm.moves import IDLE, Verdict, allowed, is_reached, judge

UP_OR_DOWN = (State.STOPPED, State.RUNNING, State.PAUSED, State.FAILED)


def test_every_move_but_create_is_judged_in_every_state() -> None:
    assert set(IDLE) == set(Move) - {Move.CREATE}
    assert all(set(row) == set(UP_OR_DOWN) for row in IDLE.values())


@pytest.mark.parametrize(
    ("move", "verdicts"),
    [
        (Move.START, "run no_change run run"),
        (Move.STOP, "no_change run run no_change"),
        (Move.KILL, "no_change run run no_change"),
        (Move.REBOOT, "refuse run refuse refuse"),
        (Move.PAUSE, "refuse run no_change refuse"),
        (Move.RESUME, "refuse no_change run refuse"),
        (Move.DELETE, "run refuse refuse run"),
        (Move.DESTROY, "run run run run"),
    ],
)
def test_an_idle_machine_answers_by_its_state(move: Move, verdicts: str) -> None:
    assert [judge(move, state, None) for state in UP_OR_DOWN] == verdicts.split()


@pytest.mark.parametrize(
    ("move", "task", "verdict"),
    [
        (Move.START, Move.START, Verdict.JOIN),
        (Move.STOP, Move.STOP, Verdict.JOIN),
        (Move.STOP, Move.KILL, Verdict.JOIN),
        (Move.DELETE, Move.DESTROY, Verdict.JOIN),
        (Move.DESTROY, Move.DELETE, Verdict.JOIN),
        (Move.KILL, Move.STOP, Verdict.OVERRIDE),
        (Move.KILL, Move.START, Verdict.OVERRIDE),
        (Move.DESTROY, Move.STOP, Verdict.OVERRIDE),
        (Move.KILL, Move.DELETE, Verdict.BUSY),
        (Move.START, Move.STOP, Verdict.BUSY),
        (Move.STOP, Move.START, Verdict.BUSY),
        (Move.REBOOT, Move.START, Verdict.BUSY),
        (Move.DELETE, Move.STOP, Verdict.BUSY),
        (Move.PAUSE, Move.CREATE, Verdict.BUSY),
    ],
)
def test_a_busy_machine_answers_by_its_task(move: Move, task: Move, verdict: Verdict) -> None:
    assert {judge(move, state, task) for state in UP_OR_DOWN} == {verdict}


def test_a_refusal_can_name_what_is_possible_instead() -> None:
    assert "resume" not in allowed(State.STOPPED)
    assert "start" in allowed(State.STOPPED)


def test_an_interrupted_reboot_is_never_taken_for_done() -> None:
    assert not any(is_reached(Move.REBOOT, state) for state in State)
    assert is_reached(Move.STOP, State.STOPPED)
    assert not is_reached(Move.STOP, State.RUNNING)
