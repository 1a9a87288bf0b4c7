"""Snapshots inside the disks of a machine: by jobs of QEMU while it runs, else by qemu-img.

A snapshot with memory can be loaded only into a machine that runs, and one without only into one
that does not: a guest whose disk changed under it would write the old one's data over it.
"""

import asyncio
import uuid
from collections.abc import Sequence
from functools import partial
from typing import Any

from edge.vm.driver import Progress, Snapshot
from edge.vm.qemu.argv import Drive
from edge.vm.qemu.disks import offline_snapshots, run_img, snapshot_of
from edge.vm.qemu.guest import Guest
from shared.errors import RpcError
from shared.runtime import Runtime

JOB_SECONDS_MAX = 900.0
JOB_POLL_SECONDS = 0.05


def writable(drives: Sequence[Drive]) -> list[Drive]:
    """The disks that a snapshot covers; the first one also holds the memory.

    Raises RpcError not_supported when there is none.
    """
    found = [drive for drive in drives if not drive.readonly]
    if not found:
        raise RpcError("not_supported", "the machine has no disk that could hold a snapshot")
    return found


class Running:
    """Snapshots of a machine that runs."""

    def __init__(self, guest: Guest, drives: Sequence[Drive]) -> None:
        self._guest = guest
        self._nodes = [drive.node for drive in writable(drives)]

    async def list(self) -> list[Snapshot]:
        """What QEMU knows of them."""
        nodes: list[dict[str, Any]] = await self._guest.qmp.execute("query-named-block-nodes")
        for node in nodes:
            if node.get("node-name") == self._nodes[0]:
                return [snapshot_of(entry) for entry in node["image"].get("snapshots", [])]
        return []

    async def create(self, name: str, with_memory: bool, progress: Progress) -> None:
        """Take one; the guest stands still meanwhile."""
        if with_memory:
            await self._job("snapshot-save", name, progress, vmstate=self._nodes[0])
            return
        actions = [
            {"type": "blockdev-snapshot-internal-sync", "data": {"device": node, "name": name}}
            for node in self._nodes
        ]
        async with self._guest.busy():
            await self._guest.qmp.execute("transaction", JOB_SECONDS_MAX, actions=actions)

    async def restore(self, snapshot: Snapshot, progress: Progress) -> None:
        """Go back; raises RpcError invalid_state for one that holds no memory."""
        if not snapshot.has_memory:
            message = f"snapshot {snapshot.name!r} holds no memory: stop the machine first"
            raise RpcError("invalid_state", message, {"snapshot": snapshot.name})
        await self._job("snapshot-load", snapshot.name, progress, vmstate=self._nodes[0])

    async def delete(self, name: str, progress: Progress) -> None:
        """Remove one."""
        await self._job("snapshot-delete", name, progress)

    async def _job(self, command: str, name: str, progress: Progress, **more: Any) -> None:
        # Never one of before: a job that nobody waited for keeps its name until it is dismissed.
        qmp, job = self._guest.qmp, f"{command}-{uuid.uuid4().hex}"
        async with self._guest.busy():
            await qmp.execute(
                command, JOB_SECONDS_MAX, job_id=job, tag=name, devices=self._nodes, **more
            )
            ended = await self._wait_job(job, progress)
            await qmp.execute("job-dismiss", JOB_SECONDS_MAX, id=job)
        if ended.get("error"):
            raise RpcError("driver_error", f"{command} of {name!r}: {ended['error']}")

    async def _wait_job(self, job: str, progress: Progress) -> dict[str, Any]:
        while True:
            jobs: list[dict[str, Any]] = await self._guest.qmp.execute(
                "query-jobs", JOB_SECONDS_MAX
            )
            found = next(one for one in jobs if one["id"] == job)
            if found["status"] == "concluded":
                return found
            progress(str(found["type"]), _percent(found))
            await asyncio.sleep(JOB_POLL_SECONDS)


class Stopped:
    """Snapshots of a machine that does not run: of its disks only."""

    def __init__(self, drives: Sequence[Drive], runtime: Runtime) -> None:
        self._paths = [drive.path for drive in writable(drives)]
        self._runtime = runtime

    async def list(self) -> list[Snapshot]:
        """What the first disk holds."""
        path = self._paths[0]
        found: list[Snapshot] = (
            await self._runtime.offload(lambda: offline_snapshots(path)) if path.exists() else []
        )
        return found

    async def create(self, name: str, with_memory: bool, progress: Progress) -> None:
        """Take one of the disks; raises RpcError invalid_state when memory is asked for."""
        if with_memory:
            raise RpcError("invalid_state", "only a machine that runs has a memory to keep")
        await self._each("-c", name)

    async def restore(self, snapshot: Snapshot, progress: Progress) -> None:
        """Set the disks back; a memory that was kept with them is left as it is."""
        await self._each("-a", snapshot.name)

    async def delete(self, name: str, progress: Progress) -> None:
        """Remove one."""
        await self._each("-d", name)

    async def _each(self, option: str, name: str) -> None:
        for path in self._paths:
            await self._runtime.offload(partial(run_img, "snapshot", option, name, str(path)))


def _percent(job: dict[str, Any]) -> int | None:
    total = int(job.get("total-progress", 0))
    return int(job.get("current-progress", 0)) * 100 // total if total else None
