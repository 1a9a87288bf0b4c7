"""The ledger of a hub: what is held, lost, missing or contradicted is told, and two hubs agree on it."""

import asyncio
import sqlite3
from dataclasses import dataclass, field
from typing import Any

import pytest

from hub.store.files import FILE_NAME
from shared.records import Chunk, Gap, Signal
from tests.api.conftest import ADMIN_TOKEN, T0, Log, World, bearer
from tests.hub_files import day_files

T0_MS = T0 // 1_000_000
KEY = ("edge-1", "e1")


def gap(first: int, last: int, reason: str = "shed", records: int = 200, at_ms: int = T0_MS) -> Gap:
    return Gap("logs", reason, ((first, last),), last - first + 1, records, 4000, at_ms, at_ms)


@dataclass
class Edge:
    """An edge that sheds, splits and begins anew, as a log."""

    log: Log = field(default_factory=Log)

    def shed(self, count: int) -> tuple[int, int]:
        """Make chunks that no hub will ever get; returns their numbers."""
        first = self.log.seq + 1
        self.log.chunks(count)
        return first, self.log.seq

    def declare(self, *gaps: Gap, **changes: Any) -> Chunk:
        """The chunk that says what was lost."""
        return self.log.chunk(1, gaps=gaps, signal=Signal.EVENTS, **changes)


async def epoch_of(world: World, number: int = -1) -> dict[str, Any]:
    shown = await world.call("ledger.show", node="edge-1")
    epoch: dict[str, Any] = shown["epochs"][number]
    return epoch


async def test_a_declared_loss_is_counted_and_the_log_is_complete(world: World) -> None:
    edge = Edge()
    before = edge.log.chunks(3)
    lost = edge.shed(2)
    await world.push([*before, edge.declare(gap(*lost))])
    epoch = await epoch_of(world)
    assert epoch["held"]["ranges"] == [[1, 3], [6, 6]]
    assert epoch["by_signal"]["logs"]["records"] == 9
    assert epoch["by_signal"]["events"]["chunks"] == 1
    (told,) = epoch["gaps"]
    assert (told["reason"], told["records"], told["ranges"]) == ("shed", 200, [[4, 5]])
    assert epoch["complete"]
    assert epoch["summary"] == (
        "edge-1 epoch e1: 1..6 complete, 1 declared gap [4-5 shed logs, 200 records]"
    )


async def test_what_is_missing_without_a_word_is_a_hole_until_it_comes(world: World) -> None:
    one, two, three = Log().chunks(3)
    await world.push([one, three])
    assert (await epoch_of(world))["holes"] == {"count": 1, "ranges": [[2, 2]]}
    assert not (await world.call("ledger.show", node="edge-1"))["complete"]
    await world.push([two])
    assert (await epoch_of(world))["holes"]["count"] == 0


async def test_a_declared_chunk_that_comes_all_the_same_fills_its_gap(world: World) -> None:
    edge = Edge()
    late = edge.log.chunk()
    await world.push([edge.declare(gap(1, 1))])
    assert (await epoch_of(world))["gaps_filled"] == 0
    await world.push([late])
    epoch = await epoch_of(world)
    assert (epoch["gaps_filled"], epoch["gaps"]) == (1, [])


async def test_of_a_gap_that_is_filled_in_part_only_the_rest_is_lost(world: World) -> None:
    """An edge may give up chunks whose bytes are on their way already."""
    edge = Edge()
    first, second = edge.log.chunks(2)
    await world.push([first, edge.declare(gap(1, 2, records=first.header.records + 7))])
    await world.push([edge.log.chunk()])
    epoch = await epoch_of(world)
    (told,) = epoch["gaps"]
    assert (told["records"], told["chunks"], told["ranges"]) == (7, 1, [[2, 2]])
    coverage = (await world.call("log.query"))["coverage"]["gaps"]
    assert coverage["records"] == 7
    await world.push([second])
    assert ((await epoch_of(world))["gaps_filled"], (await epoch_of(world))["gaps"]) == (1, [])


async def test_a_new_epoch_names_the_one_before_and_takes_over_what_it_lacks(world: World) -> None:
    old = Log()
    await world.push([*old.chunks(3), *old.chunks(2)[1:]])
    new = Edge(Log(epoch="e2"))
    await world.push([new.declare(predecessor=("e1", 9)), *new.log.chunks(2)])
    ended, epoch = await epoch_of(world, 0), await epoch_of(world)
    assert epoch["predecessor"] == {
        "epoch": "e1",
        "last_seq": 9,
        "held": 4,
        "carried_over": 5,
        "beyond": [],
    }
    assert (ended["succeeded"], ended["holes"]["count"], ended["complete"]) == (True, 0, True)


async def test_all_of_it_is_known_again_after_the_hub_is_opened_again(world: World) -> None:
    edge = Edge()
    await world.push([edge.log.chunk(), edge.declare(gap(1, 1)), *edge.log.chunks(2)[1:]])
    await world.push([Log().chunk(records=9)])
    await world.push([Edge(Log(epoch="e2")).declare(predecessor=("e1", 4))])
    before = world.hub.store.losses
    holes = world.hub.store.holes
    await world.hub.store.open()
    assert world.hub.store.losses == before
    assert world.hub.store.holes == holes
    assert (before.conflicts, before.records_by_reason["shed"]) == (1, 200)


