"""Log files followed as they grow: each block of lines is kept together with the place after it.

Because both are in one transaction, a crash at any moment neither loses a line nor keeps one twice.
Wildcards are looked up anew every few seconds. One loop looks whether files have changed, so that a
thousand quiet files cost next to nothing.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry

from edge.receive.follow import SCOPE, Block, Follower
from edge.receive.generations import look_at
from edge.receive.globs import Found, find_files, is_wild
from edge.receive.host_sample import host_facts
from edge.receive.known_files import KnownFiles
from edge.receive.multiline import grammar_of
from edge.receive.place import Place
from edge.receive.reading import FollowLimits, Reading
from edge.receive.sink import Sink
from edge.receive.tail_counters import TailCounters
from edge.receive.tail_rule import TailRule
from shared.errors import Unavailable
from shared.otlp_make import Event, event_part
from shared.records import Checkpoint
from shared.runtime import Runtime
from shared.tasks import Bell

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Followed:
    """A file that is followed. `leaving` once no rule finds it: it is let go when it is read."""

    found: Found
    key: str
    follower: Follower
    announcement: Block | None
    leaving: bool = False
    bell: Bell = field(default_factory=Bell)


class FileTail:
    """Follows the files that its rules find; keep `run` running.

    A file is read from its beginning when it was never seen before. One that is named without
    wildcards need not exist yet. A plain path is a rule for just that path.
    """

    def __init__(
        self,
        runtime: Runtime,
        sink: Sink,
        node_id: str,
        rules: Sequence[Path | TailRule],
        limits: FollowLimits | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._runtime = runtime
        self._sink = sink
        self._resource = {"headwater.node": node_id, **host_facts()}
        self._rules = [_rule_of(rule) for rule in rules]
        self._limits = limits or FollowLimits()
        self._counters = TailCounters(registry or CollectorRegistry())
        self._files: dict[Path, _Followed] = {}
        self._known = KnownFiles()
        self._blocks = asyncio.Semaphore(self._limits.blocks_max)
        self._open: dict[Path, Follower] = {}  # The one that was quiet the longest comes first.
        self._has_told = False

    async def run(self) -> None:
        """Follow all files, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._wake())
            while True:
                await self._scan(tasks)
                await asyncio.sleep(self._limits.scan_seconds)

    async def _wake(self) -> None:
        """Wake the followers of files that have changed, or that wait for time to pass."""
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(self._limits.poll_seconds)
            files, now = list(self._files.values()), clock()
            due = await self._runtime.offload(
                lambda: [f for f in files if f.leaving or f.follower.is_due(now)]  # noqa: B023
            )
            for file in due:
                file.bell.ring()

    async def _scan(self, tasks: asyncio.TaskGroup) -> None:
        """Take up what the rules find now, and mark what they find no more."""
        found: list[Found] = await self._runtime.offload(lambda: find_files(self._rules))
        wanted = {file.path: file for file in found[: self._limits.files_max]}
        for path, followed in self._files.items():
            followed.leaving = path not in wanted
        self._tell_beyond(len(found) - len(wanted))
        fresh = [file for path, file in wanted.items() if path not in self._files]
        # Those with a saved place come first: another one may turn out to be what they were.
        unknown = [file for file in fresh if not await self._resume(file, tasks)]
        if unknown:
            self._remember_all()
        for file in unknown:
            await self._begin(file, tasks)
        self._counters.followed.set(len(self._files))

    async def _resume(self, file: Found, tasks: asyncio.TaskGroup) -> bool:
        key = checkpoint_key(file.path)
        place = read_place(key, await self._sink.checkpoint(key))
        if place is None:
            return False
        self._known.remember(file.path, place)
        self._follow(file, place, None, tasks)
        return True

    async def _begin(self, file: Found, tasks: asyncio.TaskGroup) -> None:
        """Take up a file of which there is no saved place, where it was read under another name."""
        if not is_wild(file.rule.pattern):
            return self._follow(file, None, None, tasks)
        if file.identity in {other.follower.identity for other in self._files.values()}:
            return None  # Just renamed, and still read to its end under its old name.
        seen = await self._runtime.offload(lambda: look_at(file.path))
        known = self._known.match(file.path, seen) if seen else None
        if known is None:
            return self._follow(file, None, None, tasks)
        was, place = known
        return self._follow(file, place, self._renamed(file.path, was, place), tasks)

    def _remember_all(self) -> None:
        for path, file in self._files.items():
            if file.follower.place:
                self._known.remember(path, file.follower.place)

    def _follow(
        self, file: Found, place: Place | None, announcement: Block | None, tasks: asyncio.TaskGroup
    ) -> None:
        if len(self._files) >= self._limits.files_max:
            return  # Others are still being let go.
        reading = Reading(file.rule.encoding, grammar_of(file.rule.multiline))
        resource = self._resource_of(file.path)
        follower = Follower(file.path, place, resource, self._limits, reading)
        followed = _Followed(file, checkpoint_key(file.path), follower, announcement)
        self._files[file.path] = followed
        tasks.create_task(self._read(followed))

    async def _read(self, file: _Followed) -> None:
        """Keep what comes until the file is let go."""
        path = file.found.path
        try:
            if file.announcement:
                await self._keep(file.announcement, file.key)
            while True:
                if await self._step(file):
                    continue
                if file.leaving and file.follower.is_finished:
                    return
                await file.bell.wait()
        finally:
            file.follower.close()
            self._open.pop(path, None)
            del self._files[path]
            if file.follower.place:
                self._known.remember(path, file.follower.place)

    async def _step(self, file: _Followed) -> bool:
        """Keep one block; False when there was none."""
        follower = file.follower
        async with self._blocks:
            now = asyncio.get_running_loop().time()
            observed_ns = self._runtime.wall_ns()
            block = await self._runtime.offload(lambda: follower.next_block(now, observed_ns))
            for place in follower.take_left():
                self._known.remember(file.found.path, place)
            self._bound_handles(file)
            if block is None:
                return False
            await self._keep(block, file.key)
        follower.advance(block)
        self._counters.count(block.part)
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

    def _bound_handles(self, file: _Followed) -> None:
        """Close the files that were quiet the longest; they are opened again when they change."""
        self._open.pop(file.found.path, None)
        self._open[file.found.path] = file.follower
        while len(self._open) > self._limits.handles_max:
            quiet = next(iter(self._open))
            self._open.pop(quiet).rest()

    def _renamed(self, path: Path, was: Path, place: Place) -> Block:
        text = f"{path} is what {was} was: it is read on from byte {place.offset}"
        names = {"log.file.path": str(path), "log.file.path.before": str(was)}
        event = Event(self._runtime.wall_ns(), "tail.renamed", "info", text, names)
        return Block(event_part(self._resource_of(path), SCOPE, [event]), place)

    def _tell_beyond(self, beyond: int) -> None:
        self._counters.beyond.set(beyond)
        if beyond > 0 and not self._has_told:
            self._has_told = True
            log.warning(
                "%d files are not followed: the rules find more than %d, and the newest come first",
                beyond,
                self._limits.files_max,
            )

    def _resource_of(self, path: Path) -> dict[str, str]:
        return {"log.file.path": str(path), "log.file.name": path.name, **self._resource}


def _rule_of(rule: Path | TailRule) -> TailRule:
    return rule if isinstance(rule, TailRule) else TailRule(str(rule))


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
