"""A peer that can be honest or lie, and a hub's pulling and sweeping of it, in virtual time."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import orjson

from hub import vectors
from hub.peers import Peer, Peers
from hub.pulling import Puller
from hub.questions import Questions
from hub.replicate import LogKey
from hub.standing import Standing
from hub.store.chunks import ChunkStore
from hub.store.hub_table import StoredPeer
from hub.sweep import Sweeper
from shared.envelope import write_batch
from shared.errors import Unreachable
from shared.http import Reply
from shared.ranges import NOTHING, Ranges, from_wire, of_seqs
from shared.receipt import ChunkOutcome, Outcome
from shared.records import Chunk
from shared.runtime import HttpClient, Runtime
from tests.law.drawing import chunk_of
from tests.sim.loop import VirtualLoop

KEY: LogKey = ("edge-1", "e1")
NOW_MS = 1_700_000_000_000


class Shelf:
    """As much of a chunk store as pulling needs; `beside` are numbers that no log here can hold."""

    def __init__(self) -> None:
        self.held: dict[LogKey, Ranges] = {}
        self.dropped: dict[LogKey, Ranges] = {}
        self.beside = NOTHING
        self.kept: list[Chunk] = []
        self.received_ms: list[int] = []
        self.ledger = SimpleNamespace(peers={})
        self.waiting = 0
        self.commit_seconds = 0.01
        self.error: Exception | None = None

    def have(self, key: LogKey) -> Ranges:
        return self.held.get(key, NOTHING) | self.dropped.get(key, NOTHING)

    async def differing(self, announced: object) -> dict[LogKey, Ranges]:
        return {}

    async def keep(
        self, chunks: Sequence[Chunk], peer: str, received_ms: Sequence[int]
    ) -> tuple[ChunkOutcome, ...]:
        await asyncio.sleep(self.commit_seconds)
        if self.error is not None:
            raise self.error
        self.received_ms.extend(received_ms)
        return tuple(self._keep(chunk) for chunk in chunks)

    def _keep(self, chunk: Chunk) -> ChunkOutcome:
        key, seq = (chunk.header.origin, chunk.header.epoch), chunk.header.seq
        if seq in self.beside:
            return ChunkOutcome(seq, Outcome.REJECTED, "cloned_origin")
        if seq in self.have(key):
            return ChunkOutcome(seq, Outcome.DUPLICATE)
        self.held[key] = self.held.get(key, NOTHING).add(seq, seq)
        self.kept.append(chunk)
        return ChunkOutcome(seq, Outcome.ACCEPTED)


@dataclass
class FarHub:
    """A sound peer. Tests replace one of its answers by a lie; `asked` counts its questions."""

    arrivals: list[Chunk] = field(default_factory=list)
    gone: Ranges = NOTHING
    store_epoch: str = "life 1"
    page_chunks: int = 3
    received_ms: int = NOW_MS - 40
    hidden: set[int] = field(default_factory=set)
    asked: Counter[str] = field(default_factory=Counter)
    questions: list[dict[str, Any]] = field(default_factory=list)
    lies: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    """By path: what becomes of a sound answer; raising is an answer, too."""

    def hold(self, *seqs: int, **changes: object) -> None:
        """Take in these numbers of the log."""
        self.arrivals.extend(chunk_of(seq, b"body %d" % seq, **changes) for seq in seqs)

    async def post(
        self, peer: Peer, path: str, body: bytes, seconds: float, *, reply_bytes_max: int
    ) -> Reply:
        """What the network brings to this peer, and its answer."""
        self.asked[path] += 1
        question = orjson.loads(body)
        self.questions.append({"path": path, **question})
        await asyncio.sleep(0.001)
        answers = {
            "/peer/have": self.have,
            "/peer/chunks": self.chunks,
            "/peer/vector": self.vector,
        }
        answer = await answers[path](question)
        said = self.lies.get(path, lambda sound: sound)(answer)
        assert seconds > 0
        assert reply_bytes_max > 0
        return Reply(200, {}, said if isinstance(said, bytes) else orjson.dumps(said))

    async def have(self, question: dict[str, Any]) -> Any:
        same = question["store_epoch"] == self.store_epoch
        since = question["since"] if same and question["since"] <= len(self.arrivals) else 0
        if same and since == len(self.arrivals):
            await self._news(since, question["wait_seconds"])
        listed = [c for c in self.arrivals[since:] if c.header.seq not in self.hidden]
        return {
            "store_epoch": self.store_epoch,
            "through": len(self.arrivals),
            "head": len(self.arrivals),
            "have": [[*key, ranges.to_wire()] for key, ranges in vector_of(listed).items()],
            "proofs": [[*KEY, [[chunk.header.seq, chunk.hash.hex()] for chunk in listed]]],
        }

    async def _news(self, since: int, seconds: float) -> None:
        deadline = asyncio.get_running_loop().time() + seconds
        while len(self.arrivals) <= since and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.1)

    async def chunks(self, question: dict[str, Any]) -> Any:
        wanted = {(item[0], item[1]): from_wire(item[2]) for item in question["wanted"]}
        found = [
            chunk
            for chunk in self.arrivals
            if chunk.header.seq in wanted.get((chunk.header.origin, chunk.header.epoch), NOTHING)
            and chunk.header.seq not in self.gone
        ][: self.page_chunks]
        return write_batch(found, [self.received_ms] * len(found)) if found else b""

    async def vector(self, question: dict[str, Any]) -> Any:
        asked = vectors.read_question(question)
        return vectors.answer(vector_of(self.arrivals), asked, len(self.arrivals))


def vector_of(chunks: Sequence[Chunk]) -> dict[LogKey, Ranges]:
    """What these chunks are, by log."""
    seqs: dict[LogKey, list[int]] = {}
    for chunk in chunks:
        seqs.setdefault((chunk.header.origin, chunk.header.epoch), []).append(chunk.header.seq)
    return {key: of_seqs(numbers) for key, numbers in seqs.items()}


@dataclass
class Stage:
    """A hub with its peers; `far` is the first of them."""

    fars: Mapping[str, FarHub]
    shelf: Shelf = field(default_factory=Shelf)
    saved: list[StoredPeer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.peers = Peers("hub-1", "http://hub-1")
        self.peers.learn([f"http://{name}" for name in self.fars], configured=True)
        for name in self.fars:
            self.peer(name).hub_id = name
        runtime = Runtime(
            wall_ns=lambda: NOW_MS * 1_000_000,
            rng=Random(7),
            http=lambda: cast("HttpClient", None),
            dial=_dial,
            threads=False,
        )
        store = cast("ChunkStore", self.shelf)
        questions = Questions(self.peers, self._post)
        self.puller = Puller(self.peers, store, runtime, questions, self._save)
        self.repairs: list[tuple[str, int]] = []
        self.sweeper = Sweeper(
            self.peers, store, runtime, self.puller, lambda *told: self.repairs.append(told)
        )

    def peer(self, name: str = "hub-2") -> Peer:
        return self.peers.by_url[f"http://{name}"]

    def standing(self, name: str = "hub-2") -> Standing:
        return self.puller.standing(self.peer(name))

    @property
    def far(self) -> FarHub:
        return next(iter(self.fars.values()))

    async def _post(self, peer: Peer, *args: Any, **bounds: Any) -> Reply:
        return await self.fars[peer.hub_id].post(peer, *args, **bounds)

    async def _save(self, stored: StoredPeer) -> None:
        self.saved.append(stored)

    async def live(self, seconds: float, *, sweeping: bool = False) -> None:
        """Pull, and sweep if wanted, from all peers for so long."""
        steps = [self.puller.pull_from(peer) for peer in self.peers.by_url.values()]
        if sweeping:
            steps += [self.sweeper.sweep_from(peer) for peer in self.peers.by_url.values()]
        tasks = [asyncio.create_task(step) for step in steps]
        await asyncio.sleep(seconds)
        ended = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert not ended, f"a loop ended: {ended}"


async def _dial(url: str, headers: dict[str, str]) -> Any:
    raise Unreachable(url, "not in this test", sent=False)


def stage(**fars: FarHub) -> Stage:
    """A hub with one sound peer, or with those that are given (`hub_2` is called hub-2)."""
    named = {name.replace("_", "-"): far for name, far in fars.items()}
    return Stage(named or {"hub-2": FarHub()})


def in_virtual_time(work: Coroutine[Any, Any, None]) -> None:
    """Run a test's story; waiting costs nothing."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(work)