async def test_the_sums_of_the_edge_are_shown_with_their_balance(world: World) -> None:
    told = {"produced": 10, "safe": 4, "buffered": 1, "accepted": 2, "shed": 1, "rejected": 1}
    await world.beat("edge-1", buffer={"ledger": {**told, "by_signal": {"logs": told}}})
    edge = (await world.call("ledger.show", node="edge-1"))["edge"]
    assert (edge["balance"], edge["by_signal"]["logs"]["balance"]) == (1, 1)
    assert "1 records are nowhere" in edge["note"]
    await world.beat("edge-1", beat=2, buffer={"ledger": {**told, "damaged": 1}})
    assert (await world.call("ledger.show", node="edge-1"))["edge"]["balance"] == 0


@pytest.mark.parametrize("told", [None, 7, [], "x", {"produced": "all"}, {"by_signal": [1]}])
async def test_odd_sums_of_an_edge_harm_nobody(world: World, told: Any) -> None:
    assert (await world.beat("edge-1", buffer={"ledger": told})).status_code == 200
    await world.call("ledger.show", node="edge-1")
    assert (await world.refusal("ledger.show", node="edge-9"))["data"]["kind"] == "not_found"
    await world.still_works()


# ---- coverage and metrics


async def test_every_answer_names_the_losses_of_its_nodes_and_time(world: World) -> None:
    edge = Edge()
    lost = edge.shed(1)
    old = edge.shed(1)
    await world.push([edge.declare(gap(*lost), gap(*old, "damaged", 7, at_ms=T0_MS - 86_400_000))])

    async def gaps(method: str = "log.query", **asked: Any) -> Any:
        return (await world.call(method, **asked))["coverage"]["gaps"]

    both = {"count": 2, "records": 207, "reasons": {"damaged": 7, "shed": 200}, "nodes": ["edge-1"]}
    assert await gaps() == both
    assert await gaps("node.list") == both
    assert (await gaps(nodes=["edge-1"], start=T0 / 1e9 - 60))["reasons"] == {"shed": 200}
    assert (await gaps(end=T0 / 1e9 - 60))["reasons"] == {"damaged": 7}
    assert (await gaps(nodes=["edge-2"]))["count"] == 0
    assert (await gaps("metric.names"))["count"] == 0  # The last hour, unless told otherwise.
    assert (await gaps("metric.names", start=0))["count"] == 2


async def test_the_sums_of_all_edges_are_in_the_metrics(world: World) -> None:
    """Also how many of them do not add up, for an alert."""
    sums = {"produced": 9, "safe": 4, "accepted": 2, "buffered": 3}
    await world.beat("edge-1", buffer={"ledger": sums})
    await world.beat("edge-2", buffer={"ledger": {**sums, "shed": 7, "produced": 16}})
    await world.beat("edge-3", buffer={"ledger": {**sums, "safe": 3}})
    await world.beat("edge-4", buffer={"ledger": ["odd"]})
    text = (await world.client.get("/metrics", headers=bearer(ADMIN_TOKEN))).text
    assert 'headwater_hub_ledger_records{fate="produced"} 34.0' in text
    assert 'headwater_hub_ledger_records{fate="shed"} 7.0' in text
    assert "headwater_hub_unbalanced_ledgers 1.0" in text


async def test_the_totals_are_in_the_metrics(world: World) -> None:
    edge = Edge()
    lost = edge.shed(1)
    invented = Gap("logs", "because I say so", (lost,), 1, 5, 1, 1, 1)
    await world.push([edge.declare(gap(*lost), invented), *edge.log.chunks(3)[2:]])
    await world.push([Log().chunk(records=9, previous_hash=b"y" * 32, seq=2)])
    text = (await world.client.get("/metrics", headers=bearer(ADMIN_TOKEN))).text
    assert 'headwater_hub_gap_records{reason="shed"} 200.0' in text
    assert 'headwater_hub_gap_records{reason="other"} 5.0' in text
    assert "headwater_hub_undeclared_holes 2.0" in text
    assert "headwater_hub_conflicts 1.0" in text


# ---- verify


def spoil(world: World, statement: str, *values: Any) -> None:
    """Change the hub's disk behind its back: its hub.db, or the day files when bodies are meant."""
    folder = world.hub.config.folder
    files = day_files(folder) if " body " in statement else [folder / FILE_NAME]
    for file in files:
        connection = sqlite3.connect(file)
        with connection:
            connection.execute(statement, values)
        connection.close()


