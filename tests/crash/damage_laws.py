"""What must be true of a buffer that is opened on a damaged folder: bounded, declared, never a crash."""

import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from edge.buffer import FOLDER_NAME, Buffer, BufferLimits
from shared.codec import decompress
from shared.errors import Unavailable
from shared.ranges import of_seqs, of_spans
from shared.records import Checkpoint, Chunk, Signal
from tests.crash.buffer_laws import Case, the_books_balance
from tests.crash.buffer_story import Step, Story
from tests.crash.buffer_view import Key, View, opened, part_of, running, settle, view_of

ROUNDS_MAX = 12
"""Reading finds damage, declaring it takes a turn: a buffer comes to rest after a few of them."""

NUMBERS_MAX = 10_000
"""More than any life in these tests has."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A folder before it was damaged: what it held, and which of its files held which chunk."""

    story: Story
    view: View
    holders: dict[Key, set[str]]

    def untouched_by(self, name: str) -> set[Key]:
        """The chunks that no byte of this file has to do with."""
        return {key for key in self.view.log if not _touches(name, self.holders[key])}


def _touches(name: str, holders: set[str]) -> bool:
    database = name.removesuffix("-wal").removesuffix("-shm")
    return database in holders or name in holders


def holders_in(folder: Path, view: View) -> dict[Key, set[str]]:
    """Which files hold which chunk of the log: the one place that knows how the files look inside."""
    holders: dict[Key, set[str]] = {key: set() for key in view.log}
    hashes = {chunk.hash: key for key, chunk in view.log.items()}
    for path in sorted((folder / FOLDER_NAME).glob("*.segment")):
        connection = sqlite3.connect(path)
        for (digest,) in connection.execute("SELECT hash FROM chunk"):
            if digest in hashes:
                holders[hashes[digest]].add(str(path.relative_to(folder)))
        connection.close()
    assert all(holders.values()), "a chunk is in no file"
    return holders


@dataclass(frozen=True, slots=True)
class Found:
    """What came to light after the damage."""

    whole: Whole
    name: str
    view: View

    @property
    def bodies(self) -> set[bytes]:
        """The bodies that are served."""
        return {chunk.body for chunk in self.view.log.values()}

    @property
    def is_rolled_back(self) -> bool:
        """Whether the end of a write-ahead log is gone, which looks like the time before it was
        written. Hubs know better: a hash or a number of theirs makes the edge begin a new epoch."""
        return self.name.endswith("-wal") and self.view.head_seq < self.whole.view.head_seq

    @property
    def is_new_epoch(self) -> bool:
        """Whether the log began a new life."""
        return self.view.epoch != self.whole.view.epoch


def the_rest_is_served(found: Found) -> None:
    """Whatever other files hold is still there, byte for byte, under its number or written again."""
    for key in found.whole.untouched_by(found.name):
        chunk = found.whole.view.log[key]
        here = found.view.log.get(key)
        again = found.is_new_epoch and chunk.body in found.bodies
        assert again or (here is not None and here == chunk), f"{key} was in another file"


def no_number_stands_for_two_chunks(found: Found) -> None:
    """A hub may have any chunk that there ever was: its number is not given to another one."""
    known = found.whole.story.chunks
    for key, chunk in found.view.log.items():
        if key in known:
            assert chunk == known[key], f"{key} was given to another chunk"


def each_loss_is_declared(found: Found) -> None:
    """A number that is missing is in a declared gap, unless the log says that a new life began."""
    missing = found.whole.view.log.keys() - found.view.log.keys()
    if found.is_new_epoch:
        assert _says_so(found.view), "a new life of the log is not declared"
        return
    declared = _declared(found.view)
    if found.is_rolled_back:  # A beginning of the log, without holes.
        declared |= set(range(found.view.head_seq + 1, found.whole.view.head_seq + 1))
    undeclared = {key for key in missing if key[1] not in declared}
    assert not undeclared, f"missing and not declared: {sorted(undeclared)}"


def _says_so(view: View) -> bool:
    """A chunk that names the life before, or an event of damage where nothing is known of it."""
    return any(
        chunk.header.predecessor is not None or _is_event_of_damage(chunk)
        for chunk in view.log.values()
    )


def _is_event_of_damage(chunk: Chunk) -> bool:
    return chunk.header.signal == Signal.EVENTS and b"buffer.damaged" in decompress(chunk.body)


