"""The calls about drains: looked at, given up, bounded, and refused when they make no sense."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import drain as drains
from edge.drain import Drain
from edge.drain_calls import drain_methods
from edge.hubs import Hubs
from shared.errors import RpcError
from shared.ranges import Ranges
from shared.records import Signal
from shared.runtime import Runtime
from tests.unit.core.buffers import fill, running, until
from tests.unit.core.draining import Push, World


async def test_only_the_last_verdicts_are_kept(tmp_path: Path, runtime: Runtime) -> None:
    """Memory has an end."""
    async with running(tmp_path, runtime) as buffer:
        world = World(buffer, runtime)
        for number in range(drains.VERDICTS_MAX + 5):
            await world.call("edge.drain", request_id=f"r{number}")
        kept = (await world.call("edge.drain.status"))["verdicts"]
    assert [each["request_id"] for each in kept[:2]] == ["r36", "r35"]
    assert (len(kept), kept[-1]["request_id"]) == (drains.VERDICTS_MAX, "r5")


async def test_too_many_drains_are_refused(tmp_path: Path, runtime: Runtime) -> None:
    """Those that run can still be joined."""
    async with running(tmp_path, runtime) as buffer:
        world = World(buffer, runtime)
        await fill(buffer, Signal.LOGS, 1)
        async with asyncio.TaskGroup() as tasks:
            for number in range(drains.RUNNING_MAX):
                tasks.create_task(world.call("edge.drain", request_id=f"r{number}"))
            await until(lambda: len(world.drain.running) == drains.RUNNING_MAX)
            with pytest.raises(RpcError) as refused:
                await world.call("edge.drain", request_id="one more")
            world.holds(buffer.seqs, buffer.seqs)
            joined = await world.call("edge.drain", request_id="r3")
    assert refused.value.kind == "busy"
    assert joined["verdict"] == "drained"


async def test_a_cancelled_drain_never_says_safe(tmp_path: Path, runtime: Runtime) -> None:
    """Whoever waited hears it, and cancelling again changes nothing."""
    async with running(tmp_path, runtime) as buffer:
        world = World(buffer, runtime)
        await fill(buffer, Signal.LOGS, 2)
        waiting = asyncio.create_task(world.call("edge.drain", request_id="a"))
        await until(lambda: world.push.nudges)
        world.holds(buffer.seqs, buffer.seqs)
        told = await world.call("edge.drain.cancel", request_id="a")
        verdict = await waiting
        again = await world.call("edge.drain.cancel", request_id="a")
    assert verdict == told == again
    assert (verdict["verdict"], verdict["safe_to_power_off"]) == ("cancelled", False)
    assert verdict["reason"] == "the drain was cancelled"


async def test_a_drain_that_is_not_known_cannot_be_cancelled(
    tmp_path: Path, runtime: Runtime
) -> None:
    """The mistyped id is in the answer."""
    async with running(tmp_path, runtime) as buffer:
        with pytest.raises(RpcError, match="no drain is called nobody") as refused:
            await World(buffer, runtime).call("edge.drain.cancel", request_id="nobody")
    assert refused.value.kind == "not_found"


async def test_the_status_says_how_far_it_is_and_why_it_waits(
    tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal, safe, on one hub and on none; the rate once two measurements are there."""
    monkeypatch.setattr(drains, "MEASURE_SECONDS", 0.0)
    async with running(tmp_path, runtime) as buffer:
        world = World(buffer, runtime)
        await fill(buffer, Signal.LOGS, 6)
        waiting = asyncio.create_task(world.call("edge.drain", deadline_s=60, request_id="a"))
        await until(lambda: world.push.nudges)
        (stalled,) = (await world.call("edge.drain.status"))["running"]
        world.holds(Ranges(((1, 4),)), Ranges(((1, 1),)))
        await asyncio.sleep(0)
        (moving,) = (await world.call("edge.drain.status", request_id="a"))["running"]
        assert (await world.call("edge.drain.status", request_id="b"))["running"] == []
        await world.call("edge.drain.cancel", request_id="a")
        await waiting
    assert (stalled["eta_seconds"], stalled["bytes_per_s"]) == (None, 0.0)
    assert (stalled["request_id"], stalled["deadline_s"]) == ("a", 60.0)
    assert [moving[part]["chunks"] for part in ("goal", "safe", "one_hub", "unreached")] == [
        *(6, 1, 3, 2)
    ]
    assert moving["safe"]["records"] == 10
    assert moving["bytes_per_s"] > 0
    assert moving["eta_seconds"] > 0
    assert "on one hub only" in moving["reason"]


async def test_however_often_one_looks_the_disk_is_measured_at_the_same_pace(
    tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measuring reads what the push has to read as well."""
    monkeypatch.setattr(drains, "MEASURE_SECONDS", 3600.0)
    measured: list[Ranges] = []
    async with running(tmp_path, runtime) as buffer:
        world = World(buffer, runtime)
        await fill(buffer, Signal.LOGS, 2)
        measure = buffer.measure

        async def counted(seqs: Ranges) -> tuple[int, int]:
            measured.append(seqs)
            return await measure(seqs)

        monkeypatch.setattr(buffer, "measure", counted)
        waiting = asyncio.create_task(world.call("edge.drain", request_id="a"))
        await until(lambda: world.push.nudges)
        for _ in range(50):
            await world.call("edge.drain.status")
        assert len(measured) == 1
        await world.call("edge.drain.cancel", request_id="a")
        await waiting


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("edge.drain", {"deadline_s": -1}),
        ("edge.drain", {"deadline_s": 86401}),
        ("edge.drain", {"deadline_s": True}),
        ("edge.drain", {"deadline_s": float("nan")}),
        ("edge.drain", {"request_id": ""}),
        ("edge.drain", {"request_id": "x" * 201}),
        ("edge.drain", {"colour": "red"}),
        ("edge.drain.status", {"request_id": 7}),
        ("edge.drain.cancel", {}),
    ],
)
async def test_a_parameter_out_of_bounds_is_refused(
    tmp_path: Path, runtime: Runtime, method: str, params: dict[str, Any]
) -> None:
    """Before anything is begun."""
    async with running(tmp_path, runtime) as buffer:
        world = World(buffer, runtime)
        with pytest.raises(RpcError) as refused:
            await world.call(method, **params)
    assert refused.value.kind == "invalid_params"
    assert not world.drain.running


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
KEYS = st.sampled_from(["request_id", "deadline_s", "node"]) | st.text(max_size=5)


@given(st.sampled_from(["status", "cancel"]), st.dictionaries(KEYS, JSON, max_size=3))
def test_no_parameters_do_harm(what: str, params: dict[str, Any]) -> None:
    """Whatever a caller sends, the answer is one or a refusal."""
    hubs, push = Hubs("edge-1"), Push()
    methods = drain_methods(Drain(None, hubs, push, push), None)  # type: ignore[arg-type]

    async def ask() -> None:
        try:
            outcome: Any = await methods[f"edge.drain.{what}"](params)
        except RpcError as error:
            outcome = error.kind
        assert outcome in ["invalid_params", "not_found", {"running": [], "verdicts": []}]

    asyncio.run(ask())
