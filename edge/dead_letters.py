"""What hubs refuse for good: dead letters are put aside, put back into the log, or given up."""

import asyncio
from dataclasses import dataclass

from edge import books as accounts
from edge.letters import DeadLetter, Letters
from edge.log_store import LogStore
from edge.statements import finding_statement, gap_statement
from edge.transfers import declare, put_back
from shared.errors import Unavailable
from shared.ranges import Ranges, of_seqs
from shared.receive.gather import Packed
from shared.records import Chunk
from shared.runtime import Runtime
from shared.sqlite import is_disk_full
from shared.sums import Sum


@dataclass(slots=True)
class DeadLetters:
    """The dead letters of one log. Its books change by `turn`, in which a letter is put aside too."""

    store: LogStore
    letters: Letters
    origin: str
    runtime: Runtime
    turn: asyncio.Lock
    count: int = 0

    async def put_aside(self, chunk: Chunk, reason: str) -> None:
        """Keep a chunk as a letter; the caller takes it out of the log. Raises Unavailable."""
        refused_ms = self.runtime.wall_ms()
        try:
            await self.letters.add(chunk, reason, refused_ms)
        except Unavailable as error:
            if not is_disk_full(error.__cause__ or error):
                raise
            self.store.use_reserve()
            await self.letters.add(chunk, reason, refused_ms)

    async def settle(self) -> None:
        """After a crash between two steps, a chunk may be a letter and in the log: the log counts."""
        letters = await self.letters.all()
        epoch, seqs = self.store.books.epoch, self.store.seqs
        both = of_seqs(each.seq for each in letters if each.epoch == epoch and each.seq in seqs)
        if both:
            await self.letters.remove(epoch, both)
        self.count = len(letters) - both.count

    async def newest(self, seq: int) -> Chunk | None:
        """The newest dead letter with this number; a number may come again in a new life."""
        found = [each for each in await self.letters.all() if each.seq == seq]
        return await self.letters.chunk(found[-1].epoch, seq) if found else None

    async def retry(self, seqs: Ranges | None) -> int:
        """Put dead letters back into the log; returns how many."""
        async with self.turn:
            chosen = await self._chosen(seqs)
            for letter in chosen:
                chunk = await self.letters.chunk(letter.epoch, letter.seq)
                if chunk is not None:
                    await self.store.change(put_back(self.origin, chunk))
                await self._forget(letter)
            return len(chosen)

    async def discard(self, seqs: Ranges | None) -> int:
        """Give dead letters up, and declare it; returns how many."""
        async with self.turn:
            chosen = await self._chosen(seqs)
            for letter in chosen:
                await self.store.change(declare(self.origin, self._discarded(letter)))
                await self._forget(letter)
            return len(chosen)

    async def _chosen(self, seqs: Ranges | None) -> list[DeadLetter]:
        return [each for each in await self.letters.all() if seqs is None or each.seq in seqs]

    def _discarded(self, letter: DeadLetter) -> Packed:
        now_ns = self.runtime.wall_ns()
        if letter.epoch != self.store.books.epoch:
            text = f"dead letter {letter.seq} of {letter.epoch} was discarded: {letter.reason}"
            return finding_statement(self.origin, text, now_ns)
        lost = Sum(1, letter.records, letter.stored_bytes)
        gone = Ranges(((letter.seq, letter.seq),))
        times = (letter.refused_ms, letter.refused_ms)
        gap = accounts.gap_of(letter.signal, "discarded", gone, lost, times)
        return gap_statement(self.origin, [gap], now_ns)

    async def _forget(self, letter: DeadLetter) -> None:
        await self.letters.remove(letter.epoch, Ranges(((letter.seq, letter.seq),)))
        self.count -= 1
