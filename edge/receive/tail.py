"""Log files followed as they grow: each block of lines is kept together with the place after it.

Because both are in one transaction, a crash at any moment neither loses a line nor keeps one twice.
"""

import asyncio
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edge.receive.follow import Block, Follower, FollowLimits
from edge.receive.host_sample import host_facts
from edge.receive.place import Place
from edge.receive.sink import Sink
from shared.errors import Unavailable
from shared.records import Checkpoint
from shared.runtime import Runtime

log = logging.getLogger(__name__)


class FileTail:
    """Follows files by their paths, each on its own; keep `run` running.

    A file is read from its beginning when it was never seen before. It need not exist yet.
    """

    def __init__(
        self,
        runtime: Runtime,
        sink: Sink,
        node_id: str,
        paths: Sequence[Path],
        limits: FollowLimits | None = None,
    ) -> None:
        self._runtime = runtime
        self._sink = sink
        self._node_id = node_id
        # Two spellings of one path must share one checkpoint, and one reader.
        self._paths = list(dict.fromkeys(Path(os.path.abspath(path)) for path in paths))
        self._limits = limits or FollowLimits()

    async def run(self) -> None:
        """Follow all files, for ever."""
        async with asyncio.TaskGroup() as tasks:
            for path in self._paths:
                tasks.create_task(self._follow(path))

    async def _follow(self, path: Path) -> None:
        key = checkpoint_key(path)
        place = read_place(key, await self._sink.checkpoint(key))
        follower = Follower(path, place, self._resource(path), self._limits)
        try:
            while True:
                if not await self._step(follower, key):
                    await asyncio.sleep(self._limits.poll_seconds)
        finally:
            follower.close()

    async def _step(self, follower: Follower, key: str) -> bool:
        """Keep one block; False when there was none."""
        now = asyncio.get_running_loop().time()
        observed_ns = self._runtime.wall_ns()
        block = await self._runtime.offload(lambda: follower.next_block(now, observed_ns))
        if block is None:
            return False
        await self._keep(block, key)
        follower.advance(block)
        return True

    async def _keep(self, block: Block, key: str) -> None:
        checkpoint = Checkpoint(key, msgspec.json.encode(block.after))
        waits = 0
        while True:
            try:
                return await self._sink.append(block.part, checkpoint)
            except Unavailable as error:
                # The file itself is the queue: nothing is lost by waiting, however long it takes.
                if not waits:
                    log.warning("%s waits: %s", key, error)
                waits += 1
                await asyncio.sleep(max(0.1, error.retry_after_seconds))

    def _resource(self, path: Path) -> dict[str, str]:
        return {
            "log.file.path": str(path),
            "log.file.name": path.name,
            "headwater.node": self._node_id,
            **host_facts(),
        }


def checkpoint_key(path: Path) -> str:
    """The name under which the place in a file is saved."""
    return f"tail:{path}"


def read_place(key: str, state: bytes | None) -> Place | None:
    """A saved place; None when there is none, or when it cannot be read, which is logged."""
    if state is None:
        return None
    try:
        return msgspec.json.decode(state, type=Place)
    except msgspec.DecodeError as error:
        log.error("the saved place of %s cannot be read, so the file is read anew: %s", key, error)
        return None
