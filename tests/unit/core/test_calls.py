"""Links and calls: concurrent, bounded, and honest about what may have happened."""

import asyncio
from typing import Any

import orjson
import pytest

from edge.hubs import HubView
from edge.link import ANSWER_BYTES_MAX, Link, answer_message
from hub.links import CALL_BYTES_MAX, CALLS_MAX, Links, LinkSession
from shared.errors import RpcError, Unreachable
from shared.runtime import Duplex, Runtime


class Pipe:
    """One end of an in-memory message stream."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.other: Pipe | None = None
        self.is_open = True

    async def send(self, message: bytes) -> None:
        if not self.is_open or self.other is None:
            raise Unreachable("pipe", "closed", sent=False)
        self.other.inbox.put_nowait(message)

    async def receive(self) -> bytes:
        message = await self.inbox.get()
        if message is None:
            raise Unreachable("pipe", "closed", sent=True)
        return message

    async def close(self) -> None:
        for end in (self, self.other):
            if end is not None and end.is_open:
                end.is_open = False
                end.inbox.put_nowait(None)


def pipe() -> tuple[Pipe, Pipe]:
    here, there = Pipe(), Pipe()
    here.other, there.other = there, here
    return here, there


class Joined:
    """A hub's session and an edge's link, joined; calls are answered by `answer`."""

    def __init__(self, runtime: Runtime) -> None:
        self.hub_end, self.edge_end = pipe()
        self.links = Links()
        self.session = LinkSession("edge-1", self.hub_end)
        self.started = 0
        self.release = asyncio.Event()

        async def dial(url: str, headers: dict[str, str]) -> Duplex:
            return self.edge_end

        world = Runtime(runtime.wall_ns, runtime.rng, runtime.http, dial)
        self._link = Link(HubView("http://hub"), world, {}, self.answer)

    async def answer(self, method: str, params: dict[str, Any]) -> Any:
        self.started += 1
        if method == "wait":
            await self.release.wait()
        if method == "refuse":
            raise RpcError("busy", "later", {"op_id": "7"})
        if method == "escape":
            return {"text": "\0" * params["size"]}
        return {"method": method, **params}

    async def __aenter__(self) -> "Joined":
        self._tasks = [
            asyncio.create_task(self.links.serve(self.session)),
            asyncio.create_task(self._link.run()),
        ]
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def test_a_call_gets_the_answer_of_the_edge(runtime: Runtime) -> None:
    async with Joined(runtime) as joined:
        assert await joined.session.call("echo", {"a": 1}, 5) == {"method": "echo", "a": 1}


async def test_an_error_of_the_edge_arrives_with_its_kind_and_data(runtime: Runtime) -> None:
    async with Joined(runtime) as joined:
        with pytest.raises(RpcError, match="later") as refusal:
            await joined.session.call("refuse", {}, 5)
    assert (refusal.value.kind, refusal.value.data) == ("busy", {"op_id": "7"})


async def test_a_slow_call_does_not_hold_up_the_next(runtime: Runtime) -> None:
    async with Joined(runtime) as joined:
        slow = asyncio.create_task(joined.session.call("wait", {}, 5))
        assert await joined.session.call("echo", {}, 5) == {"method": "echo"}
        joined.release.set()
        assert await slow == {"method": "wait"}


async def test_an_answer_that_does_not_come_in_time_leaves_the_outcome_unknown(
    runtime: Runtime,
) -> None:
    async with Joined(runtime) as joined:
        with pytest.raises(RpcError) as refusal:
            await joined.session.call("wait", {}, 0.01)
    assert refusal.value.kind == "outcome_unknown"


async def test_calls_under_way_end_when_the_link_breaks(runtime: Runtime) -> None:
    """Whoever waits is told that it may have been done: it had been sent."""
    async with Joined(runtime) as joined:
        call = asyncio.create_task(joined.session.call("wait", {}, 30))
        while not joined.started:
            await asyncio.sleep(0)
        await joined.edge_end.close()
        with pytest.raises(RpcError) as refusal:
            await call
        assert refusal.value.kind == "outcome_unknown"


async def test_more_calls_than_allowed_are_refused_and_not_queued(runtime: Runtime) -> None:
    async with Joined(runtime) as joined:
        calls = [asyncio.create_task(joined.session.call("wait", {}, 30)) for _ in range(CALLS_MAX)]
        await asyncio.sleep(0)
        with pytest.raises(RpcError, match="under way"):
            await joined.session.call("echo", {}, 5)
        joined.release.set()
        assert len(await asyncio.gather(*calls)) == CALLS_MAX


async def test_a_newer_link_of_a_node_replaces_the_older() -> None:
    links = Links()
    (first_end, _), (second_end, _) = pipe(), pipe()
    older = asyncio.create_task(links.serve(LinkSession("edge-1", first_end)))
    await asyncio.sleep(0)
    newer = LinkSession("edge-1", second_end)
    task = asyncio.create_task(links.serve(newer))
    await older
    assert links.sessions == {"edge-1": newer}
    await links.close()
    await task
    assert links.sessions == {}


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"{", -32700),
        (b"[]", -32600),
        (b'{"jsonrpc":"2.0","method":"x","params":[],"id":1}', -32602),
    ],
)
async def test_garbage_on_a_link_is_answered_as_the_standard_says(
    message: bytes, code: int
) -> None:
    async def never(method: str, params: dict[str, Any]) -> Any:
        raise AssertionError("garbage must not reach a method")

    answer = await answer_message(message, never)
    assert answer is not None
    assert orjson.loads(answer)["error"]["code"] == code


async def test_a_fault_in_a_method_is_an_answer_and_not_the_end_of_the_link() -> None:
    async def faulty(method: str, params: dict[str, Any]) -> Any:
        raise ZeroDivisionError

    answer = await answer_message(b'{"jsonrpc":"2.0","method":"x","id":5}', faulty)
    assert answer is not None
    told = orjson.loads(answer)
    assert (told["id"], told["error"]["code"]) == (5, -32603)
    assert "ZeroDivisionError" in told["error"]["message"]


async def test_a_call_or_answer_too_large_for_the_link_is_refused_and_does_not_break_it(
    runtime: Runtime,
) -> None:
    async with Joined(runtime) as joined:
        with pytest.raises(RpcError, match="bytes") as refusal:
            await joined.session.call("echo", {"a": "x" * CALL_BYTES_MAX}, 5)
        assert refusal.value.kind == "invalid_params"
        with pytest.raises(RpcError, match="ask for less") as refusal:
            # Control characters take six bytes each in JSON, so the answer outgrows the call.
            await joined.session.call("escape", {"size": ANSWER_BYTES_MAX // 6}, 5)
        assert refusal.value.kind == "quota"
        assert await joined.session.call("echo", {"a": 1}, 5) == {"method": "echo", "a": 1}
