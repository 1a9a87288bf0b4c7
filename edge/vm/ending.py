"""What follows when a machine is found ended: why, wanted or not, and whether it starts again."""

from collections.abc import Sequence
from dataclasses import dataclass

from edge.vm.model import Autostart, Exit, Power, Restart, Spec, State

RESTART_SECONDS_INITIAL = 1.0
RESTART_SECONDS_MAX = 60.0
KILLED = "killed_external"
START_FAILED = "start_failed"
RESTART_LIMIT = "restart_limit"


@dataclass(frozen=True, slots=True)
class Ending:
    """The state to record, and when to start again (None: not)."""

    state: State
    reason: str
    power: Power
    restart_after_seconds: float | None = None


def judge_end(
    spec: Spec,
    power: Power,
    exit_: Exit | None,
    restarts: Sequence[float],
    now: float,
    ended: str = "",
) -> Ending:
    """Decide about a machine that is gone.

    `restarts` are the monotonic times of earlier restarts. No exit means that nobody saw the end;
    `ended` is the driver's own word for it, which says more than an exit.
    """
    if power is Power.STOPPED:
        return Ending(State.STOPPED, "user", Power.STOPPED)
    reason = ended or end_reason(exit_)
    if reason == "boot_loop":  # Starting it again would only go on with the loop.
        return Ending(State.FAILED, reason, Power.RUNNING)
    if reason == "accel_failed" and not restarts:
        # No fault of the guest: its next start is under emulation, whatever the policy says.
        return Ending(State.FAILED, reason, Power.RUNNING, RESTART_SECONDS_INITIAL)
    is_clean = reason == "guest_shutdown"
    if not _wants_restart(spec.restart, is_clean):
        # A machine that ended in order is not brought back by a later start of the host.
        return _final(reason, is_clean)
    state = State.STOPPED if is_clean else State.FAILED
    return _again(spec, state, reason, restarts, now)


def judge_failed_start(spec: Spec, restarts: Sequence[float], now: float) -> Ending:
    """Decide about a machine that did not come up when nobody but its policy had asked for that."""
    if not _wants_restart(spec.restart, is_clean=False):
        return Ending(State.FAILED, START_FAILED, Power.RUNNING)
    return _again(spec, State.FAILED, START_FAILED, restarts, now)


def end_reason(exit_: Exit | None) -> str:
    """Name an end by what is known of it."""
    if exit_ is None:
        return "lost_while_agent_down"
    if exit_.code == 0:
        return "guest_shutdown"
    return KILLED if exit_.signal == 9 else "crashed"


def starts_after_boot(spec: Spec, power: Power) -> bool:
    """True when a machine must run after its host, or an agent that stopped it, came back."""
    if spec.autostart is Autostart.LAST:
        return power is Power.RUNNING
    return spec.autostart is Autostart.ALWAYS


def _again(spec: Spec, state: State, reason: str, restarts: Sequence[float], now: float) -> Ending:
    """Once more, later each time, unless it was too often."""
    recent = [at for at in restarts if now - at < spec.restart_window_s]
    if len(recent) >= spec.restart_max:
        return Ending(State.FAILED, RESTART_LIMIT, Power.RUNNING)
    delay = min(RESTART_SECONDS_MAX, RESTART_SECONDS_INITIAL * 2 ** min(len(recent), 16))
    return Ending(state, reason, Power.RUNNING, delay)


def _final(reason: str, is_clean: bool) -> Ending:
    if is_clean:
        return Ending(State.STOPPED, reason, Power.STOPPED)
    state = State.STOPPED if reason == "lost_while_agent_down" else State.FAILED
    return Ending(state, reason, Power.RUNNING)


def _wants_restart(policy: Restart, is_clean: bool) -> bool:
    return policy is Restart.ALWAYS or (policy is Restart.ON_FAILURE and not is_clean)
