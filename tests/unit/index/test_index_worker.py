"""The process that writes the indexes may be killed at any time, and ends with its hub."""

import signal as signals
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import psutil
import pytest

from hub.store import retire
from tests.unit.index.fill_world import choose, index_of
from tests.unit.index.hub_stock import IDENTITY, HubStock, chunks_with, key_of


@pytest.fixture
def start(stock: HubStock) -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    started: list[subprocess.Popen[bytes]] = []

    def made() -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-P", "-m", "hub.index.worker", str(stock.folder), IDENTITY]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe))
        return started[-1]

    yield made
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()


def said(process: "subprocess.Popen[bytes]") -> dict[str, Any]:
    """The next line of the process."""
    assert process.stdout is not None
    line: dict[str, Any] = orjson.loads(process.stdout.readline())
    return line


def until_done(process: "subprocess.Popen[bytes]", chunks: int) -> None:
    """Read on until it has indexed so many chunks; it may look while they come."""
    done = 0
    while done < chunks:
        done += said(process)["done"]
    assert done == chunks


def tell(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()


async def test_the_process_goes_on_after_each_kill_and_ends_with_its_input(
    stock: HubStock, start: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    await stock.put(700)
    for _ in range(2):
        killed = start()
        assert said(killed)["done"] > 0
        killed.send_signal(signals.SIGKILL)
        killed.wait()
    last = start()
    while said(last)["behind_chunks"] != 0:
        pass
    await stock.put(2)
    tell(last)
    until_done(last, 2)
    assert chunks_with(stock.folder, "some") == set(range(1, 703))
    assert last.stdin is not None
    last.stdin.close()
    assert last.wait() == 0
    assert not psutil.pid_exists(last.pid)


async def test_a_process_whose_hub_was_killed_ends_by_itself(
    stock: HubStock, start: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    """Nobody reads what it says, and nobody will say anything any more."""
    await stock.put(30)
    process = start()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.close()
    process.stdin.close()
    assert process.wait() == 0


async def test_the_process_says_that_it_does_not_know_when_it_cannot_look(
    stock: HubStock, start: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    await stock.put(1)
    index_of(stock).mkdir(parents=True)
    process = start()
    line = said(process)
    assert (line["behind_chunks"], line["done"]) == (None, 0)
    assert "cannot be written now" in line["error"]
    index_of(stock).rmdir()
    tell(process)
    until_done(process, 1)


async def test_the_process_says_up_to_where_it_has_seen_the_store(
    stock: HubStock, start: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    """Also where chunks have gone: their numbers are not given out again."""
    await stock.put(3)
    await stock.put(2, 1)
    gone = await choose(stock, key_of(1))
    await stock.store.files.database.write(lambda connection: retire.take_out(connection, gone))
    process = start()
    assert said(process) == {"behind_chunks": 0, "seen": 5, "done": 3, "error": ""}
