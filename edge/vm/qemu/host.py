"""What this host offers to machines: the programs, and by what guests run. Looked at again when it
is old."""

import asyncio
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from edge.vm.qemu.accel import TCG, Accel, probe
from edge.vm.qemu.argv import PROGRAM
from edge.vm.qemu.disks import IMG_PROGRAM
from edge.vm.tiny import tiny_disk
from shared.runtime import Runtime

FACTS_SECONDS_MAX = 60.0
ACCEL_AGAIN_SECONDS = 600.0
"""A busy host can make the trial of a good accelerator fail; one that works is not tried again."""

VERSION_SECONDS_MAX = 10.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found; `why` says what is missing, or why guests are emulated."""

    is_installed: bool
    version: str
    why: str
    accel: Accel


class Host:
    """Asked before each start; keeps what it found."""

    def __init__(self, folder: Path, runtime: Runtime) -> None:
        self._folder = folder
        self._runtime = runtime
        self._lock = asyncio.Lock()
        self._facts: Facts | None = None
        self._looked_at = self._tried_at = float("-inf")
        self._accel = Accel(TCG)
        self._is_condemned = False

    @property
    def is_emulated(self) -> bool:
        """As far as is known."""
        return self._accel.name == TCG

    async def facts(self) -> Facts:
        """At most a minute old."""
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if self._facts is None or now - self._looked_at > FACTS_SECONDS_MAX:
                self._facts = await self._look(now)
                self._looked_at = now
            return self._facts

    async def choose(self) -> str:
        """By what the next guest is to be run."""
        return (await self.facts()).accel.name

    def condemn(self) -> None:
        """A guest failed for its accelerator: emulate until this agent starts anew."""
        self._is_condemned = True
        self._accel = Accel(TCG, "a guest failed by KVM, so guests are emulated now")
        if self._facts is not None:
            self._facts = replace(self._facts, accel=self._accel, why=self._accel.why)

    async def _look(self, now: float) -> Facts:
        version, missing = await self._runtime.offload(find_programs)
        if missing:
            return Facts(False, version, missing, Accel(TCG))
        is_old = now - self._tried_at > ACCEL_AGAIN_SECONDS
        if self._accel.name == TCG and not self._is_condemned and is_old:
            self._accel = await self._runtime.offload(lambda: probe(tiny_disk(self._folder)))
            self._tried_at = now
        return Facts(True, version, self._accel.why, self._accel)


def find_programs() -> tuple[str, str]:
    """(version, what is missing). Blocking."""
    missing = [name for name in (PROGRAM, IMG_PROGRAM) if shutil.which(name) is None]
    if missing:
        return "", f"{' and '.join(missing)} not installed"
    try:
        done = subprocess.run(
            [PROGRAM, "--version"],
            capture_output=True,
            text=True,
            timeout=VERSION_SECONDS_MAX,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", f"{PROGRAM} does not work: {error}"
    words = done.stdout.split()
    if done.returncode or len(words) < 4:
        return "", f"{PROGRAM} does not work: {done.stderr.strip()[-200:]}"
    return words[3], ""