async def verify(world: World, **asked: Any) -> tuple[str, int, list[dict[str, Any]]]:
    """The last verdict, how many pages there were, and all faults."""
    faults: list[dict[str, Any]] = []
    pages, cursor = 0, None
    while True:
        given = {**asked, "cursor": cursor} if cursor else asked
        page = await world.call("ledger.verify", node="edge-1", **given)
        pages += 1
        faults += [fault for epoch in page["epochs"] for fault in epoch["faults"]]
        cursor = page["cursor"]
        if cursor is None:
            return page["verdict"], pages, faults


async def test_a_sound_log_is_verified_page_by_page(world: World, monkeypatch: Any) -> None:
    monkeypatch.setattr("hub.audit.PAGE_CHUNKS", 3)
    await world.push(Log().chunks(7))
    await world.push(Log(epoch="e2").chunks(4))
    assert await verify(world) == ("verified", 4, [])
    page = await world.call("ledger.verify", node="edge-1")
    assert (page["verdict"], page["cursor"]) == ("unfinished", "4:e1")


async def test_a_part_of_a_log_can_be_verified_alone(world: World) -> None:
    await world.push(Log().chunks(7))
    await world.push(Log(epoch="e2").chunks(4))
    page = await world.call("ledger.verify", node="edge-1", epoch="e1", **{"from": 3, "to": 5})
    (epoch,) = page["epochs"]
    assert (epoch["epoch"], epoch["verified"]) == ("e1", [[3, 5]])


async def test_holes_are_no_fault_but_no_proof_either(world: World) -> None:
    one, _, three = Log().chunks(3)
    await world.push([one, three])
    assert await verify(world) == ("holes", 1, [])


SPOILT: dict[str, tuple[str, str]] = {
    "a body": ("UPDATE body SET body = x'00' WHERE arrival = 4", "the body has another hash"),
    "a body that is gone": ("DELETE FROM body WHERE arrival = 4", "is not in the day file"),
    "a header": (
        "UPDATE chunk SET header = (SELECT header FROM chunk WHERE seq = 5) WHERE seq = 4",
        "the header names another number",
    ),
    "a header of garbage": ("UPDATE chunk SET header = x'c1' WHERE seq = 4", "cannot be read"),
    "a noted hash": ("UPDATE chunk SET hash = x'00' WHERE seq = 4", "another hash than when"),
    "a chunk that is gone": ("DELETE FROM chunk WHERE seq = 4", "not there"),
}


@pytest.mark.parametrize("name", SPOILT)
@pytest.mark.parametrize("page_chunks", [1, 3, 100])
async def test_damage_on_the_disk_is_found_where_it_is(
    world: World, monkeypatch: Any, name: str, page_chunks: int
) -> None:
    statement, reason = SPOILT[name]
    monkeypatch.setattr("hub.audit.PAGE_CHUNKS", page_chunks)
    await world.push(Log().chunks(7))
    spoil(world, statement)
    _, _, faults = await verify(world)
    assert faults[0]["first"] == faults[0]["last"] == 4
    assert reason in faults[0]["fault"]
    while world.hub.store.suspects:  # What was found is mended at once.
        await asyncio.sleep(0.01)
    await world.still_works()


async def test_a_break_in_the_chain_is_found_though_every_hash_is_right(world: World) -> None:
    log = Log()
    await world.push(log.chunks(3))
    stranger = Log(seq=1, head=b"another past".ljust(32)).chunk()
    spoil(
        world,
        "UPDATE chunk SET header = ?, hash = ? WHERE seq = 2",
        *(stranger.header_bytes, stranger.hash),
    )
    spoil(world, "UPDATE body SET body = ? WHERE arrival = 2", stranger.body)
    page = await world.call("ledger.verify", node="edge-1")
    assert page["verdict"] == "broken"
    assert [fault["first"] for fault in page["epochs"][0]["faults"]] == [2, 3]


@pytest.mark.parametrize("cursor", ["x", "1:e9", ":e1", "-1:e1", "1" * 30 + ":e1", "²:e1"])
async def test_a_cursor_that_was_never_given_out_is_refused(world: World, cursor: str) -> None:
    await world.push(Log().chunks(1))
    error = await world.refusal("ledger.verify", node="edge-1", cursor=cursor)
    assert error["data"]["parameter"] == "cursor"


async def test_a_hub_that_nobody_knows_cannot_be_asked(world: World) -> None:
    error = await world.refusal("ledger.show", node="edge-1", hub="hub-9")
    assert error["data"]["kind"] == "not_found"


# ---- pages


async def test_the_page_of_a_node_and_its_ledger_show_it(world: World) -> None:
    edge = Edge()
    lost = edge.shed(2)
    await world.beat("edge-1")
    await world.push([edge.declare(gap(*lost))])
    token = world.hub.guard.check_login(ADMIN_TOKEN)
    world.client.cookies.set(world.hub.guard.cookie_name, token or "")
    for path in ("/nodes/edge-1", "/nodes/edge-1/ledger"):
        page = await world.client.get(path, headers={"accept": "text/html"})
        assert page.status_code == 200
        assert "200 records of logs, shed" in page.text
    twin = (await world.client.get("/nodes/edge-1/ledger.json")).json()
    assert twin["epochs"][0]["gaps"][0]["reason"] == "shed"