def _declared(view: View) -> set[int]:
    """The declared numbers that there may have been; a gap can reach far beyond, to be safe."""
    gaps = [
        gap
        for (epoch, _), chunk in view.log.items()
        if epoch == view.epoch
        for gap in chunk.header.gaps
    ]
    spans = of_spans(span for gap in gaps for span in gap.ranges)
    return set(spans & of_spans([(1, NUMBERS_MAX)]))


def dead_letters_stay_or_their_loss_is_told(found: Found) -> None:
    """They are in a file of their own: damage elsewhere at most puts them back into the log."""
    lost = found.whole.view.letters - found.view.letters - found.view.log.keys()
    if not lost or found.name.endswith("-wal"):  # The end of a write-ahead log: not written yet.
        return
    assert "dead-letters" in found.name, f"lost without a reason: {lost}"
    assert any(map(_is_event_of_damage, found.view.log.values())), f"lost in silence: {lost}"


def checkpoints_are_never_ahead(found: Found) -> None:
    """A source may be told to go back, and never to skip what was not kept."""
    offered = [
        offer.checkpoint
        for step in found.whole.story.steps
        for offer in step.offers
        if offer.checkpoint is not None
    ]
    for key, state in found.view.checkpoints.items():
        known = {each.state for each in offered if each.key == key} | {None}
        assert state in known, f"{key} was never at {state!r}"


def the_account_is_right(found: Found) -> None:
    """What is here is what the books say is here."""
    step = Step("damage", 0, 0, found.whole.view, found.view)
    the_books_balance(Case(found.whole.story, step, found.view))


LAWS = (
    no_number_stands_for_two_chunks,
    the_rest_is_served,
    each_loss_is_declared,
    dead_letters_stay_or_their_loss_is_told,
    checkpoints_are_never_ahead,
    the_account_is_right,
)


async def at_rest(buffer: Buffer) -> View:
    """Look until all can be read that is announced: what cannot be must be declared instead."""
    hindrance: object = None
    for _ in range(ROUNDS_MAX):
        try:
            view = await view_of(buffer)
            lacking = buffer.seqs - of_seqs(seq for _, seq in view.log)
            if not lacking:
                return view
            hindrance = lacking.spans
        except Unavailable as error:  # Allowed until the damage is declared, which takes a turn.
            hindrance = error
        await settle()
    raise AssertionError(f"announced for ever and never readable: {hindrance}")


async def look(folder: Path, limits: BufferLimits, whole: Whole, name: str) -> View:
    """Open a folder in which this file was damaged, and hold it against all laws."""
    async with opened(folder, limits, seed=99) as buffer, running(buffer):
        found = Found(whole, name, await at_rest(buffer))
        for law in LAWS:
            try:
                law(found)
            except AssertionError as error:
                raise AssertionError(f"{law.__name__}: {error}") from error
        await _goes_on(buffer, found)
        left = await at_rest(buffer)
    async with opened(folder, limits, seed=100) as buffer, running(buffer):
        assert (await at_rest(buffer)).log == left.log, "opened again, it is not the same"
    return left


async def _goes_on(buffer: Buffer, found: Found) -> None:
    """It takes in more under a fresh number, measures, and forgets what hubs have."""
    part = part_of(Random(1), Signal.LOGS)
    await buffer.append(part, Checkpoint("tail:a", b"went on"))
    await settle()
    view = await at_rest(buffer)
    fresh = [key for key in view.log if decompress(view.log[key].body) == part.body]
    assert len(fresh) == 1, "what was appended is not there"
    assert found.is_rolled_back or fresh[0] not in found.whole.story.chunks, "its number is taken"
    gone = of_seqs(list(buffer.seqs)[:2])
    await _patiently(lambda: buffer.measure(buffer.seqs))
    await _patiently(lambda: buffer.release(gone))
    assert not buffer.seqs & gone, "what hubs have is not forgotten"


async def _patiently(ask: Callable[[], Awaitable[object]]) -> None:
    """Whoever is told that a file cannot be read comes again, until the damage is declared."""
    for _ in range(ROUNDS_MAX):
        try:
            await ask()
            return
        except Unavailable as error:
            hindrance = error
            await settle()
    raise AssertionError(f"refused for ever: {hindrance}")
