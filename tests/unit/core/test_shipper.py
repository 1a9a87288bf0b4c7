"""The shipper: same bytes on every attempt, the next hub at once, and nothing lost when hubs refuse."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge.buffer import Buffer, BufferLimits
from edge.hubs import Hubs
from edge.push import Next, halves, judge_status
from edge.shipper import Shipper
from shared.backoff import Backoff
from shared.envelope import read_batch
from shared.errors import Unreachable
from shared.http import Reply
from shared.ranges import of_seqs
from shared.receipt import ChunkOutcome, Outcome, PushReply, Receipt, write_reply
from shared.records import Part
from shared.runtime import HttpReply, Runtime

MakePart = Callable[[int], Part]
Answer = Callable[[bytes], Reply]


class Network:
    """Two hubs that answer as the test says; remembers what was sent to whom."""

    def __init__(self, **answers: Answer) -> None:
        self.answers = answers
        self.sent: list[tuple[str, bytes]] = []

    async def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        timeout_seconds: float = 10.0,
        reply_bytes_max: int = 0,
    ) -> HttpReply:
        hub = url.removeprefix("http://").partition("/")[0]
        self.sent.append((hub, body))
        return self.answers[hub](body)

    async def close(self) -> None:
        return None


def accepting(body: bytes, *, refused: frozenset[int] = frozenset()) -> Reply:
    """A hub that keeps everything, but for the chunks it refuses."""
    chunks = read_batch(body).chunks
    outcomes = tuple(
        ChunkOutcome(chunk.header.seq, Outcome.REJECTED, "unknown_signal")
        if chunk.header.seq in refused
        else ChunkOutcome(chunk.header.seq, Outcome.ACCEPTED)
        for chunk in chunks
    )
    have = of_seqs(each.seq for each in outcomes if each.held).to_wire()
    header = chunks[0].header
    receipt = Receipt("name", header.origin, header.epoch, outcomes)
    return Reply(200, {}, write_reply(PushReply("hub", receipt, have, have)))


def dead(body: bytes) -> Reply:
    raise Unreachable("the hub", "connection refused", sent=False)


def status(number: int) -> Answer:
    return lambda body: Reply(number, {}, b"no")


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
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.005)


async def test_what_hubs_call_safe_leaves_the_buffer(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    async with shipping(tmp_path, runtime, Network(a=accepting)) as (buffer, _):
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
        network.answers.update(a=accepting, b=accepting)
        await until(lambda: not buffer.seqs)


async def test_a_dead_hub_is_followed_by_the_next_without_waiting(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    first = Hubs("edge-1")
    first.learn(["http://a", "http://b"])
    dying = first.order(0.0)[0].url.removeprefix("http://")
    other = "b" if dying == "a" else "a"
    network = Network(**{dying: dead, other: accepting})
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
        return Reply(400, {}, b"poison") if 3 in seqs else accepting(body)

    network = Network(a=dead)
    async with shipping(tmp_path, runtime, network) as (buffer, _):
        for _ in range(7):
            await buffer.append(log_part(1))
        network.answers["a"] = picky
        await until(lambda: not buffer.seqs)
        tally = buffer.totals.all  # The declaration of the dead letter is safe as well.
        assert (tally.rejected.chunks, tally.safe.chunks) == (1, 7)


async def test_a_chunk_that_a_receipt_rejects_becomes_a_dead_letter(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    network = Network(a=lambda body: accepting(body, refused=frozenset({2})))
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
        (401, Next.NEXT_HUB),
        (413, Next.SPLIT),
        (429, Next.WAIT),
        (500, Next.NEXT_HUB),
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
