"""Trying power cuts: build the folder that each would leave, open it again, look whether the laws hold."""

import os
import shutil
import tempfile
import traceback
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.crash.disk import Disk, State
from tests.crash.trace import Trace

DUMPED_OPERATIONS = 12


@dataclass(frozen=True, slots=True)
class Crash:
    """One power cut: after so many operations, with this left on the disk."""

    length: int
    variant: str
    state: State


Check = Callable[[Path, Crash], Awaitable[None]]
"""Opens what is in the folder; raises whatever it likes when a law is broken."""


class Violation(AssertionError):
    """A power cut after which a law does not hold."""


def crashes(
    trace: Trace, seed: int, *, draws: int = 3, strict: bool = False, share: float = 1.0
) -> Iterator[Crash]:
    """Power cuts at every point of a trace, each state once for the same promises.

    `share` keeps a part of them only, drawn with the seed; the same seed draws the same.
    """
    rng = Random(seed)
    disk = Disk(trace, strict=strict)
    seen: set[tuple[int, int]] = set()
    for length in range(len(trace) + 1):
        if length:
            disk.apply(trace.operations[length - 1])
        if rng.random() >= share:
            continue
        promises = trace.marks_before(length)
        for variant, state in disk.after_power_cut(rng, draws):
            key = (state.digest(), promises)
            if key not in seen:
                seen.add(key)
                yield Crash(length, variant, state)


async def replay(trace: Trace, tried: Iterable[Crash], check: Check) -> int:
    """Check every crash in a folder of its own; returns how many. Raises Violation for the first bad one."""
    count = 0
    with tempfile.TemporaryDirectory(prefix="hw-crash-", dir=fast_folder()) as scratch:
        for count, crash in enumerate(tried, 1):  # noqa: B007 (the last number is the answer)
            folder = Path(scratch) / "disk"
            lay_out(crash.state, folder)
            try:
                await check(folder, crash)
            except Exception as error:
                raise Violation(describe(trace, crash)) from error
            shutil.rmtree(folder)
    return count


def fast_folder() -> str | None:
    """Memory, where a machine has it; what is tried here need not outlive anything."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def lay_out(state: State, folder: Path) -> None:
    """Write what a disk holds to a real folder."""
    folder.mkdir()
    for name in sorted(state.folders):
        (folder / name).mkdir()
    for name, content in state.files.items():
        with (folder / name).open("wb") as file:
            file.write(content.data)
            file.truncate(content.size_bytes)


def describe(trace: Trace, crash: Crash) -> str:
    """Where the power was cut and what was left, for a person."""
    first = max(0, crash.length - DUMPED_OPERATIONS)
    operations = [
        f"  {at:5d} {operation!r}"
        for at, operation in enumerate(trace.operations[first : crash.length], first)
    ]
    return "\n".join(
        [
            f"power cut after {crash.length} of {len(trace)} operations, {crash.variant}",
            f"promises made: {trace.marks_before(crash.length)}",
            f"left on the disk: {crash.state}",
            "last operations:",
            *operations,
        ]
    )


def reason_of(violation: Violation) -> str:
    """The law that was broken, in one text."""
    cause = violation.__cause__
    return "".join(traceback.format_exception_only(cause)) if cause else ""
