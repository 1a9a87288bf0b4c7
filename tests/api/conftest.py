"""A real hub in this process: its own SQLite file, its own routes, and clients with every credential."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from starlette.applications import Starlette

from hub.app import asgi_app
from hub.config import HubConfig
from hub.hub import Hub
from shared.benchmarks.bodies import log_body
from shared.codec import compress
from shared.envelope import MEDIA_TYPE, write_batch
from shared.records import GENESIS_HASH, Chunk, ChunkHeader, Encoding, Signal, seal
from tests.api.swift import runtime_here

CLUSTER_KEY = "the cluster key of these tests"
ADMIN_TOKEN = "the admin token of these tests"
T0 = 1_700_000_000_000_000_000
"""The event time of the first record of every chunk made here, in Unix nanoseconds."""


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The event loop that a test module asks for by its name LOOP, or the usual one."""
    module = item.getparent(pytest.Module)
    return {"loop": getattr(module.obj if module else None, "LOOP", asyncio.new_event_loop)}


def bearer(secret: str) -> dict[str, str]:
    """The header that shows a secret."""
    return {"authorization": f"Bearer {secret}"}


def node_headers(node_id: str, node_key: str | None = None) -> dict[str, str]:
    """What an edge sends with every request."""
    return {
        **bearer(CLUSTER_KEY),
        "x-headwater-node": node_id,
        "x-headwater-node-key": node_key or f"key of {node_id}",
    }


def beat_of(node_id: str, **changes: Any) -> dict[str, Any]:
    """A heartbeat as an edge writes it."""
    return {
        "node_id": node_id,
        "incarnation": 1,
        "beat": 1,
        "epoch": "e1",
        "facts_number": 1,
        "facts": {"hostname": node_id},
        "load": {"cpu_ratio": 0.5},
        "buffer": {"chunks": 0, "records": 0, "pending_chunks": 0, "oldest_age_s": None},
        "vms": [],
        **changes,
    }


@dataclass
class Log:
    """The log of one edge, which makes chunks with a true chain of hashes."""

    node_id: str = "edge-1"
    epoch: str = "e1"
    head: bytes = GENESIS_HASH
    seq: int = 0

    def chunk(self, records: int = 3, body: bytes | None = None, **changes: Any) -> Chunk:
        """The next chunk; `changes` spoil fields of its header."""
        self.seq += 1
        raw = log_body(min(records, 100), self.seq * 1000, T0)
        stored = compress(raw) if body is None else body
        fields: dict[str, Any] = {
            "origin": self.node_id,
            "epoch": self.epoch,
            "seq": self.seq,
            "signal": Signal.LOGS,
            "encoding": Encoding.PROTO,
            "codec": "zstd",
            "records": records,
            "raw_bytes": len(raw),
            "stored_bytes": len(stored),
            "time_min_ns": T0,
            "time_max_ns": T0 + 10_000_000,
            "created_ms": T0 // 1_000_000,
            "body_sha256": hashlib.sha256(stored).digest(),
            "previous_hash": self.head,
            **changes,
        }
        chunk = seal(ChunkHeader(**fields), stored)
        self.head = chunk.hash
        return chunk

    def chunks(self, count: int) -> list[Chunk]:
        """The next chunks."""
        return [self.chunk() for _ in range(count)]


@dataclass
class World:
    """A hub and a client that reaches it without a network."""

    hub: Hub
    app: Starlette
    client: httpx.AsyncClient
    calls: int = field(default=0)

    def counted(self, what: str) -> int:
        """How often the hub says that something happened."""
        return self.hub.counters[what]

    async def beat(
        self,
        node_id: str,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        **changes: Any,
    ) -> httpx.Response:
        """Send a heartbeat."""
        return await self.client.post(
            "/edge/heartbeat",
            content=orjson.dumps(beat_of(node_id, **changes)),
            headers={**node_headers(node_id, key), **(headers or {})},
        )

    async def push(
        self,
        chunks: Sequence[Chunk] | bytes,
        node_id: str = "edge-1",
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a batch, or bytes in its place."""
        body = chunks if isinstance(chunks, bytes) else write_batch(chunks)
        sent = {**node_headers(node_id, key), "content-type": MEDIA_TYPE, **(headers or {})}
        return await self.client.post("/edge/batches", content=body, headers=sent)

    async def peer(self, path: str, message: Any) -> httpx.Response:
        """Send what a peer hub would send."""
        body = message if isinstance(message, bytes) else orjson.dumps(message)
        return await self.client.post(path, content=body, headers=bearer(CLUSTER_KEY))

    async def rpc(self, body: Any) -> httpx.Response:
        """Send the body of a call as an administrator."""
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        return await self.client.post("/rpc", content=content, headers=bearer(ADMIN_TOKEN))

    async def call(self, method: str, **params: Any) -> Any:
        """The result of a call; an error fails the test."""
        self.calls += 1
        call = {"jsonrpc": "2.0", "id": self.calls, "method": method, "params": params}
        answer = (await self.rpc(call)).json()
        assert "result" in answer, answer
        return answer["result"]

    async def refusal(self, method: str, **params: Any) -> dict[str, Any]:
        """The error of a call; a result fails the test."""
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = (await self.rpc(call)).json()
        assert "error" in answer, answer
        error: dict[str, Any] = answer["error"]
        return error

    async def still_works(self) -> None:
        """Whatever came before, a good beat, batch and call go through, and the loops live."""
        log = Log("edge-good", epoch=f"e{self.calls}")
        self.calls += 1
        assert (await self.beat(log.node_id, beat=self.calls)).status_code == 200
        pushed = await self.push([log.chunk()], log.node_id)
        assert pushed.status_code == 200, pushed.text
        assert pushed.json()["receipt"]["outcomes"][0]["outcome"] == "accepted"
        nodes = await self.call("node.list")
        assert "edge-good" in [node["node_id"] for node in nodes["items"]]
        await self.call("vm.list")
        found = await self.call("log.query", nodes=["edge-good"], limit=1)
        assert len(found["items"]) == 1
        await self.hub.saving.save()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A hub with all its loops running, closed at the end."""
    config = HubConfig(
        "hub-1", tmp_path, "http://hub-1.invalid:8470", [], CLUSTER_KEY, ADMIN_TOKEN, "NORMAL"
    )
    hub = await Hub.open(config, runtime_here())
    loops = asyncio.create_task(hub.run())
    app = asgi_app(hub)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://hub", timeout=20
    ) as client:
        yield World(hub, app, client)
    assert not loops.done(), "a loop of the hub ended"
    loops.cancel()
    await asyncio.gather(loops, return_exceptions=True)
    await hub.close()
