"""An export holds all that was asked for, or there is none."""

import io
import json
import os
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.buffer import Buffer
from edge.offline_export import FORMATS, read_chunks
from edge.offline_query import Account
from shared.errors import BadInput
from shared.otlp import read_part
from shared.records import KIB, Chunk, Signal
from tests.unit.core.buffers import all_chunks, noise
from tests.unit.offline.conftest import Run
from tests.unit.offline.parts import T0, log_part, metric_part, span_part
from tests.unit.otlp.samples import JSON

Live = Callable[[Callable[[Buffer], Awaitable[object]]], Awaitable[None]]


async def some(buffer: Buffer) -> None:
    """A log line, a point, a span, and a body that is JSON already."""
    await buffer.append(log_part("hello", T0))
    await buffer.append(metric_part("depth", 2.0, T0))
    await buffer.append(span_part("GET", T0))
    request = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "js"}}]}]}]}
    await buffer.append(read_part(Signal.LOGS, JSON, json.dumps(request).encode()))


async def test_json_lines_are_otlp_requests_that_can_be_sent_again(
    lived: Live, run: Run, tmp_path: Path
) -> None:
    """One request on each line, with ids in hex and records that are the same."""
    await lived(some)
    target = tmp_path / "out.jsonl"
    result = run("export", str(target))
    assert (result.exit_code, result.stderr) == (0, "exported 4 chunks with 4 records\n")
    lines = [json.loads(line) for line in target.read_bytes().splitlines()]
    assert [next(iter(line)) for line in lines] == [
        "resourceLogs",
        "resourceMetrics",
        "resourceSpans",
        "resourceLogs",
    ]
    (span,) = lines[2]["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert (span["traceId"], span["spanId"]) == ("01" * 16, "02" * 8)
    signals = (Signal.LOGS, Signal.METRICS, Signal.TRACES, Signal.LOGS)
    for signal, line in zip(signals, target.read_bytes().splitlines(), strict=True):
        assert read_part(signal, JSON, line).records == 1
    assert run("export", "-").stdout == target.read_text()


async def test_chunks_are_exported_byte_for_byte(lived: Live, run: Run, tmp_path: Path) -> None:
    """With their headers, so that the hash chain can be checked elsewhere."""
    held: list[Chunk] = []

    async def work(buffer: Buffer) -> None:
        await some(buffer)
        for seed in range(6):
            await buffer.append(noise(Signal.LOGS, 400 * KIB, seed))
        held.extend(await all_chunks(buffer))

    await lived(work)
    target = tmp_path / "out.chunks"
    assert run("export", str(target), "--format", "chunks").exit_code == 0
    with target.open("rb") as file:
        assert list(read_chunks(file)) == held
    assert run("export", str(target), "--format", "chunks", "--signal", "traces").exit_code == 2
    again = run("export", str(target), "--format", "chunks", "--signal", "traces", "--overwrite")
    assert again.stderr == "exported 1 chunks with 1 records\n"


async def test_what_is_no_otlp_is_left_out_and_said(lived: Live, run: Run, tmp_path: Path) -> None:
    """The rest is still worth having; the exit code tells that it is not all."""

    async def work(buffer: Buffer) -> None:
        await some(buffer)
        await buffer.append(noise(Signal.METRICS, KIB))

    await lived(work)
    result = run("export", str(tmp_path / "out"))
    assert result.exit_code == 3
    assert "chunk 5 is left out: the body of 1024 bytes is not a protobuf" in result.stderr
    assert result.stderr.endswith("exported 4 chunks with 4 records\n")


async def test_a_failed_export_leaves_nothing_and_keeps_what_was_there(
    lived: Live, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a file under the right name would be taken for the whole."""

    def half(chunks: Iterable[Chunk], file: BinaryIO, account: Account) -> None:
        file.write(next(iter(chunks)).body)
        raise OSError(28, os.strerror(28))

    await lived(some)
    target = tmp_path / "out" / "dump"
    target.parent.mkdir()
    monkeypatch.setitem(FORMATS, "jsonl", half)
    result = run("export", str(target))
    assert result.exit_code == 1
    assert str(result.exception) == f"cannot write {target}: No space left on device"
    assert list(target.parent.iterdir()) == []
    target.write_text("before")
    assert run("export", str(target), "--overwrite").exit_code == 1
    assert [each.read_text() for each in target.parent.iterdir()] == ["before"]


async def test_an_export_goes_nowhere_that_is_taken_or_missing(
    lived: Live, run: Run, tmp_path: Path, folder: Path
) -> None:
    """And least of all into the buffer itself."""
    await lived(some)
    taken = tmp_path / "taken"
    taken.write_text("mine")
    for target, why in (
        (taken, "is there already: say --overwrite"),
        (tmp_path, "is a folder"),
        (tmp_path / "none" / "out", "cannot write in"),
        (folder / "buffer" / "out", "is no place for other files"),
    ):
        result = run("export", str(target))
        assert result.exit_code == 2
        assert why in str(result.exception)
    assert taken.read_text() == "mine"


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: b"\0\0\0\x30HWB1" + tail))
def test_reading_an_export_raises_nothing_but_bad_input(content: bytes) -> None:
    """A file may come from anybody."""
    try:
        list(read_chunks(io.BytesIO(content)))
    except BadInput:
        return
    assert not content
