"""The calls about dead letters, on a real buffer: list, show, retry, discard."""

from pathlib import Path
from typing import Any

import pytest

from edge.buffer import Buffer
from edge.letter_calls import letter_methods
from shared.benchmarks.bodies import log_body
from shared.errors import RpcError
from shared.otlp import read_part
from shared.ranges import Ranges
from shared.records import KIB, Signal
from shared.runtime import Runtime
from tests.unit.core.buffers import all_chunks, fill, noise, running


async def ask(buffer: Buffer, verb: str, **params: Any) -> dict[str, Any]:
    return await letter_methods(buffer)[f"edge.dead_letters.{verb}"](params)


async def with_letters(buffer: Buffer, count: int) -> None:
    """So many dead letters of ten log records each, numbered from one."""
    await fill(buffer, Signal.LOGS, count)
    for seq in range(1, count + 1):
        await buffer.bury(seq, f"HTTP 400: no {seq}")


async def test_they_are_listed_with_the_reason_of_the_hub(tmp_path: Path, runtime: Runtime) -> None:
    async with running(tmp_path, runtime) as buffer:
        assert await ask(buffer, "list") == {"items": [], "total": 0}
        await with_letters(buffer, 3)
        answer = await ask(buffer, "list", limit=2, node="edge-1")
        assert answer["total"] == 3
        assert [(each["seq"], each["reason"]) for each in answer["items"]] == [
            (1, "HTTP 400: no 1"),
            (2, "HTTP 400: no 2"),
        ]
        assert answer["items"][0]["records"] == 10


async def test_one_is_shown_with_its_first_records(tmp_path: Path, runtime: Runtime) -> None:
    async with running(tmp_path, runtime) as buffer:
        body = log_body(50, 0, 1_700_000_000_000_000_000)
        await buffer.append(read_part(Signal.LOGS, "application/x-protobuf", body))
        await buffer.bury(1, "no")
        answer = await ask(buffer, "show", seq=1, limit=3)
        assert (answer["seq"], answer["records"], len(answer["sample"])) == (1, 50, 3)
        assert answer["sample"][0]["body"]


async def test_what_cannot_be_read_is_said_in_its_place(tmp_path: Path, runtime: Runtime) -> None:
    async with running(tmp_path, runtime) as buffer:
        await buffer.append(noise(Signal.METRICS, KIB))
        await buffer.bury(1, "no")
        ((name, words),) = (await ask(buffer, "show", seq=1))["sample"][0].items()
        assert (name, bool(words)) == ("unreadable", True)


async def test_retried_ones_are_in_the_log_again_with_the_same_bytes(
    tmp_path: Path, runtime: Runtime
) -> None:
    async with running(tmp_path, runtime) as buffer:
        await with_letters(buffer, 3)
        letter = await buffer.dead_letter(2)
        assert await ask(buffer, "retry", seqs=[2, 99]) == {"retried": 1}
        assert 2 in buffer.seqs
        assert letter in await all_chunks(buffer)
        assert await ask(buffer, "retry", seqs=[2]) == {"retried": 0}
        assert await ask(buffer, "retry", all=True) == {"retried": 2}
        assert Ranges(((1, 3),)) - buffer.seqs == Ranges()
        assert buffer.books.imbalance() == {}


async def test_discarded_ones_are_gone_and_declared(tmp_path: Path, runtime: Runtime) -> None:
    async with running(tmp_path, runtime) as buffer:
        await with_letters(buffer, 2)
        assert await ask(buffer, "discard", all=True, request_id="again") == {"discarded": 2}
        assert await ask(buffer, "list") == {"items": [], "total": 0}
        gaps = [gap for chunk in await all_chunks(buffer) for gap in chunk.header.gaps]
        assert [gap.reason for gap in gaps].count("discarded") >= 1
        assert buffer.totals.by_signal["logs"].rejected.records == 20
        assert buffer.books.imbalance() == {}


@pytest.mark.parametrize(
    ("verb", "params", "kind"),
    [
        ("list", {"limit": 0}, "invalid_params"),
        ("list", {"lmit": 5}, "invalid_params"),
        ("show", {}, "invalid_params"),
        ("show", {"seq": 7}, "not_found"),
        ("retry", {}, "invalid_params"),
        ("retry", {"seqs": [1], "all": True}, "invalid_params"),
        ("discard", {"seqs": [0]}, "invalid_params"),
    ],
)
async def test_a_wrong_question_is_told_what_is_wrong(
    tmp_path: Path, runtime: Runtime, verb: str, params: dict[str, Any], kind: str
) -> None:
    async with running(tmp_path, runtime) as buffer:
        with pytest.raises(RpcError) as caught:
            await ask(buffer, verb, **params)
        assert caught.value.kind == kind
