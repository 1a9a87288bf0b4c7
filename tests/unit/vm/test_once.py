"""Commands and keys have one effect for each request id, although they are no operations."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from edge.vm import once as once_module
from edge.vm.driver import Executed, Handle
from shared.errors import RpcError

from .conftest import Node
from .fake_driver import FakeDriver
from .fake_node import FakeNode, OpenFake

ONCE: dict[str, dict[str, Any]] = {
    "vm.exec": {"argv": ["date"]},
    "vm.console.send": {"data": "date\n"},
}


class Effects:
    """Counts what is done to the machines of a scripted driver, and can hold it up or break it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.free = asyncio.Event()
        self.begun = asyncio.Event()
        self.free.set()
        self.error: RpcError | None = None
        monkeypatch.setattr(FakeDriver, "execute", self._execute)
        monkeypatch.setattr(FakeDriver, "console_send", self._send)

    async def _execute(self, handle: Handle, argv: Sequence[str], seconds: float) -> Executed:
        await self._do()
        return Executed(self.count, None, b"out", b"")

    async def _send(self, handle: Handle, text: str) -> int:
        await self._do()
        return self.count

    async def _do(self) -> None:
        self.count += 1
        self.begun.set()
        await self.free.wait()
        if self.error is not None:
            raise self.error


@pytest.fixture
def effects(monkeypatch: pytest.MonkeyPatch) -> Effects:
    return Effects(monkeypatch)


def order(method: str, **more: Any) -> dict[str, Any]:
    return {"method": method, "vm": "box", "request_id": "r-1", **ONCE[method], **more}


@pytest.mark.parametrize("method", ONCE)
async def test_the_same_request_gets_the_same_answer_and_has_one_effect(
    fake: FakeNode, effects: Effects, method: str
) -> None:
    await fake.create()
    first = await fake.call(**order(method))
    again = await fake.call(**order(method, requested_by="bob", via_hub="hub-2"))
    assert (again, effects.count) == (first, 1)
    other = await fake.call(**order(method, request_id="r-2"))
    assert (other != first, effects.count) == (True, 2)
    await fake.call(**order(method, request_id=None))
    await fake.call(**order(method, request_id=None))
    assert effects.count == 4, "without a request id each call is one of its own"


@pytest.mark.parametrize("method", ONCE)
async def test_two_at_once_and_one_whose_caller_left_have_one_effect(
    fake: FakeNode, effects: Effects, method: str
) -> None:
    await fake.create()
    effects.free.clear()
    gone, waiting = (asyncio.create_task(fake.call(**order(method))) for _ in range(2))
    await effects.begun.wait()
    gone.cancel()
    await asyncio.wait([gone])
    effects.free.set()
    assert await waiting == await fake.call(**order(method))
    assert effects.count == 1


@pytest.mark.parametrize("method", ONCE)
async def test_the_next_agent_does_not_do_it_again(
    open_fake: OpenFake, effects: Effects, method: str
) -> None:
    node = await open_fake()
    await node.create()
    effects.free.clear()
    cut_off = asyncio.create_task(node.call(**order(method)))
    await effects.begun.wait()
    await node.die()
    with pytest.raises(RpcError, match="closing"):
        await cut_off
    effects.free.set()
    node = await open_fake()
    refused = await node.refusal(**order(method))
    assert (refused.kind, effects.count) == ("conflict", 1)


@pytest.mark.parametrize("other", [{"vm": "two"}, {"timeout_s": 3}, {"argv": ["ls"]}])
async def test_a_request_id_is_for_one_call(
    fake: FakeNode, effects: Effects, other: dict[str, Any]
) -> None:
    await fake.create()
    await fake.create("two")
    await fake.call(**order("vm.exec"))
    assert (await fake.refusal(**order("vm.exec", **other))).kind == "conflict"
    assert (await fake.refusal("vm.stop", vm="box", request_id="r-1")).kind == "conflict"
    await fake.call("vm.stop", vm="two", request_id="r-5", wait_s=30)
    assert (await fake.refusal(**order("vm.exec", request_id="r-5"))).kind == "conflict"
    assert effects.count == 1


async def test_an_error_is_an_answer_too_unless_nothing_was_done(
    fake: FakeNode, effects: Effects
) -> None:
    await fake.create()
    effects.error = RpcError("driver_error", "it broke on the way", {"n": 1})
    first = await fake.refusal(**order("vm.exec"))
    again = await fake.refusal(**order("vm.exec"))
    assert (first.data, str(again), again.data, effects.count) == (
        {"n": 1},
        str(first),
        {"n": 1},
        1,
    )
    effects.error = RpcError("busy", "too many commands")
    assert (await fake.refusal(**order("vm.exec", request_id="r-2"))).kind == "busy"
    effects.error = None
    assert (await fake.call(**order("vm.exec", request_id="r-2")))["code"] == 3


async def test_answers_are_bounded_and_a_forgotten_one_is_no_second_effect(
    fake: FakeNode, effects: Effects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(once_module, "ANSWERS_MAX", 2)
    await fake.create()
    for n in range(3):
        await fake.call(**order("vm.exec", request_id=f"r-{n}"))
    assert (await fake.refusal(**order("vm.exec", request_id="r-0"))).kind == "conflict"
    assert (await fake.call(**order("vm.exec", request_id="r-2")))["code"] == 3
    monkeypatch.setattr(once_module, "ANSWERS_MAX", 1000)
    monkeypatch.setattr(once_module, "ANSWERS_BYTES_MAX", 10)
    await fake.call(**order("vm.exec", request_id="r-9"))
    assert (await fake.refusal(**order("vm.exec", request_id="r-9"))).kind == "conflict"
    assert effects.count == 4


@pytest.mark.skipif(sys.platform != "linux", reason="sandboxes need Linux namespaces")
async def test_a_command_in_a_real_sandbox_is_run_once(node: Node) -> None:
    await node.create()
    script = "echo x >> /tmp/n; wc -l < /tmp/n"
    run = {"vm": "box", "request_id": "r-1", "argv": ["sh", "-c", script]}
    answers = [await node.call("vm.exec", **run) for _ in range(3)]
    assert [answer["stdout"].strip() for answer in answers] == ["1"] * 3
