"""The methods about checks, history and uptime, on a real file and with checks that do as they are told."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hub.nodes.check_methods import CheckMethods
from hub.nodes.check_params import PARAMS, SUMMARIES
from hub.nodes.check_rules import Outcome
from hub.nodes.summary import LABEL_KEYS_MAX, LABEL_VALUES_MAX, NAMED_MAX, NodeGist, summarize
from hub.store.check_time_table import (
    COARSE_MS,
    FINE_KEPT_MS,
    FINE_MS,
    CheckTime,
    add_runs,
    check_times,
    forget_check_times,
    purge_check_times,
)
from shared.errors import RpcError
from tests.unit.nodes.check_world import WALL_MS, World, tcp, world
from tests.unit.nodes.history_world import START_MS, Observer, new_database

assert WALL_MS == START_MS, "both worlds live at the same time"


@dataclass(slots=True)
class Desk:
    """The methods of a hub with what is behind them."""

    methods: CheckMethods
    hub: World
    observer: Observer
    nodes: dict[str, NodeGist]
    intended: list[tuple[str, str, object]]

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        return await self.methods.handlers()[method](params)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    connection = new_database(tmp_path / "hub.db")
    observer = Observer("hub-1", tmp_path / "hub.db", connection)
    observer.start(-3600)
    hub, intended = world(), list[tuple[str, str, object]]()
    nodes = {"edge-1": NodeGist("edge-1", "online"), "edge-2": NodeGist("edge-2", "offline")}

    async def query(work: Callable[[sqlite3.Connection], Any]) -> Any:
        return work(connection)

    async def intend(node: str, name: str, value: object) -> None:
        intended.append((node, name, value))

    async def gists() -> AsyncIterator[NodeGist]:
        for gist in nodes.values():
            yield gist

    share, runtime = observer.share, hub.checks.runtime
    methods = CheckMethods(
        hub.checks, share, runtime, gists, lambda: sorted(nodes), nodes.get, query, intend
    )
    yield Desk(methods, hub, observer, nodes, intended)
    connection.close()


async def test_every_method_has_params_and_a_summary(desk: Desk) -> None:
    """What is wired is described."""
    assert set(desk.methods.handlers()) == set(PARAMS) == set(SUMMARIES)


async def test_uptime_of_a_node_says_ratio_and_coverage(desk: Desk) -> None:
    """Half an hour well, ten minutes gone, and nothing known of the four hours before."""
    desk.observer.note(-2400, "online")
    desk.observer.note(-600, "offline")
    desk.observer.save(0)
    answer = await desk.ask("node.uptime", node="edge-1")
    assert (len(answer["buckets"]), answer["step_s"]) == (60, 300)
    total = answer["total"]
    assert (total["healthy_s"], total["offline_s"]) == (1800, 600)
    assert total["ratio"] == 0.75
    assert 0.13 < total["coverage"] < 0.14
    assert answer["buckets"][-1]["health"] == "offline"
    assert answer["buckets"][0]["health"] == "unknown"
    assert answer["buckets"][0]["ratio"] is None
    days = (await desk.ask("node.uptime", node="edge-1", scale="24h"))["buckets"]
    assert len(days) == 90
    assert days[-1]["start"].endswith("T00:00:00Z")


async def test_history_is_told_newest_first_with_its_observer(desk: Desk) -> None:
    """With who said it, why, and whether there is more."""
    for turn in range(5):
        desk.observer.note(-500 + 100 * turn, "late" if turn % 2 else "online")
    desk.observer.note(-50, "failed", subject="web")
    desk.observer.save(0)
    answer = await desk.ask("node.history", node="edge-1", limit=2)
    assert answer["more"] is True
    first, second = answer["items"]
    assert (first["check"], first["state"], first["seconds"]) == ("web", "failed", 50)
    assert (second["check"], second["state"], second["seconds"]) == (None, "online", 100)
    assert (second["hub"], second["reason"]) == ("hub-1", "as hub-1 sees it")
    only = await desk.ask("node.history", node="edge-1", check="web")
    assert [each["state"] for each in only["items"]] == ["failed"]


async def test_history_has_the_times_of_checks_in_steps_that_are_kept(desk: Desk) -> None:
    """5 minutes for a day, days for longer times."""
    desk.hub.checks.plan("edge-1", tcp("web"), 1e9)
    runs = [("edge-1", "web", START_MS - 1000, took) for took in (2000, 4000, None)]
    add_runs(desk.observer.connection, runs)
    for start, step in (("-1h", 300), ("-30d", 86_400)):
        latency = (await desk.ask("node.history", node="edge-1", start=start))["latency"]
        (bucket,) = latency["checks"]["web"]
        assert (latency["step_s"], bucket["runs"], bucket["failures"]) == (step, 3, 1)
        assert (bucket["least_ms"], bucket["average_ms"], bucket["greatest_ms"]) == (2, 3, 4)


async def test_a_check_on_demand_says_how_each_went(desk: Desk) -> None:
    """All of them, and whether all is well."""
    desk.hub.checks.plan("edge-1", tcp("a", "b"), 1e9)
    desk.hub.script.answer = lambda check, host: Outcome(check.name == "a", check.name, 0.0015)
    answer = await desk.ask("node.check", node="edge-1")
    assert (answer["hub"], answer["ok"]) == ("hub-1", False)
    told = [(item["check"], item["state"], item["target"]) for item in answer["items"]]
    assert told == [("a", "ok", "10.0.0.7:22"), ("b", "failed", "10.0.0.7:22")]
    assert answer["items"][0]["took_ms"] == 1.5


async def test_checks_are_set_whole_or_not_at_all(desk: Desk) -> None:
    """A wrong one is named, and nothing of the list is taken."""
    answer = await desk.ask("node.setChecks", node="edge-1", checks=tcp("a"))
    assert desk.intended == [("edge-1", "checks", tcp("a"))]
    assert answer["checks"] == tcp("a")
    with pytest.raises(RpcError, match="check 2") as caught:
        await desk.ask("node.setChecks", node="edge-1", checks=[*tcp("a"), {"name": "b"}])
    assert caught.value.kind == "invalid_params"
    assert len(desk.intended) == 1
    await desk.ask("node.setChecks", node="edge-1")
    assert desk.intended[1:] == [("edge-1", "checks", [])]


@pytest.mark.parametrize("method", ["node.check", "node.history", "node.uptime"])
async def test_a_node_that_nobody_knows_is_not_found(desk: Desk, method: str) -> None:
    """Also one without checks, when they are asked for."""
    with pytest.raises(RpcError, match="edge-9") as caught:
        await desk.ask(method, node="edge-9")
    assert caught.value.kind == "not_found"


async def test_the_bars_of_many_nodes_come_in_pages(desk: Desk) -> None:
    """By name, each page with where it ended."""
    desk.observer.note(-600, "online", "edge-2")
    desk.observer.save(0)
    first = await desk.ask("fleet.uptime", limit=1)
    assert [item["node"] for item in first["items"]] == ["edge-1"]
    second = await desk.ask("fleet.uptime", limit=1, after=first["cursor"])
    assert [item["node"] for item in second["items"]] == ["edge-2"]
    assert (second["cursor"], second["nodes"]) == (None, 2)
    assert sum(bar[0] for bar in second["items"][0]["bars"]) == 600
    assert (await desk.ask("fleet.uptime", text="EDGE-2"))["nodes"] == 1


async def test_the_summary_names_the_worst_first(desk: Desk) -> None:
    """Those that are down now and those that were; a removed node's past counts nothing."""
    for node, gone_at in (("edge-1", -300), ("edge-2", -3000), ("edge-removed", -3100)):
        desk.observer.note(-3200, "online", node)
        desk.observer.note(gone_at, "offline", node)
    desk.observer.note(-200, "online", "edge-1")
    desk.observer.save(0)
    answer = await desk.ask("fleet.summary")
    assert answer["states"] == {"offline": 1, "online": 1}
    assert [each["node"] for each in answer["uptime"]["worst"]] == ["edge-2", "edge-1"]
    assert answer["uptime"]["weighed"] == 2


