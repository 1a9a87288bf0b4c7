"""The person who gives orders to a simulated fleet, sets labels and asks questions."""

import asyncio
from collections.abc import Mapping
from random import Random
from typing import Any

import msgspec

from shared.errors import HeadwaterError
from tests.sim.machines import ADMIN_TOKEN, EdgeMachine, HubMachine, World
from tests.sim.network import Client
from tests.sim.process import Process
from tests.sim.scenario import settled

TRIES_MAX = 200
GOSSIP_SECONDS_MAX = 10.0
Answer = dict[str, Any] | str
"""What a hub said, or in a word why it did not."""


class Person:
    """Talks to any hub, over the same bad network as everybody."""

    def __init__(
        self,
        world: World,
        hubs: Mapping[str, HubMachine],
        edges: Mapping[str, EdgeMachine],
        patience_seconds: float = 30.0,
    ) -> None:
        self._world, self._hubs, self._edges = world, hubs, edges
        self._patience_seconds = patience_seconds
        self._process = Process("person", world.rng("person"), world.trace)
        self._asked: dict[str, str] = {}
        self._answered: set[str] = set()

    async def rpc(self, hub: HubMachine, method: str, params: dict[str, Any]) -> Answer:
        """Call a method of a hub, once."""
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        try:
            reply = await self._process.run(
                Client(self._world.network, self._process).request(
                    "POST",
                    f"{hub.config.url}/rpc",
                    body=msgspec.json.encode(call),
                    headers={"authorization": f"Bearer {ADMIN_TOKEN}"},
                    timeout_seconds=self._patience_seconds,
                )
            )
            answer = msgspec.json.decode(reply.body)
        except (HeadwaterError, msgspec.DecodeError) as error:
            return type(error).__name__
        result: Answer = answer.get("result") or answer["error"]["data"]["kind"]
        return result

    # ---- in the storm

    async def insist(self, request_id: str, rng: Random) -> None:
        """Order something until it is answered, each time through a hub at random."""
        edge = rng.choice(list(self._edges.values()))
        self._asked[request_id] = edge.name
        params = {"node": edge.name, "vm": "vm-1", "request_id": request_id}
        trace = self._world.trace
        for _ in range(TRIES_MAX):
            hub = rng.choice(list(self._hubs.values()))
            answer = await self.rpc(hub, "vm.start", params)
            if isinstance(answer, dict):
                self._answered.add(request_id)
                trace.note("order answered", request_id, answer["path"]["served_by"])
                trace.counts[f"answered over {len(answer['path']['hops'])} hops"] += 1
                return
            trace.note("order failed", request_id, answer)
            await asyncio.sleep(rng.uniform(0.2, 2))

    async def label(self, number: int, rng: Random) -> None:
        """Label an edge through some hub, once; it may fail."""
        edge = rng.choice(list(self._edges.values()))
        hub = rng.choice(list(self._hubs.values()))
        params = {"node": edge.name, "labels": {"number": str(number)}}
        answer = await self.rpc(hub, "node.label", params)
        told = "set" if isinstance(answer, dict) else answer
        self._world.trace.note("label", hub.name, edge.name, number, told)

    # ---- at rest

    async def check_all(self) -> None:
        """Ask what a fleet at rest must be able to answer."""
        rng = self._world.rng("questions")
        await self._drain(rng)
        await self._find_everything(rng)
        self._judge_orders()

    async def _drain(self, rng: Random) -> None:
        edge = rng.choice(list(self._edges.values()))
        hub = rng.choice(list(self._hubs.values()))
        answer = await self.rpc(hub, "edge.drain", {"node": edge.name, "deadline_s": 60})
        if not isinstance(answer, dict) or answer["verdict"] != "drained":
            self._world.trace.fail(f"drain of {edge.name} through {hub.name}: {answer}")

    async def _find_everything(self, rng: Random) -> None:
        """Every hub finds every record of an edge, each once."""
        edge = rng.choice(list(self._edges.values()))
        for hub in self._hubs.values():
            found = await self._query(hub, edge.name)
            twice = len(found) - len(set(found))
            missing = set(edge.output.acked) - set(found)
            if twice or missing:
                words = f"{twice} records twice, {len(missing)} missing"
                self._world.trace.fail(f"log.query at {hub.name} for {edge.name}: {words}")

    async def _query(self, hub: HubMachine, node: str) -> list[str]:
        found: list[str] = []
        params: dict[str, Any] = {"start": "-1d", "end": 4e9, "nodes": [node], "limit": 100}
        while params.get("cursor", "") is not None:
            page = await self.rpc(hub, "log.query", params)
            if not isinstance(page, dict):
                self._world.trace.fail(f"log.query at {hub.name}: {page}")
                break
            found += [item["body"] for item in page["items"]]
            params["cursor"] = page["cursor"]
        return found

    async def label_last(self, hub: HubMachine) -> None:
        """The last word of a person counts, however wrong the clock of the hub that heard it."""
        labels = {"last": "word"}
        for name in self._edges:
            answer = await self.rpc(hub, "node.label", {"node": name, "labels": labels})
            if not isinstance(answer, dict) or answer["labels"] != labels:
                said = answer["labels"] if isinstance(answer, dict) else answer
                self._world.trace.fail(f"{hub.name} was told {labels} of {name} and says {said}")
        if not await settled(lambda: self._all_say(labels), GOSSIP_SECONDS_MAX):
            self._world.trace.fail("the last labels did not reach every hub")

    def _all_say(self, labels: dict[str, str]) -> bool:
        running = [machine.hub for machine in self._hubs.values() if machine.hub]
        records = [record for hub in running for record in hub.registry.records.values()]
        return all(record.intent_value("labels") == labels for record in records)

    def _judge_orders(self) -> None:
        """Each order has one effect, whatever way it went and however often."""
        for request_id, name in self._asked.items():
            effects = self._edges[name].effects[request_id]
            if effects > 1 or (request_id in self._answered and effects != 1):
                self._world.trace.fail(f"{request_id} to {name} had {effects} effects")
            if request_id not in self._answered:
                self._world.trace.fail(f"{request_id} to {name} was never answered")
