"""Heartbeats: what a hub answers speaks of the epoch that the beat named, and is weighed elsewhere."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from edge.circuit import Phase
from edge.heartbeat import Heartbeats
from edge.hubs import Hubs, HubView
from shared.beat import Beat, BeatReply, write
from shared.errors import Unreachable
from shared.http import Reply
from shared.ranges import NOTHING, Ranges
from shared.runtime import HttpReply, Runtime
from tests.unit.core.answering import Answering

Change = Callable[[], None]
GOOD = BeatReply("hub-1", 5.0, [[1, 9]], [[1, 4]], {}, [(9, "ab" * 32)], 1000.0)


class Hub(Answering):
    """A hub that answers each beat with one reply, or not at all."""

    def __init__(self, body: bytes | None, change: Change = lambda: None) -> None:
        self.body, self.change = body, change
        self.asked = asyncio.Event()

    def answer(self, url: str, body: bytes) -> HttpReply:
        self.asked.set()
        self.change()
        if self.body is None:
            raise Unreachable(url, "connection refused", sent=False)
        return Reply(200, {}, self.body)


async def beat_once(hub: Hub, runtime: Runtime, compose: Callable[[], Beat]) -> HubView:
    """One beat to one hub, and what is known of the hub then."""
    hubs = Hubs("edge-1")
    (view,) = hubs.learn(["http://a"])
    beats = Heartbeats(hubs, hub, runtime, {}, compose, lambda _: None, lambda _: None)
    task = asyncio.create_task(beats.run(view))
    try:
        async with asyncio.timeout(60):
            await hub.asked.wait()
            while not view.last_error and view.last_answer_at is None:
                await asyncio.sleep(0)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return view


def beat_of(epoch: str) -> Beat:
    return Beat("edge-1", 1, 1, epoch, 1, {}, {}, {})


async def test_an_answer_belongs_to_the_epoch_that_its_beat_named(runtime: Runtime) -> None:
    """The log may begin a new life while the beat is on its way."""
    epochs = ["old"]
    hub = Hub(write(GOOD), lambda: epochs.append("new"))
    view = await beat_once(hub, runtime, lambda: beat_of(epochs[-1]))
    assert view.claim is not None
    assert (view.claim.epoch, epochs[-1]) == ("old", "new")


async def test_nothing_is_believed_before_it_has_been_weighed(runtime: Runtime) -> None:
    view = await beat_once(Hub(write(GOOD)), runtime, lambda: beat_of("e"))
    assert (view.have, view.safe) == (NOTHING, NOTHING)
    assert view.claim is not None
    assert view.claim.have == Ranges(((1, 9),))
    assert view.claim.proofs == ((9, b"\xab" * 32),)
    assert view.credit.bytes_per_s == 1000.0


@pytest.mark.parametrize(
    "reply",
    [
        b"{}",
        b"\xff",
        write(msgspec.structs.replace(GOOD, interval_seconds=0)),
        write(msgspec.structs.replace(GOOD, have=[[5, 1]])),
        write(msgspec.structs.replace(GOOD, proofs=[(9, "no hash")])),
    ],
)
async def test_an_answer_that_cannot_be_read_is_no_answer(runtime: Runtime, reply: bytes) -> None:
    view = await beat_once(Hub(reply), runtime, lambda: beat_of("e"))
    assert view.claim is None
    assert view.last_error
    assert not view.is_answering


async def test_a_beat_without_answer_opens_the_circuit(runtime: Runtime) -> None:
    view = await beat_once(Hub(None), runtime, lambda: beat_of("e"))
    assert "connection refused" in view.last_error
    assert view.circuit.failures == 1
    assert view.circuit.phase(view.circuit.ready_at) is Phase.HALF_OPEN
