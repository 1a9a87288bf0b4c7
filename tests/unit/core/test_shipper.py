"""The shipper: same bytes on every attempt, the next hub at once, and nothing lost when hubs refuse."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest

from edge.buffer import Buffer, BufferLimits
from edge.hubs import Hubs
from edge.lineage import Claim
from edge.push import Next, halves, judge_status
from edge.shipper import Shipper
from shared.backoff import Backoff
from shared.codec import decompress
from shared.envelope import read_batch
from shared.errors import Unreachable
from shared.http import Reply
from shared.otlp_make import Event, event_part
from shared.ranges import Ranges, of_seqs
from shared.receipt import ChunkOutcome, Outcome, PushReply, Receipt, write_reply
from shared.records import Part
from shared.runtime import HttpReply, Runtime
from tests.unit.core.answering import Answering

POISON = b"user:2"  # Of the third record.
MakePart = Callable[[int], Part]
Answer = Callable[[bytes], Reply]


class Network(Answering):
    """Two hubs that answer as the test says; remembers what was sent to whom."""

    def __init__(self, **answers: Answer) -> None:
        self.answers = answers
        self.sent: list[tuple[str, bytes]] = []

    def answer(self, url: str, body: bytes) -> HttpReply:
        hub = url.removeprefix("http://").partition("/")[0]
        self.sent.append((hub, body))
        return self.answers[hub](body)


class Keeper:
    """A hub that keeps everything, but for the chunks it refuses, and proves what it has."""

    def __init__(self, refused: frozenset[int] = frozenset(), reason: str = "") -> None:
        self.refused, self.reason = refused, reason
        self.hashes: defaultdict[str, dict[int, bytes]] = defaultdict(dict)

    def __call__(self, body: bytes) -> Reply:
        chunks = read_batch(body).chunks
        header = chunks[0].header
        hashes = self.hashes[header.epoch]
        outcomes = tuple(self._judge(chunk.header.seq) for chunk in chunks)
        taken = {each.seq for each in outcomes if each.held}
        hashes.update((each.header.seq, each.hash) for each in chunks if each.header.seq in taken)
        have = of_seqs(hashes)
        receipt = Receipt("name", header.origin, header.epoch, outcomes)
        proofs = [(last, hashes[last].hex()) for _, last in have.spans]
        reply = PushReply("hub", receipt, have.to_wire(), have.to_wire(), proofs)
        return Reply(200, {}, write_reply(reply))

    def _judge(self, seq: int) -> ChunkOutcome:
        if seq in self.refused:
            return ChunkOutcome(seq, Outcome.REJECTED, self.reason)
        return ChunkOutcome(seq, Outcome.ACCEPTED)


def span(first: int, last: int) -> Ranges:
    return Ranges(((first, last),))


def dead(body: bytes) -> Reply:
    raise Unreachable("the hub", "connection refused", sent=False)


def status(number: int) -> Answer:
    return lambda body: Reply(number, {}, b"no")


def records_in(network: Network, epoch: str) -> int:
    """How many log records of an epoch have been sent, each chunk counted once."""
    chunks = [chunk for _, body in network.sent for chunk in read_batch(body).chunks]
    headers = {chunk.header.seq: chunk.header for chunk in chunks if chunk.header.epoch == epoch}
    return sum(header.records for header in headers.values() if header.signal == "logs")


@asynccontextmanager
async def shipping(
    folder: Path, runtime: Runtime, network: Network
) -> AsyncIterator[tuple[Buffer, Shipper]]:
    buffer = await Buffer.open(folder, "edge-1", runtime, BufferLimits())
    hubs = Hubs("edge-1")
    hubs.learn(f"http://{name}" for name in network.answers)
    backoff = Backoff(seconds_initial=0.001, seconds_max=0.01)
    shipper = Shipper(buffer, hubs, network, runtime, {}, backoff=backoff)
    loops = [buffer.run(), shipper.run(), shipper.sweep()]
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        yield buffer, shipper
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        buffer.close()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.005)


async def test_what_hubs_call_safe_leaves_the_buffer(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    async with shipping(tmp_path, runtime, Network(a=Keeper())) as (buffer, _):
        await buffer.append(log_part(10))
        await until(lambda: not buffer.seqs)
        assert buffer.totals.all.safe.records == 10


async def test_retries_carry_the_same_bytes_even_to_another_hub(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    network = Network(a=dead, b=dead)
    async with shipping(tmp_path, runtime, network) as (buffer, _):
        await buffer.append(log_part(10))
        await until(lambda: len(network.sent) >= 6)
        await buffer.append(log_part(5))
        await until(lambda: len(network.sent) >= 12)
        assert len({body for _, body in network.sent}) == 1
        assert {hub for hub, _ in network.sent} == {"a", "b"}
        network.answers.update(a=Keeper(), b=Keeper())
        await until(lambda: not buffer.seqs)


async def test_a_dead_hub_is_followed_by_the_next_without_waiting(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    first = Hubs("edge-1")
    first.learn(["http://a", "http://b"])
    dying = first.order(0.0)[0].url.removeprefix("http://")
    other = "b" if dying == "a" else "a"
    answers: dict[str, Answer] = {dying: dead, other: Keeper()}
    network = Network(**answers)
    async with shipping(tmp_path, runtime, network) as (buffer, shipper):
        await buffer.append(log_part(1))
        await until(lambda: not buffer.seqs)
        assert [hub for hub, _ in network.sent] == [dying, other]
        assert shipper.last_error == ""


async def test_a_poison_chunk_is_found_and_the_rest_is_delivered(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    """A hub that answers 400 for every batch with chunk 3 in it costs exactly chunk 3."""

    def picky(body: bytes) -> Reply:
        seqs = [chunk.header.seq for chunk in read_batch(body).chunks]
        return Reply(400, {}, b"poison") if 3 in seqs else keeper(body)

    keeper = Keeper()
    network = Network(a=dead)
    async with shipping(tmp_path, runtime, network) as (buffer, _):
        for _ in range(7):
            await buffer.append(log_part(1))
        network.answers["a"] = picky
        await until(lambda: not buffer.seqs)
        tally = buffer.totals.all  # The declaration of the dead letter is safe as well.
        assert (tally.rejected.chunks, tally.safe.chunks) == (1, 7)


async def test_a_poison_record_is_found_and_the_rest_of_its_chunk_is_delivered(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    """A hub that cannot take one of nine records costs exactly that record."""

    def picky(body: bytes) -> Reply:
        bodies = [decompress(chunk.body) for chunk in read_batch(body).chunks]
        return Reply(422, {}, b"poison") if any(POISON in each for each in bodies) else keeper(body)

    keeper, network = Keeper(), Network(a=dead)
    async with shipping(tmp_path, runtime, network) as (buffer, shipper):
        await buffer.append(log_part(9))
        network.answers["a"] = picky
        shipper.hurry()
        await until(lambda: not buffer.seqs)
        letters = await buffer.dead_letters()
        assert [(letter.records, letter.reason) for letter in letters] == [(1, "HTTP 422: poison")]


async def test_a_clone_begins_a_new_life_and_everything_arrives_in_it(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    """A hub that holds another log of this name is told of a new one, which names the old one."""
    network = Network(a=Keeper(frozenset({1, 2, 3}), "cloned_origin: another log"))
    async with shipping(tmp_path, runtime, network) as (buffer, shipper):
        first = buffer.epoch
        for _ in range(3):
            await buffer.append(log_part(2))
        await until(lambda: buffer.epoch != first)
        network.answers["a"] = Keeper()
        shipper.hurry()
        await until(lambda: records_in(network, buffer.epoch) >= 6)
    chunks = [chunk for _, body in network.sent for chunk in read_batch(body).chunks]
    # The hub may have refused the new life as well, before it was exchanged for one that does not.
    begun = [chunk.header for chunk in chunks if chunk.header.seq == 1]
    assert (first, 3) in {header.predecessor for header in begun if header.epoch != first}


async def test_a_hub_that_proves_nothing_is_not_believed(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    """What it claims beyond the answers to our pushes stays in the buffer, even if it says "safe"."""
    network = Network(a=status(503))
    async with shipping(tmp_path, runtime, network) as (buffer, shipper):
        for _ in range(3):
            await buffer.append(log_part(1))
        (view,) = shipper.hubs.views.values()
        claim = Claim(buffer.epoch, 0.0, span(1, 3), span(1, 3))
        await shipper.weigh(view, claim)
        assert (view.have, view.safe) == (Ranges(), Ranges())
        digest = await buffer.hash_of(3)
        assert digest is not None
        await shipper.weigh(view, replace(claim, proofs=((3, digest),)))
        assert (view.have, view.safe) == (span(1, 3), span(1, 3))
        await until(lambda: not buffer.seqs)


async def test_retry_after_is_read_as_a_date_too(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    moment = format_datetime(datetime.fromtimestamp(time.time() + 600, UTC), usegmt=True)
    network = Network(a=lambda body: Reply(503, {"retry-after": moment}, b"busy"))
    async with shipping(tmp_path, runtime, network) as (buffer, shipper):
        await buffer.append(log_part(1))
        await until(lambda: shipper.last_error != "")
        (view,) = shipper.hubs.views.values()
        now = asyncio.get_running_loop().time()
        assert 500 < view.circuit.ready_at - now < 610


async def test_alerts_are_pushed_alone_and_first(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    network = Network(a=dead)
    async with shipping(tmp_path, runtime, network) as (buffer, shipper):
        for _ in range(5):
            await buffer.append(log_part(1))
        await buffer.append(event_part({}, "test", [Event(1, "fire", "error", "it burns")]))
        await until(lambda: len(network.sent) >= 1)
        network.sent.clear()
        network.answers["a"] = Keeper()
        shipper.hurry()
        await until(lambda: not buffer.seqs)
    pushed = [
        [chunk.header.signal for chunk in read_batch(body).chunks] for _, body in network.sent
    ]
    assert ["events"] in pushed
    assert all(len(set(signals)) == 1 for signals in pushed)


async def test_an_answer_that_is_no_receipt_keeps_the_data(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    network = Network(a=lambda body: Reply(200, {}, b"<html>welcome</html>"))
    async with shipping(tmp_path, runtime, network) as (buffer, shipper):
        await buffer.append(log_part(1))
        await until(lambda: len(network.sent) >= 3)
        assert buffer.seqs.count == 1
        assert "receipt" in shipper.last_error


async def test_a_chunk_that_a_receipt_rejects_becomes_a_dead_letter(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    network = Network(a=Keeper(frozenset({2}), "unknown_signal: songs"))
    async with shipping(tmp_path, runtime, network) as (buffer, _):
        for _ in range(3):
            await buffer.append(log_part(1))
        await until(lambda: not buffer.seqs)
        assert (buffer.state().dead_letters, buffer.totals.all.safe.chunks) == (1, 3)


@pytest.mark.parametrize("number", [401, 403, 404, 500, 503])
async def test_refusals_that_say_nothing_about_the_data_keep_it(
    tmp_path: Path, runtime: Runtime, log_part: MakePart, number: int
) -> None:
    network = Network(a=status(number))
    async with shipping(tmp_path, runtime, network) as (buffer, shipper):
        await buffer.append(log_part(1))
        await until(lambda: len(network.sent) >= 4)
        assert buffer.seqs.count == 1
        assert str(number) in shipper.last_error


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (200, Next.DONE),
        (400, Next.SPLIT),
        (401, Next.DENIED),
        (403, Next.DENIED),
        (404, Next.DENIED),
        (413, Next.SPLIT),
        (429, Next.WAIT),
        (422, Next.SPLIT),
        (500, Next.BACK_OFF),
        (502, Next.BACK_OFF),
        (503, Next.WAIT),
    ],
)
def test_each_status_has_one_meaning(number: int, expected: Next) -> None:
    assert judge_status(number, {}, b"", 0.0).next is expected


def test_a_hub_that_asks_for_time_gets_it() -> None:
    verdict = judge_status(503, {"retry-after": "17"}, b"", 0.0)
    assert verdict.retry_after_seconds == 17


@pytest.mark.parametrize("count", range(2, 50))
def test_halves_are_never_empty_and_lose_nothing(count: int) -> None:
    first, second = halves(count)
    assert first + second == count
    assert min(first, second) >= 1
