"""What a run state of QEMU means for the record of its machine."""

from dataclasses import dataclass

from edge.vm.model import State

GUEST_SHUTDOWN, GUEST_PANIC = "guest_shutdown", "guest_panic"
BOOT_LOOP, ACCEL_FAILED, CRASHED = "boot_loop", "accel_failed", "crashed"

SUSPENDING = frozenset({"paused", "io-error", "watchdog", "debug", "postmigrate", "colo"})
"""The guest stands still until somebody lets it go on. An io-error is one too: the host's disk was
full, and after there is room again it can go on as if nothing had been."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A state, and why it is over."""

    state: State
    ended: str = ""


def judge(status: str, accel: str) -> Verdict:
    """Judge a RunState of QMP; one that is not known counts as running, since it says nothing of
    an end."""
    if status == "shutdown":
        return Verdict(State.ABSENT, GUEST_SHUTDOWN)
    if status == "guest-panicked":
        return Verdict(State.ABSENT, GUEST_PANIC)
    if status == "internal-error":
        # Emulation needs nothing of the host's processor that could fail.
        return Verdict(State.ABSENT, CRASHED if accel == "tcg" else ACCEL_FAILED)
    return Verdict(State.PAUSED if status in SUSPENDING else State.RUNNING)
