"""A life of a buffer, recorded: deeds drawn by a seed, and what was true before and after each."""

import asyncio
from bisect import bisect_right
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from edge.buffer import Buffer, BufferLimits
from shared.codec import decompress
from shared.errors import BufferFull
from shared.ranges import of_seqs
from shared.records import Checkpoint, Chunk, Encoding, Part, Signal
from tests.crash.buffer_view import (
    CHECKPOINT_KEYS,
    NOTHING_YET,
    ORIGIN,
    Key,
    View,
    part_of,
    runtime_of,
    settle,
    view_of,
)
from tests.crash.record import recording
from tests.crash.trace import Trace


@dataclass(frozen=True, slots=True)
class Offer:
    """A part that was handed in with a checkpoint."""

    part: Part
    checkpoint: Checkpoint | None


@dataclass(frozen=True, slots=True)
class Step:
    """One deed: begun and done when the trace was this long."""

    name: str
    begun: int
    done: int
    before: View
    after: View
    offers: tuple[Offer, ...] = ()


@dataclass(slots=True)
class Story:
    """What was done, in order, and every chunk that was ever seen."""

    trace: Trace
    steps: list[Step] = field(default_factory=list)
    chunks: dict[Key, Chunk] = field(default_factory=dict)
    released: set[Key] = field(default_factory=set)
    epochs: list[str] = field(default_factory=list)

    @property
    def now(self) -> View:
        """As it is after the last deed."""
        return self.steps[-1].after if self.steps else NOTHING_YET

    def at(self, length: int) -> Step:
        """The deed that was under way when the trace was this long; or rest after the one before."""
        index = bisect_right([step.done for step in self.steps], length)
        rest = self.steps[index - 1].after if index else NOTHING_YET
        if index < len(self.steps) and self.steps[index].begun <= length:
            return self.steps[index]
        return Step("rest", length, length, rest, rest)

    def declared(self, epoch: str, head_seq: int) -> set[int]:
        """The numbers that chunks up to this one declare as lost."""
        headers = [chunk.header for chunk in self.chunks.values()]
        return {
            seq
            for header in headers
            if header.epoch == epoch and header.seq <= head_seq
            for gap in header.gaps
            for first, last in gap.ranges
            for seq in range(first, last + 1)
        }


