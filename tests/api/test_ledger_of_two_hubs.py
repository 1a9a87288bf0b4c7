"""Two hubs keep one ledger, and what one of them told an edge is safe is on both, clones or not."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.app import asgi_app
from hub.config import HubConfig
from hub.hub import Hub
from hub.pull_answers import Asked, read_have
from hub.store.files import FILE_NAME
from shared.errors import BadInput, Unreachable
from shared.http import Reply
from shared.records import Gap, Signal
from shared.runtime import system_runtime
from tests.api.conftest import ADMIN_TOKEN, CLUSTER_KEY, T0, Log, World

KEY = ("edge-1", "e1")


@dataclass
class Wire:
    """An HTTP client whose network is the hubs of this process."""

    apps: Mapping[str, Any]

    async def request(
        self, method: str, url: str, *, body: bytes = b"", headers: Any = None, **_: Any
    ) -> Reply:
        """Raises Unreachable for a hub that is not there (yet)."""
        base, slash, path = url.removeprefix("http://").partition("/")
        if base not in self.apps:
            raise Unreachable(url, "nobody is there", sent=False)
        transport = httpx.ASGITransport(self.apps[base])
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{base}") as client:
            answer = await client.request(method, slash + path, content=body, headers=headers)
        return Reply(answer.status_code, dict(answer.headers), answer.content)

    async def close(self) -> None:
        """Nothing is open between two requests."""


@asynccontextmanager
async def opened(folder: Path, name: str, peer: str, apps: dict[str, Any]) -> AsyncIterator[World]:
    """A hub that will find its peer once its loops run."""
    runtime = replace(system_runtime(), http=lambda: Wire(apps))
    config = HubConfig(
        name,
        folder / name,
        f"http://{name}",
        [f"http://{peer}"],
        CLUSTER_KEY,
        ADMIN_TOKEN,
        "NORMAL",
    )
    (folder / name).mkdir()
    hub = await Hub.open(config, runtime)
    app = asgi_app(hub)
    apps[name] = app
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://hub", timeout=20) as client:
        yield World(hub, app, client)
    await hub.close()


@asynccontextmanager
async def running(*worlds: World) -> AsyncIterator[None]:
    """The loops of some hubs."""
    loops = [asyncio.create_task(world.hub.run()) for world in worlds]
    yield
    for world in worlds:
        world.hub.stop()
    for loop in loops:
        loop.cancel()
    await asyncio.gather(*loops, return_exceptions=True)


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for what must come."""
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.02)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[World, World]]:
    """Two hubs whose loops do not run yet."""
    apps: dict[str, Any] = {}
    async with (
        opened(tmp_path, "hub-1", "hub-2", apps) as one,
        opened(tmp_path, "hub-2", "hub-1", apps) as two,
    ):
        yield one, two


def beside(world: World) -> set[bytes]:
    """The hashes of what a hub keeps beside its logs, read from its disk."""
    connection = sqlite3.connect(world.hub.config.folder / FILE_NAME)
    rows = connection.execute("SELECT hash FROM conflict_chunk").fetchall()
    connection.close()
    return {row[0] for row in rows}


async def test_what_two_clones_gave_to_two_hubs_is_on_both_before_it_is_called_safe(
    pair: tuple[World, World],
) -> None:
    """Both hubs have number 1 of the same log with other bytes: neither may lose its half."""
    one, two = pair
    original, clone = Log().chunks(3), [Log().chunk(records=9)]
    await one.push(original)
    await two.push(clone)
    assert one.hub.store.safe(KEY).to_wire() == two.hub.store.safe(KEY).to_wire() == []
    async with running(one, two):
        await until(lambda: bool(one.hub.store.safe(KEY) and two.hub.store.safe(KEY)))
        assert clone[0].hash in beside(one)
        assert original[0].hash in beside(two)
        told = await one.call("ledger.conflicts")
        assert told["items"][0]["sender"] == "hub-2"
        assert told["items"][0]["sent_hash"] == clone[0].hash.hex()
        assert one.hub.store.have(KEY).to_wire() == [[1, 3]]
    assert one.hub.store.losses.conflicts == 1, "one conflict is told once"


async def test_both_hubs_keep_the_same_ledger(pair: tuple[World, World]) -> None:
    """Gaps and epochs come from headers, so they are wherever the chunks are."""
    one, two = pair
    log, now_ms = Log(), T0 // 1_000_000
    log.chunks(2)  # Nobody will ever get these.
    lost = Gap("logs", "shed", ((1, 2),), 2, 200, 4000, now_ms, now_ms)
    await one.push([log.chunk(signal=Signal.EVENTS, gaps=(lost,)), log.chunk()])
    await two.push([Log(epoch="e2").chunk(signal=Signal.EVENTS, predecessor=("e1", 4))])
    async with running(one, two):
        await until(lambda: one.hub.store.held == two.hub.store.held and one.hub.store.chunks == 3)
        mine, theirs = [await each.call("ledger.show", node="edge-1") for each in pair]
        passed_on = await one.call("ledger.show", node="edge-1", hub="hub-2")
        verified = await one.call("ledger.verify", node="edge-1", hub="hub-2")
    assert (verified["hub"], verified["verdict"]) == ("hub-2", "verified")
    assert passed_on == theirs
    for epochs in (mine["epochs"], theirs["epochs"]):
        epochs.sort(key=lambda epoch: epoch["epoch"])
        for epoch in epochs:
            del epoch["first_received"]
    assert mine["epochs"] == theirs["epochs"]


async def test_what_this_hub_does_not_understand_is_kept_beside_for_a_peer(
    pair: tuple[World, World],
) -> None:
    """A newer hub accepts more: its chunks are confirmed from here, so they must be here."""
    (one, _) = pair
    strange = Log().chunk(signal="profiles")
    (outcome,) = await one.hub.store.keep([strange], "hub-2")
    assert outcome.reason.startswith("unknown_signal")
    assert beside(one) == {strange.hash}
    await one.hub.store.keep([strange], "hub-2")
    assert one.hub.store.losses.kept_beside == 1
    assert one.hub.store.losses.conflicts == 0


@given(st.binary(max_size=60))
def test_whatever_a_peer_answers_is_read_or_refused(body: bytes) -> None:
    with pytest.raises(BadInput):
        read_have(body, Asked("", 0))


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries({}, optional={"have": anything, "proofs": anything, "through": anything})
)
def test_whatever_fields_a_peer_answers_with_are_read_or_refused(said: dict[str, Any]) -> None:
    try:
        body = httpx.Response(200, json={"store_epoch": "s", "head": 1, **said}).content
        read_have(body, Asked("", 0))
    except BadInput:
        pass
