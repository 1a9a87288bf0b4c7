"""A header that is damaged in hub.db makes answers partial until the hub has put it back."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from hub.replicate import LogKey
from shared.ranges import Ranges
from tests.api.conftest import Log, World

KEY: LogKey = ("edge-1", "e1")


async def test_an_answer_is_partial_until_the_header_is_whole_again(
    world: World, tmp_path: Path
) -> None:
    log = Log()
    await world.beat("edge-1")
    await world.push([log.chunk(), log.chunk(), log.chunk()])
    whole = await world.call("log.query", nodes=["edge-1"])
    assert (len(whole["items"]), whole["coverage"]["partial"]) == (9, False)
    with closing(sqlite3.connect(tmp_path / "hub.db")) as connection, connection:
        connection.execute("UPDATE chunk SET header = x'00' WHERE origin = 'edge-1' AND seq = 2")
    answer = await world.call("log.query", nodes=["edge-1"])
    assert (len(answer["items"]), answer["coverage"]["partial"]) == (6, True)
    assert answer["scanned"]["unreadable_chunks"] == 1
    while (await world.call("log.query", nodes=["edge-1"]))["coverage"]["partial"]:
        await asyncio.sleep(0)
    again = await world.call("log.query", nodes=["edge-1"])
    assert again["items"] == whole["items"]
    while not world.counted("chunks_healed"):  # It is counted right after it is on the disk.
        await asyncio.sleep(0)
    assert world.counted("chunks_healed") == 1
    assert world.hub.store.have(KEY) == Ranges(((1, 3),))
    while not (found := await world.call("event.list", type="store.healed"))["items"]:
        await asyncio.sleep(0)
    assert found["items"][0]["attributes"]["chunks"] == 1
