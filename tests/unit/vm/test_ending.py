"""What follows when a machine ends by itself."""

import msgspec
import pytest

from edge.vm.ending import judge_end, starts_after_boot
from edge.vm.model import Autostart, Exit, Power, Restart, Spec, State

CLEAN, CRASH, KILLED = Exit(0, None, 1), Exit(3, None, 1), Exit(None, 9, 1)


def spec(restart: Restart = Restart.NEVER, autostart: Autostart = Autostart.LAST) -> Spec:
    return Spec(name="box", image="builtin:shell", restart=restart, autostart=autostart)


@pytest.mark.parametrize(
    ("restart", "exit_", "state", "reason", "power", "starts_again"),
    [
        (Restart.NEVER, CLEAN, State.STOPPED, "guest_shutdown", Power.STOPPED, False),
        (Restart.NEVER, CRASH, State.FAILED, "crashed", Power.RUNNING, False),
        (Restart.NEVER, KILLED, State.FAILED, "killed_external", Power.RUNNING, False),
        (Restart.NEVER, None, State.STOPPED, "lost_while_agent_down", Power.RUNNING, False),
        (Restart.ON_FAILURE, CLEAN, State.STOPPED, "guest_shutdown", Power.STOPPED, False),
        (Restart.ON_FAILURE, CRASH, State.FAILED, "crashed", Power.RUNNING, True),
        (Restart.ON_FAILURE, None, State.FAILED, "lost_while_agent_down", Power.RUNNING, True),
        (Restart.ALWAYS, CLEAN, State.STOPPED, "guest_shutdown", Power.RUNNING, True),
        (Restart.ALWAYS, CRASH, State.FAILED, "crashed", Power.RUNNING, True),
    ],
)
def test_the_restart_policy_decides_about_an_end(
    restart: Restart,
    exit_: Exit | None,
    state: State,
    reason: str,
    power: Power,
    starts_again: bool,
) -> None:
    ending = judge_end(spec(restart), Power.RUNNING, exit_, [], 100.0)
    assert (ending.state, ending.reason, ending.power) == (state, reason, power)
    assert (ending.restart_after_seconds is not None) is starts_again


@pytest.mark.parametrize("restart", list(Restart))
def test_a_machine_that_was_to_stop_is_never_restarted(restart: Restart) -> None:
    ending = judge_end(spec(restart), Power.STOPPED, CRASH, [], 100.0)
    assert ending.state is State.STOPPED
    assert ending.restart_after_seconds is None


def test_restarts_wait_longer_each_time_up_to_a_minute() -> None:
    patient = msgspec.structs.replace(spec(Restart.ALWAYS), restart_max=1000)
    ends = [judge_end(patient, Power.RUNNING, CRASH, [100.0] * count, 100.0) for count in range(9)]
    delays = [ending.restart_after_seconds for ending in ends]
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_too_many_restarts_in_the_window_are_the_last() -> None:
    ending = judge_end(spec(Restart.ALWAYS), Power.RUNNING, CRASH, [99.0] * 5, 100.0)
    assert (ending.state, ending.reason) == (State.FAILED, "restart_limit")
    assert ending.restart_after_seconds is None


def test_old_restarts_are_forgiven() -> None:
    ending = judge_end(spec(Restart.ALWAYS), Power.RUNNING, CRASH, [10.0] * 5, 100.0)
    assert ending.restart_after_seconds == 1


@pytest.mark.parametrize(
    ("autostart", "power", "starts"),
    [
        (Autostart.LAST, Power.RUNNING, True),
        (Autostart.LAST, Power.STOPPED, False),
        (Autostart.ALWAYS, Power.STOPPED, True),
        (Autostart.NEVER, Power.RUNNING, False),
    ],
)
def test_autostart_after_a_boot(autostart: Autostart, power: Power, starts: bool) -> None:
    assert starts_after_boot(spec(autostart=autostart), power) is starts