def test_a_summary_is_bounded_whatever_the_nodes_say() -> None:
    """10,000 nodes with names and labels of their own make a short answer."""
    gists = [
        NodeGist(
            f"edge-{number:05}",
            "online",
            True,
            {"role": "db" if number % 3 else "web", f"key-{number % 40}": str(number)},
            2,
            ("ssh",),
            True,
        )
        for number in range(10_000)
    ]
    answer = summarize(reversed(gists))
    assert answer["checks"] == {"all": 20_000, "failing": 10_000}
    assert (answer["label_keys"], len(answer["labels"])) == (41, LABEL_KEYS_MAX)
    assert [row["nodes"] for row in answer["labels"]["role"]] == [6666, 3334]
    rows = answer["labels"]["key-0"]
    assert (len(rows), rows[-1]["values"]) == (LABEL_VALUES_MAX + 1, 250 - LABEL_VALUES_MAX)
    for key in ("draining", "failing", "disputed"):
        assert (answer[key]["count"], len(answer[key]["nodes"])) == (10_000, NAMED_MAX)
    assert answer["draining"]["nodes"][0] == "edge-00000"


@pytest.fixture
def times(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = new_database(tmp_path / "hub.db")
    yield connection
    connection.close()


def test_runs_that_failed_have_no_time(times: sqlite3.Connection) -> None:
    """Whatever the order in which they come."""
    for subject, took in (("a", (None, 5, 3)), ("b", (5, 3, None)), ("c", (None,))):
        add_runs(times, [("edge-1", subject, 1000, each) for each in took])
    for subject in "ab":
        assert check_times(times, "edge-1", subject, FINE_MS, 0) == [CheckTime(0, 3, 1, 3, 8, 5)]
    (only,) = check_times(times, "edge-1", "c", FINE_MS, 0)
    assert only.average_us is None


def test_old_times_go_the_fine_ones_first(times: sqlite3.Connection) -> None:
    """In slices, and all those of a node that is removed."""
    for hour in range(24 * 10):
        add_runs(times, [("edge-1", "a", hour * 3_600_000, 10)])
    now_ms = 10 * COARSE_MS
    assert purge_check_times(times, now_ms, 90 * COARSE_MS, 50) == 50
    while purge_check_times(times, now_ms, 90 * COARSE_MS, 50):
        pass
    assert len(check_times(times, "edge-1", "a", FINE_MS, 0)) == FINE_KEPT_MS // 3_600_000
    assert len(check_times(times, "edge-1", "a", COARSE_MS, 0)) == 10
    forget_check_times(times, "edge-1")
    assert check_times(times, "edge-1", "a", COARSE_MS, 0) == []
