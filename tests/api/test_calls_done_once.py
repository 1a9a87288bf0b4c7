"""Commands and typing have one effect for each request id, as orders have, whatever path is lost."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge.vm.driver import Executed, Handle
from hub.cli.client import ORDERS
from hub.machines.keys import KEYS
from hub.machines.table import PASSED
from shared.errors import RpcError
from tests.api.conftest import World
from tests.api.machine_world import Edge, edge_in, refusal
from tests.api.mesh_world import Network, config_of, opened, running
from tests.unit.vm.fake_driver import FakeDriver


@dataclass
class Pair:
    """Two hubs and a node with a VM that runs."""

    one: World
    two: World
    edge: Edge
    seen: list[str]
    """What the VM was told."""


class Noting(FakeDriver):
    """A driver that notes what is done inside its VMs."""

    async def execute(self, handle: Handle, argv: Sequence[str], seconds: float) -> Executed:
        self.world.order.append(" ".join(argv))
        return await super().execute(handle, argv, seconds)

    async def console_send(self, handle: Handle, text: str) -> int:
        self.world.order.append(text)
        return await super().console_send(handle, text)


@pytest.fixture
async def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pair]:
    monkeypatch.setattr("tests.api.machine_world.FakeDriver", Noting)
    net, names = Network(), ("hub-1", "hub-2")
    async with AsyncExitStack() as stack, edge_in(tmp_path / "e") as edge:
        configs = [config_of(tmp_path, name, names) for name in names]
        one, two = [await opened(stack, net.apps, each, net.wire(each.hub_id)) for each in configs]
        await stack.enter_async_context(running(one, two))
        await edge.make()
        for world in (one, two):
            await edge.beat(world)
        yield Pair(one, two, edge, edge.scripted.order)


ASKED = [
    ("vm.exec", {"argv": ["reboot"]}),
    ("vm.console.send", {"data": "reboot\n"}),
]


@pytest.mark.parametrize(("method", "more"), ASKED)
async def test_a_command_whose_answer_is_lost_is_asked_again_by_another_path_and_done_once(
    pair: Pair, method: str, more: dict[str, Any]
) -> None:
    """The hub gives it a request id, and the node remembers what came of that."""
    before = len(pair.seen)
    async with pair.edge.linked(pair.one, "answers"), pair.edge.linked(pair.two):
        done = await pair.one.call(method, vm="box", **more)
    assert [hop["hub"] for hop in done["path"]["hops"]][-1] == "hub-2"
    assert done["path"]["request_id"]
    assert len(pair.seen) == before + 1


@pytest.mark.parametrize(("method", "more"), ASKED)
async def test_one_without_another_path_may_be_repeated_with_the_request_id_that_it_tells(
    pair: Pair, method: str, more: dict[str, Any]
) -> None:
    before = len(pair.seen)
    async with pair.edge.linked(pair.two, "answers"):
        said = await refusal(pair.one, method, vm="box", **more)
    assert (said["kind"], said["retryable"]) == ("outcome_unknown", True)
    async with pair.edge.linked(pair.two):
        again = {**more, "request_id": said["request_id"]}
        done = await pair.two.call(method, vm="box", **again)
    assert done["path"]["request_id"] == said["request_id"]
    assert len(pair.seen) == before + 1


@pytest.mark.parametrize(("method", "more"), ASKED)
async def test_a_request_id_of_another_command_is_refused(
    pair: Pair, method: str, more: dict[str, Any]
) -> None:
    other = {name: ["halt"] if name == "argv" else "halt\n" for name in more}
    async with pair.edge.linked(pair.one):
        await pair.one.call(method, vm="box", request_id="r-1", **more)
        before = len(pair.seen)
        said = await refusal(pair.one, method, vm="box", request_id="r-1", **other)
    assert (said["kind"], said["retryable"], len(pair.seen)) == ("conflict", False, before)


async def test_one_that_never_left_takes_another_path(pair: Pair) -> None:
    async with pair.edge.linked(pair.one) as dead, pair.edge.linked(pair.two):
        await dead.duplex.close()
        pair.one.hub.links.sessions["edge-1"] = dead
        done = await pair.one.call("vm.exec", vm="box", argv=["true"])
    assert [hop["hub"] for hop in done["path"]["hops"]][-1] == "hub-2"


async def test_a_deadline_that_is_over_is_told_as_such_and_not_as_a_missing_link(
    pair: Pair,
) -> None:
    """No path was tried, so nothing was done."""
    async with pair.edge.linked(pair.one):
        calls = pair.one.hub.calls
        with pytest.raises(RpcError, match=r"the 0 s for vm.get were over before edge-1") as said:
            await calls.call("edge-1", "vm.get", {"vm": "box"}, seconds=0)
    assert (said.value.kind, said.value.data["hops"]) == ("node_unreachable", [])


def test_the_command_line_gives_every_order_a_request_id() -> None:
    """Else it would be done twice where the first hub dies after it."""
    assert {name for name, each in PASSED.items() if each.is_order} <= ORDERS


@pytest.mark.parametrize(("key", "data"), [("ctrl-c", "\x03"), ("Enter", "\r"), ("up", "\x1b[A")])
async def test_a_key_is_typed_by_its_name(pair: Pair, key: str, data: str) -> None:
    async with pair.edge.linked(pair.one):
        typed = await pair.one.call("vm.console.send", vm="box", key=key)
    assert typed["written"] == len(data)
    assert KEYS[key.lower()] == data


@pytest.mark.parametrize("more", [{}, {"key": "f13"}, {"key": "enter", "data": "x"}, {"data": ""}])
async def test_what_is_no_key_is_refused(pair: Pair, more: dict[str, Any]) -> None:
    said = await refusal(pair.one, "vm.console.send", vm="box", **more)
    assert said["kind"] == "invalid_params"
