"""Puts questions about stored data to a process that has the time, or to a thread."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hub.archive import Archive
from hub.config import HubConfig
from hub.query_pool import QueryPool
from hub.store.chunks import ChunkStore
from hub.store.days import DayKey
from shared.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Answers:
    """Where questions go: to the pool when there is one, else to a thread of this process."""

    archive: Archive
    pool: QueryPool | None
    runtime: Runtime

    async def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """The answer to a question of hub.query.methods, without coverage; raises RpcError."""
        now_ns = self.runtime.wall_ns()
        if self.pool is not None:
            return await self.pool.ask(method, params, now_ns)
        found: dict[str, Any] = await self.runtime.offload(
            lambda: self.archive.answer(method, params, now_ns)
        )
        return found


def build_answers(
    config: HubConfig, store_epoch: str, store: ChunkStore, runtime: Runtime
) -> Answers:
    """Questions go to processes of their own where the configuration asks for any."""
    identity = store_epoch if config.index else None
    files = store.files
    archive = Archive(config.folder, identity, files.database, files.readers, store.suspect)
    if not config.query_processes:
        return Answers(archive, None, runtime)

    def suspect(suspects: Mapping[str, str]) -> None:
        for name, why in suspects.items():
            store.suspect(DayKey.of_name(name), why)

    words = (str(config.folder), identity or "", config.log_level)
    command = (sys.executable, "-P", "-m", "hub.query_worker", *words)
    return Answers(archive, QueryPool(command, config.query_processes, suspect), runtime)
