"""An edge forgets a hub that people have removed, and keeps one that is only down."""

from pathlib import Path

import pytest

from edge.agent import Agent
from tests.api.conftest import World
from tests.api.mesh_world import running, until
from tests.api.test_cloned_edges import edge_at
from tests.api.test_removed_hubs import is_down, names, three
from tests.api.test_taken_over_hubs import Cluster, cluster

__all__ = ["cluster"]


def known_to(edge: Agent) -> set[str]:
    """The hubs that have told the edge their names."""
    return {view.hub_id for view in edge.hubs.views.values()}


def beats(hub: World) -> int:
    """How many beats the hub has taken in."""
    return hub.counted("heartbeats")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Edges forget after a moment, and meanwhile they beat all the time."""
    monkeypatch.setattr("edge.hubs.FORGET_SECONDS", 0.5)


async def test_a_removed_hub_is_forgotten_by_edges_that_learned_of_it(
    cluster: Cluster, tmp_path: Path
) -> None:
    one, two, other = await three(cluster)
    (tmp_path / "edge").mkdir()
    async with running(one, two, other), edge_at(tmp_path / "edge", cluster.apps) as edge:
        await until(lambda: known_to(edge) == {"hub-1", "hub-2", "hub-3"})
        async with cluster.away("hub-3"):
            edge.heartbeats.beat_now()
            await is_down(one, "hub-3")
            enough = (
                beats(one) + 20,
                beats(two) + 20,
            )  # A second, and more: they are twenty a second.

            def asked() -> bool:
                edge.heartbeats.beat_now()
                return beats(one) >= enough[0] and beats(two) >= enough[1]

            await until(asked)
            assert known_to(edge) == {"hub-1", "hub-2", "hub-3"}
            await one.call("peers.remove", hub="hub-3")
            await until(lambda: names(one) == {"hub-2"} and names(two) == {"hub-1"})

            def forgotten() -> bool:
                edge.heartbeats.beat_now()
                return known_to(edge) == {"hub-1", "hub-2"}

            await until(forgotten)
            told = await edge.answer("edge.buffer", {})
            assert sorted(each["hub_id"] for each in told["hubs"]) == ["hub-1", "hub-2"]
        await two.call("peers.admit", hub="hub-3")

        def back() -> bool:
            edge.heartbeats.beat_now()
            return known_to(edge) == {"hub-1", "hub-2", "hub-3"}

        await until(back)
