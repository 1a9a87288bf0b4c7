"""What may be asked of a machine in which state, as tables (design reference, vm 2.1)."""

from enum import StrEnum

from edge.vm.model import Move, Power, State


class Verdict(StrEnum):
    """What to do with a request."""

    RUN = "run"
    NO_CHANGE = "no_change"
    REFUSE = "refuse"
    JOIN = "join"
    BUSY = "busy"
    OVERRIDE = "override"


_RUN, _SAME, _NO = Verdict.RUN, Verdict.NO_CHANGE, Verdict.REFUSE

# fmt: off
IDLE: dict[Move, dict[State, Verdict]] = {
    move: dict(zip((State.STOPPED, State.RUNNING, State.PAUSED, State.FAILED), row, strict=True))
    for move, row in {
        # .............. stopped  running  paused  failed
        Move.START:     (_RUN,    _SAME,   _RUN,   _RUN),
        Move.STOP:      (_SAME,   _RUN,    _RUN,   _SAME),
        Move.KILL:      (_SAME,   _RUN,    _RUN,   _SAME),
        Move.REBOOT:    (_NO,     _RUN,    _NO,    _NO),
        Move.PAUSE:     (_NO,     _RUN,    _SAME,  _NO),
        Move.RESUME:    (_NO,     _SAME,   _RUN,   _NO),
        Move.DELETE:    (_RUN,    _NO,     _NO,    _RUN),
        Move.DESTROY:   (_RUN,    _RUN,    _RUN,   _RUN),
        Move.UPDATE:    (_RUN,    _RUN,    _RUN,   _RUN),
        Move.SNAPSHOT:  (_RUN,    _RUN,    _RUN,   _RUN),
        Move.RESTORE:   (_RUN,    _RUN,    _RUN,   _RUN),
        Move.DROP:      (_RUN,    _RUN,    _RUN,   _RUN),
        Move.CLONE:     (_RUN,    _NO,     _NO,    _RUN),
    }.items()
}
# fmt: on

POWER_AFTER: dict[Move, Power] = {
    Move.START: Power.RUNNING,
    Move.REBOOT: Power.RUNNING,
    Move.STOP: Power.STOPPED,
    Move.KILL: Power.STOPPED,
    Move.DELETE: Power.STOPPED,
    Move.DESTROY: Power.STOPPED,
}
"""What a request says about the desired power; pausing says nothing."""

TASK_NAMES: dict[Move, str] = {
    Move.CREATE: "creating",
    Move.START: "starting",
    Move.STOP: "stopping",
    Move.KILL: "stopping",
    Move.REBOOT: "rebooting",
    Move.PAUSE: "pausing",
    Move.RESUME: "resuming",
    Move.DELETE: "deleting",
    Move.DESTROY: "deleting",
    Move.UPDATE: "updating",
    Move.SNAPSHOT: "snapshotting",
    Move.RESTORE: "restoring",
    Move.DROP: "deleting a snapshot",
    Move.CLONE: "being cloned",
}

KILLED, ENDED = "killed", "ended"
"""Stages of a stop that cannot be taken back any more."""

_LEAVING = (Move.DELETE, Move.DESTROY)
_NAMED = (Move.UPDATE, Move.SNAPSHOT, Move.RESTORE, Move.DROP, Move.CLONE)
"""Two of these need not mean the same thing."""


_NOT_JOINED = (*_NAMED, Move.REBOOT, Move.PAUSE, Move.RESUME)
"""Of the others, asking twice at once is asking for one thing."""


def judge(move: Move, state: State, task: Move | None) -> Verdict:
    """What a request means now: the state decides when nothing is in flight, else the task does."""
    if task is None:
        return IDLE[move][state]
    if (task is move and move not in _NOT_JOINED) or (move in _LEAVING and task in _LEAVING):
        return Verdict.JOIN
    if move is Move.STOP and task is Move.KILL:
        return Verdict.JOIN  # It asks for less than what happens already.
    if move in (Move.KILL, Move.DESTROY) and task not in _LEAVING:
        return Verdict.OVERRIDE
    return Verdict.BUSY


def allowed(state: State) -> list[str]:
    """The moves that a state does not refuse, for error messages."""
    return [move.value for move, row in IDLE.items() if row[state] is not Verdict.REFUSE]


def is_reached(move: Move, state: State) -> bool:
    """True when a machine is where an interrupted operation wanted it."""
    targets: dict[Move, tuple[State, ...]] = {
        Move.START: (State.RUNNING,),
        Move.STOP: (State.STOPPED, State.FAILED),
        Move.KILL: (State.STOPPED, State.FAILED),
        Move.PAUSE: (State.PAUSED,),
        Move.RESUME: (State.RUNNING,),
        Move.DELETE: (State.ABSENT,),
        Move.DESTROY: (State.ABSENT,),
    }
    return state in targets.get(move, ())
