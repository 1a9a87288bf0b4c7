"""What must be true of a buffer that is opened after a power cut: the laws, each in words and code."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random

from edge.books import Tally
from edge.buffer import Buffer, BufferLimits
from shared.codec import decompress
from shared.ranges import of_seqs
from shared.records import GENESIS_HASH, Checkpoint, Chunk, Signal
from shared.sums import Sum
from tests.crash.buffer_story import Step, Story
from tests.crash.buffer_view import Key, View, opened, part_of, running, view_of
from tests.crash.replay import Check, Crash


@dataclass(frozen=True)
class Case:
    """What was found, and what may be expected."""

    story: Story
    step: Step
    found: View

    @cached_property
    def raw_bodies(self) -> list[bytes]:
        """The found bodies, decompressed."""
        return [decompress(chunk.body) for chunk in self.found.log.values()]


def between_deeds_nothing_changes(case: Case) -> None:
    """A power cut while nothing is under way is not noticed at all."""
    if case.step.before == case.step.after:
        assert case.found == case.step.after, _differences(case.step.after, case.found)


def _differences(expected: View, found: View) -> str:
    names = ("epoch", "head_seq", "head_hash", "letters", "checkpoints", "tallies")
    differs = [
        f"{name}: expected {getattr(expected, name)}, found {getattr(found, name)}"
        for name in names
        if getattr(expected, name) != getattr(found, name)
    ]
    missing, surplus = (
        expected.log.keys() - found.log.keys(),
        found.log.keys() - expected.log.keys(),
    )
    return "\n".join([*differs, f"missing: {sorted(missing)}, surplus: {sorted(surplus)}"])


def nothing_acknowledged_is_lost(case: Case) -> None:
    """What was there before the deed and is meant to be there after it is there: every body."""
    meant = _bodies(case, case.step.before) & _bodies(case, case.step.after)
    lost = meant - _bodies(case, case.found)
    assert not lost, f"lost: {[_keys_of(case.story, body) for body in lost]}"


def _bodies(case: Case, view: View) -> set[bytes]:
    letters = (case.story.chunks[key].body for key in view.letters)
    return {chunk.body for chunk in view.log.values()} | set(letters)


def _keys_of(story: Story, body: bytes) -> list[Key]:
    return [key for key, chunk in story.chunks.items() if chunk.body == body]


def everything_is_in_its_place(case: Case) -> None:
    """In the log or a dead letter, as before or as after the deed, and never in both."""
    before, after, found = case.step.before, case.step.after, case.found
    assert not found.log.keys() & found.letters, "in the log and a dead letter"
    if found.epoch == after.epoch:
        assert before.log.keys() & after.log.keys() <= found.log.keys(), "missing in the log"
    assert before.letters & after.letters <= found.letters <= before.letters | after.letters


def chunks_are_as_they_were_written(case: Case) -> None:
    """A number stands for the same bytes for ever; only a deed under way may add to them."""
    known = case.story.chunks
    for key, chunk in case.found.log.items():
        if key in case.step.before.log:
            assert chunk == known[key], f"{key} has other bytes than before"
        elif chunk != known.get(key):
            assert _may_be_new(case, chunk), f"{key} came from nowhere"


def _may_be_new(case: Case, chunk: Chunk) -> bool:
    """Written and given up again within one deed, or written again under a new epoch; or said of a
    first file that was begun and never finished, which looks like one that was lost."""
    if case.step.before.epoch is None:
        return chunk.header.signal == Signal.EVENTS
    raw = decompress(chunk.body)
    offered = any(offer.part.body in raw for offer in case.step.offers)
    shed = bool(chunk.header.gaps) and case.step.name.startswith("append")
    again = chunk.body in _bodies(case, case.step.before) or chunk.header.predecessor is not None
    return offered or shed or (again and case.step.name == "new epoch")


def released_chunks_stay_away(case: Case) -> None:
    """What was handed to the hubs before the deed does not come back."""
    gone = (case.story.chunks.keys() - case.step.before.log.keys()) - case.step.after.log.keys()
    assert not gone & case.found.log.keys()


def numbers_have_no_holes(case: Case) -> None:
    """Each number up to the head is here, on hubs, or declared."""
    found = case.found
    assert found.epoch is not None
    declared = case.story.declared(found.epoch, found.head_seq) | _declared_in(found.log.values())
    for seq in range(1, found.head_seq + 1):
        key = (found.epoch, seq)
        held = key in found.log or key in found.letters
        assert held or key in case.story.released or seq in declared, f"{seq} is not explained"


def _declared_in(chunks: Iterable[Chunk]) -> set[int]:
    gaps = [gap for chunk in chunks for gap in chunk.header.gaps]
    return {seq for gap in gaps for first, last in gap.ranges for seq in range(first, last + 1)}


def the_head_does_not_go_back(case: Case) -> None:
    """A number is never given to two chunks, one of which a hub may have."""
    before, after, found = case.step.before, case.step.after, case.found
    if before.epoch is not None:
        assert found.epoch in (before.epoch, after.epoch)
    if found.epoch == before.epoch:
        assert found.head_seq >= before.head_seq
    if found.epoch == after.epoch and case.step.name != "new epoch":
        assert found.head_seq <= max(before.head_seq, after.head_seq) or case.step.offers


def the_chain_of_hashes_holds(case: Case) -> None:
    """Each chunk names the hash of the one before, and the head is that of the last."""
    known = {**case.story.chunks, **case.found.log}
    for (epoch, seq), chunk in case.found.log.items():
        before = known.get((epoch, seq - 1))
        if seq == 1:
            assert chunk.header.previous_hash == GENESIS_HASH
        elif before is not None:
            assert chunk.header.previous_hash == before.hash, f"the chain breaks at {seq}"
    last = known.get((case.found.epoch or "", case.found.head_seq))
    if last is not None:
        assert case.found.head_hash == last.hash


def a_new_epoch_names_the_one_before(case: Case) -> None:
    """The first chunk of a later life of the log says which life it follows."""
    before, found = case.step.before, case.found
    first = found.log.get((found.epoch or "", 1))
    if before.epoch not in (None, found.epoch):
        assert first is not None, f"nothing says that {found.epoch} follows {before.epoch}"
        assert first.header.predecessor is not None, "the first chunk names no predecessor"
        assert first.header.predecessor[0] == before.epoch
        assert first.header.predecessor[1] >= before.head_seq


def checkpoints_and_parts_go_together(case: Case) -> None:
    """A source is where it was, or where the newest part that is here leaves it."""
    for key, expected in case.step.before.checkpoints.items():
        for offer in case.step.offers:
            checkpoint = offer.checkpoint
            if checkpoint and checkpoint.key == key and _is_there(case, offer.part.body):
                expected = checkpoint.state
        assert case.found.checkpoints[key] == expected, f"{key} is not where its parts are"


def _is_there(case: Case, body: bytes) -> bool:
    return any(body in raw for raw in case.raw_bodies)


def the_books_balance(case: Case) -> None:
    """Produced is safe, shed, rejected, damaged or here; what is here is counted one by one."""
    held: dict[str, Sum] = {}
    for chunk in case.found.log.values():
        header = chunk.header
        one = Sum(1, header.records, header.stored_bytes)
        held[header.signal] = held.get(header.signal, Sum()) + one
    buffered = _buffered(case.found.tallies)
    assert buffered == held, f"the books say {buffered}, the log holds {held}"


def _buffered(tallies: Mapping[str, Tally]) -> dict[str, Sum]:
    return {name: tally.buffered for name, tally in tallies.items() if tally.buffered != Sum()}


LAWS: tuple[Callable[[Case], None], ...] = (
    between_deeds_nothing_changes,
    a_new_epoch_names_the_one_before,
    nothing_acknowledged_is_lost,
    everything_is_in_its_place,
    chunks_are_as_they_were_written,
    released_chunks_stay_away,
    numbers_have_no_holes,
    the_head_does_not_go_back,
    the_chain_of_hashes_holds,
    checkpoints_and_parts_go_together,
    the_books_balance,
)


async def look(folder: Path, limits: BufferLimits, story: Story, length: int) -> View:
    """Open what is left, hold it against all laws, and see that it goes on."""
    async with opened(folder, limits) as buffer:
        found = await view_of(buffer)
        case = Case(story, story.at(length), found)
        for law in LAWS:
            try:
                law(case)
            except AssertionError as error:
                raise AssertionError(
                    f"during {case.step.name!r}: {law.__name__}: {error}"
                ) from error
        await _goes_on(buffer, found)
        return await view_of(buffer)


async def _goes_on(buffer: Buffer, found: View) -> None:
    """The next chunk continues numbers and chain, and its checkpoint is kept."""
    async with running(buffer):
        await buffer.release(buffer.seqs)  # Room, whatever the limits are.
        part = part_of(Random(1), Signal.LOGS)
        await buffer.append(part, Checkpoint("tail:a", b"went on"))
    (chunk,) = await buffer.read(of_seqs([found.head_seq + 1]), 1, 1)
    assert (chunk.header.epoch, chunk.header.previous_hash) == (found.epoch, found.head_hash)
    assert decompress(chunk.body) == part.body
    assert await buffer.checkpoint("tail:a") == b"went on"


def laws_hold(story: Story, limits: BufferLimits) -> Check:
    """Check one power cut; some are opened a second time, which must find the same."""
    turn = iter(range(10**9))

    async def check(folder: Path, crash: Crash) -> None:
        left = await look(folder, limits, story, crash.length)
        if next(turn) % 8 == 0:
            async with opened(folder, limits) as buffer:
                assert await view_of(buffer) == left, "opened again, it is not the same"

    return check
