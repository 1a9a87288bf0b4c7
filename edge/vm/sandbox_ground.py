"""What this node has for sandboxes, found by doing it: isolation, control groups, joining one."""

import asyncio
import shutil
import tempfile
from pathlib import Path

from edge.vm import cgroups
from edge.vm.cgroups_find import Hierarchies, find_hierarchies
from edge.vm.isolation import Isolation, Room, command, probe
from edge.vm.launch import Launch
from edge.vm.sandbox_launch import FILES_MAX, launch_shim
from edge.vm.shim_client import execute, living_shim, order, wait_gone
from shared.errors import RpcError
from shared.runtime import Runtime

PROBE_AGE_SECONDS_MAX = 60.0
TRIAL_SECONDS_MAX = 5.0
TRIAL_PREFIX = ".trial-"
WORD = "joined"


class Ground:
    """Looks when asked and remembers; `why` says why there is no isolation."""

    def __init__(self, folder: Path, runtime: Runtime, sandbox_uid: int) -> None:
        self._folder, self._runtime, self._uid = folder, runtime, sandbox_uid
        self._looking, self._trying = asyncio.Lock(), asyncio.Lock()
        self._probed_at: float | None = None
        self._joins: tuple[Isolation, bool] | None = None
        self._is_swept = False
        self.isolation: Isolation | None = None
        self.hierarchies = Hierarchies("")
        self.why = ""

    async def look(self, *, is_old_good: bool = False) -> Isolation | None:
        """A way to isolate that worked within the last minute, or ever if old ones are good."""
        async with self._looking:
            await self._sweep_once()
            if not self._is_known(is_old_good):
                found = await self._runtime.offload(lambda: probe(self._uid))
                self.isolation, self.why = found
                self._probed_at = asyncio.get_running_loop().time()
        return self.isolation

    def forget(self) -> None:
        """Something did not work that should have: look at all of it again."""
        self._probed_at, self._is_swept, self._joins = None, False, None

    async def can_join(self) -> bool:
        """Whether commands can be run in a sandbox: tried once for each way to isolate."""
        isolation = await self.look()
        if isolation is None:
            return False
        async with self._trying:
            if self._joins is None or self._joins[0] != isolation:
                self._joins = (isolation, await self._try_to_join(isolation))
            return self._joins[1]

    def _is_known(self, is_old_good: bool) -> bool:
        if self._probed_at is None:
            return False
        if is_old_good and self.isolation is not None:
            return True
        return asyncio.get_running_loop().time() - self._probed_at <= PROBE_AGE_SECONDS_MAX

    async def _sweep_once(self) -> None:
        """After a crash of shims or of the whole agent: nothing of ours stays behind."""
        if not self._is_swept:
            self.hierarchies = await self._runtime.offload(lambda: swept(self._folder))
            self._is_swept = True

    async def _try_to_join(self, isolation: Isolation) -> bool:
        await self._runtime.offload(lambda: self._folder.mkdir(parents=True, exist_ok=True))
        folder = Path(tempfile.mkdtemp(prefix=TRIAL_PREFIX, dir=self._folder))
        try:
            await self._runtime.offload(lambda: launch_shim(folder, _trial(isolation)))
            done = await execute(folder, ["/bin/echo", WORD], TRIAL_SECONDS_MAX)
            return done.code == 0 and done.stdout.decode().strip() == WORD
        except RpcError:  # What failed in a trial is what the answer is about.
            return False
        finally:
            await _end(folder)
            await self._runtime.offload(lambda: shutil.rmtree(folder))


def swept(folder: Path) -> Hierarchies:
    """Find where groups can be made, and remove those of sandboxes that are over. Blocking."""
    found = find_hierarchies(folder)
    for name, groups in found.left().items():
        if living_shim(folder / name) is None:
            cgroups.remove(groups)
    for trial in folder.glob(f"{TRIAL_PREFIX}*/"):
        if living_shim(trial) is None:
            shutil.rmtree(trial)
    return found


def _trial(isolation: Isolation) -> Launch:
    room = Room("trial", {"PATH": "/usr/bin:/bin"}, disk_mib=1)
    return Launch(
        vm_id="trial",
        argv=command(isolation, room, ["/bin/sleep", "60"]),
        env={},
        uid=isolation.uid,
        isolated=True,
        address_space_bytes_max=None,
        files_max=FILES_MAX,
        processes_max=None,
        console_bytes_max=4096,
        stop_signals=[15],
        stop_seconds_max=1.0,
    )


async def _end(folder: Path) -> None:
    if living_shim(folder) is None:
        return
    try:
        await order(folder, "kill")
    except RpcError:
        if living_shim(folder) is not None:
            raise
    await wait_gone(folder)
