"""Two hubs keep one ledger, and what one of them told an edge is safe is on both, clones or not."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.pull_answers import Asked, read_have
from hub.store.files import FILE_NAME
from shared.errors import BadInput
from shared.records import Gap, Signal
from tests.api.conftest import T0, Log, World
from tests.api.mesh_world import pair_in, running, until

KEY = ("edge-1", "e1")


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[World, World]]:
    """Two hubs whose loops do not run yet."""
    async with pair_in(tmp_path) as worlds:
        yield worlds


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