class Teller:
    """Does the deeds. With the same seed and without threads they are always the same."""

    def __init__(
        self, folder: Path, limits: BufferLimits, story: Story, seed: int, synchronous: str
    ) -> None:
        self._folder = folder
        self._limits = limits
        self._story = story
        self._synchronous = synchronous
        self._rng = Random(seed)
        self._count = 0
        self._deeds: dict[str, tuple[int, Callable[[], Awaitable[None]]]] = {
            "append": (10, self._append),
            "append several": (5, self._append_several),
            "release": (4, self._release),
            "release all": (1, self._release_all),
            "bury": (3, self._bury),
            "split": (1, self._split),
            "retry": (1, self._retry),
            "discard": (2, self._discard),
            "reopen": (2, self._reopen),
            "new epoch": (1, self._new_epoch),
        }
        self._offers: list[Offer] = []
        self._buffer: Buffer
        self._task: asyncio.Task[None]

    async def tell(self, deeds: int, *, threads: bool) -> None:
        """The whole life, from an empty folder to the last close."""
        self._runtime = runtime_of(self._rng.randrange(2**32), threads=threads)
        await self._do("open", self._open)
        try:
            weights = [weight for weight, _ in self._deeds.values()]
            for name in self._rng.choices(list(self._deeds), weights, k=deeds):
                await self._do(name, self._deeds[name][1])
        except BaseException:
            await self._close()
            raise
        await self._do("close", self._close, is_last=True)

    async def _do(
        self, name: str, deed: Callable[[], Awaitable[None]], *, is_last: bool = False
    ) -> None:
        story, self._offers = self._story, []
        before, begun = story.now, len(story.trace)
        await deed()
        done = story.trace.mark()
        if is_last:
            after = before
        else:
            await settle()
            after = await view_of(self._buffer)
        self._note(before, after)
        story.steps.append(Step(name, begun, done, before, after, tuple(self._offers)))

    def _note(self, before: View, after: View) -> None:
        self._story.chunks.update(after.log)
        if after.epoch and after.epoch not in self._story.epochs:
            self._story.epochs.append(after.epoch)
        gone = before.log.keys() - after.log.keys()
        assert gone <= self._story.chunks.keys()

    async def _open(self) -> None:
        self._buffer = await Buffer.open(
            self._folder, ORIGIN, self._runtime, self._limits, self._synchronous
        )
        self._task = asyncio.create_task(self._buffer.run())

    async def _close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._buffer.close()

    async def _reopen(self) -> None:
        await self._close()
        await self._open()

    def _next_offer(self) -> Offer:
        self._count += 1
        checkpoint = None
        if self._rng.random() < 0.6:
            key = self._rng.choice(CHECKPOINT_KEYS)
            checkpoint = Checkpoint(key, f"{key} {self._count}".encode())
        return Offer(part_of(self._rng), checkpoint)

    async def _offer(self, offer: Offer) -> None:
        try:
            await self._buffer.append(offer.part, offer.checkpoint)
        except BufferFull:
            return
        self._offers.append(offer)

    async def _append(self) -> None:
        await self._offer(self._next_offer())

    async def _append_several(self) -> None:
        offers = [self._next_offer() for _ in range(self._rng.randint(2, 6))]
        await asyncio.gather(*(self._offer(offer) for offer in offers))
        self._offers.sort(key=offers.index)

    def _some(self, share: float) -> list[int]:
        return [seq for seq in self._buffer.seqs if self._rng.random() < share]

    async def _release(self) -> None:
        oldest = list(self._buffer.seqs)[: self._rng.randint(0, self._buffer.seqs.count // 2)]
        await self._give_to_hubs(oldest if self._rng.random() < 0.5 else self._some(0.3))

    async def _release_all(self) -> None:
        await self._give_to_hubs(list(self._buffer.seqs))

    async def _give_to_hubs(self, seqs: list[int]) -> None:
        self._story.released.update((self._buffer.epoch, seq) for seq in seqs)
        await self._buffer.release(of_seqs(seqs))

    async def _bury(self) -> None:
        seqs = list(self._buffer.seqs)
        for seq in self._rng.sample(seqs, min(2, len(seqs))):
            await self._buffer.bury(seq, "no hub wants it")

    async def _split(self) -> None:
        for (epoch, seq), chunk in self._story.now.log.items():
            if epoch == self._buffer.epoch and chunk.header.records > 1 and not chunk.header.gaps:
                await self._buffer.split(seq, _halves(chunk))
                return

    async def _retry(self) -> None:
        await self._buffer.retry_dead_letters()

    async def _discard(self) -> None:
        letters = [letter.seq for letter in await self._buffer.dead_letters()]
        await self._buffer.discard_dead_letters(of_seqs(letters[:1]))

    async def _new_epoch(self) -> None:
        keep = of_seqs(self._some(0.7))
        left = self._buffer.seqs - keep
        self._story.released.update((self._buffer.epoch, seq) for seq in left)
        await self._buffer.new_epoch("a hub has another chunk under this number", keep)


def _halves(chunk: Chunk) -> list[Part]:
    header, raw = chunk.header, decompress(chunk.body)
    middle, records = len(raw) // 2, header.records // 2
    encoding = Encoding(header.encoding)
    signal = Signal(header.signal)
    return [
        Part(signal, encoding, raw[:middle], records, 1, 2),
        Part(signal, encoding, raw[middle:], header.records - records, 1, 2),
    ]


async def tell(
    folder: Path,
    limits: BufferLimits,
    seed: int,
    deeds: int,
    *,
    synchronous: str = "FULL",
    threads: bool = False,
) -> Story:
    """Record a life of a buffer in a folder."""
    folder.mkdir(exist_ok=True)
    with recording(folder) as trace:
        story = Story(trace)
        await Teller(folder, limits, story, seed, synchronous).tell(deeds, threads=threads)
    return story
