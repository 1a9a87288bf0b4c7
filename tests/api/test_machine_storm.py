"""Orders that wait, while hubs come and go: at the end each was done once, or was cancelled before."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from random import Random

import pytest

from edge.vm.queued import QueuedOrders
from hub.machines.part import MachinePart
from tests.api.conftest import World
from tests.api.machine_world import Edge, edge_in
from tests.api.mesh_world import NAMES, Network, config_of, opened, part_in, running, until

STEPS = 60


@dataclass
class Storm:
    """Three hubs, one edge, and what people asked for. A hub that is down is not asked either."""

    rng: Random
    worlds: dict[str, World]
    edge: Edge
    net: Network
    asked: dict[str, int] = field(default_factory=dict)
    """By how many hubs each order was taken."""
    cancelled: set[str] = field(default_factory=set)

    def hub(self) -> World:
        """One that lives."""
        return self.worlds[self.rng.choice([each for each in NAMES if each not in self.net.down])]

    async def order(self) -> None:
        """A new order, or one that was given before."""
        known = sorted(self.asked)
        again = known and self.rng.random() < 0.4
        name = self.rng.choice(known) if again else f"r-{len(known)}"
        patch = {"description": name}
        answer = await self.hub().call(
            "vm.update", vm="box", patch=patch, queue=True, request_id=name
        )
        assert answer["state"] in ("queued", "over")
        self.asked[name] = self.asked.get(name, 0) + 1

    async def beat(self) -> None:
        """The edge may leave before it has done what it was given."""
        await self.edge.beat(self.hub(), does=self.rng.random() < 0.8)
        await self._settle()

    async def _settle(self) -> None:
        for each in (await self.edge.service.call("op.list", {}))["items"]:
            await self.edge.service.call("op.wait", {"op_id": each["op_id"], "timeout_s": 10})

    async def forget(self) -> None:
        """The agent starts again: only its ledger remembers."""
        self.edge.queued = QueuedOrders(self.edge.service.call, lambda: None)

    async def cut(self) -> None:
        pair = frozenset(self.rng.choice(list(combinations(NAMES, 2))))
        self.net.cut ^= {pair}

    async def kill(self) -> None:
        if self.net.down:
            self.net.down.clear()
        else:
            self.net.down.add(self.rng.choice(NAMES))

    async def cancel(self) -> None:
        """One that waits where it is asked for; what is done by then stays done."""
        world = self.hub()
        waiting = part_in(world, MachinePart).queue.waiting("edge-1")
        if waiting:
            name = self.rng.choice(waiting).id
            await world.call("vm.queue.cancel", request_id=name)
            self.cancelled.add(name)

    async def blow(self) -> None:
        steps = [self.order] * 5 + [self.beat] * 3 + [self.forget, self.cut, self.kill, self.cancel]
        for _ in range(STEPS):
            await self.rng.choice(steps)()
        self.net.cut.clear()
        self.net.down.clear()

    def waiting(self) -> list[set[str]]:
        """What each hub believes to be open."""
        queues = [part_in(world, MachinePart).queue for world in self.worlds.values()]
        return [{each.id for each in queue.waiting("edge-1")} for queue in queues]

    async def calm(self) -> None:
        """All hubs hear each other again, and the edge beats to all of them until nothing waits."""
        await until(lambda: len(set(map(frozenset, self.waiting()))) == 1)
        for _ in range(40):
            for world in self.worlds.values():
                await self.edge.beat(world)
                await self._settle()
                await part_in(world, MachinePart).queue.step()
            if not any(self.waiting()):
                return
        raise AssertionError(f"still open: {self.waiting()}")

    async def done(self) -> Counter[str]:
        """How often the machine was changed for each order."""
        listed = await self.edge.service.call("op.list", {"vm": "box", "limit": 1000})
        changes = [each for each in listed["items"] if each["method"] == "vm.update"]
        assert all(each["state"] == "done" for each in changes)
        return Counter(each["request_id"] for each in changes)


@pytest.fixture
async def storm(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storm]:
    net, worlds = Network(), dict[str, World]()
    async with AsyncExitStack() as stack, edge_in(tmp_path / "e") as edge:
        for name in NAMES:
            config = config_of(tmp_path, name)
            worlds[name] = await opened(stack, net.apps, config, net.wire(name))
        await stack.enter_async_context(running(*worlds.values()))
        await edge.make()
        for world in worlds.values():
            await edge.beat(world)
        yield Storm(Random(request.param), worlds, edge, net)


@pytest.mark.parametrize("storm", range(4), indirect=True)
async def test_each_order_is_done_once_or_was_cancelled(storm: Storm) -> None:
    await storm.blow()
    await storm.calm()
    done = await storm.done()
    assert max(done.values(), default=0) <= 1
    assert storm.asked.keys() - storm.cancelled <= done.keys() <= storm.asked.keys()
    assert len(done) > 5
