"""Questions are answered by other processes, and one that hangs or dies takes no other with it."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from hub.query_pool import WAITING_MAX, QueryPool
from shared.errors import RpcError

WORKER = """
import os, struct, sys, time
import orjson
while True:
    head = sys.stdin.buffer.read(4)
    if len(head) < 4:
        break
    asked = orjson.loads(sys.stdin.buffer.read(struct.unpack("<I", head)[0]))
    answer = {"suspects": asked["params"].get("suspects", {}), "result": {"pid": os.getpid()}}
    match asked["method"]:
        case "refuse":
            answer = {"suspects": {}, "error": ["quota", "too much", {"parameter": "x"}]}
        case "hang":
            time.sleep(600)
        case "die":
            os._exit(1)
        case "die once":
            path = asked["params"]["path"]
            if not os.path.exists(path):
                open(path, "w").close()
                os._exit(1)
        case "babble":
            answer["result"]["text"] = "x" * 3_000_000
    body = orjson.dumps(answer)
    sys.stdout.buffer.write(struct.pack("<I", len(body)) + body)
    sys.stdout.buffer.flush()
"""


@pytest.fixture
async def pool() -> AsyncIterator[QueryPool]:
    made = QueryPool([sys.executable, "-c", WORKER], 2, lambda suspects: None)
    yield made
    await made.close()


async def test_a_process_answers_one_question_after_the_other(pool: QueryPool) -> None:
    pids = {(await pool.ask("m", {}, 0))["pid"] for _ in range(5)}
    assert len(pids) == 1


async def test_no_more_processes_run_than_are_allowed(pool: QueryPool) -> None:
    answers = await asyncio.gather(*(pool.ask("m", {}, 0) for _ in range(20)))
    assert len({answer["pid"] for answer in answers}) <= 2


async def test_an_answer_of_megabytes_comes_whole(pool: QueryPool) -> None:
    assert len((await pool.ask("babble", {}, 0))["text"]) == 3_000_000


async def test_a_refusal_is_raised_here_as_it_was_there(pool: QueryPool) -> None:
    with pytest.raises(RpcError, match="too much") as caught:
        await pool.ask("refuse", {}, 0)
    assert (caught.value.kind, caught.value.data) == ("quota", {"parameter": "x"})


async def test_a_question_that_takes_too_long_is_ended_with_its_process(pool: QueryPool) -> None:
    before = (await pool.ask("m", {}, 0))["pid"]
    pool.answer_seconds_max = 0.3
    with pytest.raises(RpcError, match="narrow the question"):
        await pool.ask("hang", {}, 0)
    assert not psutil.pid_exists(before)
    pool.answer_seconds_max = 30.0
    assert (await pool.ask("m", {}, 0))["pid"] != before


async def test_a_question_outlives_the_process_that_died_over_it(
    pool: QueryPool, tmp_path: Path
) -> None:
    assert (await pool.ask("die once", {"path": str(tmp_path / "once")}, 0))["pid"]


async def test_a_question_that_kills_every_process_is_given_up(pool: QueryPool) -> None:
    with pytest.raises(RpcError, match="ended twice"):
        await pool.ask("die", {}, 0)
    assert (await pool.ask("m", {}, 0))["pid"]


async def test_a_caller_that_leaves_takes_its_process_along(pool: QueryPool) -> None:
    """Else the next caller would get the answer to this question."""
    before = (await pool.ask("m", {}, 0))["pid"]
    asking = asyncio.ensure_future(pool.ask("hang", {}, 0))
    while pool.processes:
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert not psutil.pid_exists(before)
    assert (await pool.ask("m", {}, 0))["pid"] != before


async def test_more_questions_than_can_wait_are_refused_at_once(pool: QueryPool) -> None:
    waiting = [asyncio.ensure_future(pool.ask("hang", {}, 0)) for _ in range(WAITING_MAX)]
    while pool._waiting < WAITING_MAX:
        await asyncio.sleep(0)
    with pytest.raises(RpcError, match="wait already"):
        await pool.ask("m", {}, 0)
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_what_gave_errors_is_told(pool: QueryPool) -> None:
    heard: list[Any] = []
    pool.on_suspects = heard.append
    await pool.ask("m", {"suspects": {"2026-11-21.logs.db": "torn"}}, 0)
    assert heard == [{"2026-11-21.logs.db": "torn"}]


async def test_processes_that_nobody_needs_end_but_for_one(pool: QueryPool) -> None:
    answers = await asyncio.gather(*(pool.ask("m", {}, 0) for _ in range(20)))
    before = {answer["pid"] for answer in answers}
    pool.idle_seconds_max = 0.01
    running = asyncio.ensure_future(pool.run())
    while sum(map(psutil.pid_exists, before)) > 1:
        await asyncio.sleep(0.01)
    running.cancel()
    assert pool.processes == 1


async def test_a_process_is_ready_before_anybody_asks(pool: QueryPool) -> None:
    running = asyncio.ensure_future(pool.run())
    while not pool.processes:
        await asyncio.sleep(0.01)
    running.cancel()
