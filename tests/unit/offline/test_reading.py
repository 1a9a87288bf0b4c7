"""What reads a folder changes nothing in it, and shows what is there."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge.buffer import Buffer
from edge.offline import find_place
from edge.segments import path_of
from hub.cli.drain import drain
from shared.buffer_command import buffer as commands
from shared.errors import BadInput, SettingsError
from shared.pidfile import PidFile
from shared.records import Signal
from shared.runtime import Runtime
from tests.unit.core.buffers import alert, fill, running, segment_files, until
from tests.unit.offline.conftest import Run, everything
from tests.unit.offline.parts import T0, log_part, metric_part, span_part

Live = Callable[[Callable[[Buffer], Awaitable[object]]], Awaitable[None]]

READS = (
    ("show",),
    ("show", "--json"),
    ("query",),
    ("query", "--order", "newest", "--json"),
    ("export", "-"),
    ("export", "-", "--format", "chunks"),
    ("verify",),
    ("repair",),
    ("dead-letters", "list"),
    ("dead-letters", "show", "2"),
)


async def mixed(buffer: Buffer) -> None:
    """Five chunks of all signals, one of them a dead letter, and the statement about it."""
    await buffer.append(log_part("the disk is slow", T0))
    await buffer.append(log_part("nobody reads this", T0 + 1))
    await buffer.append(metric_part("queue.length", 7.5, T0 + 2))
    await buffer.append(span_part("GET /orders", T0 + 3))
    await buffer.append(alert("the house burns"))
    await buffer.bury(2, "a hub said no")


@pytest.mark.parametrize("words", READS)
async def test_a_folder_that_is_read_keeps_every_byte(
    words: tuple[str, ...], lived: Live, run: Run, folder: Path
) -> None:
    """Not even the files that SQLite keeps beside its own appear."""
    await lived(mixed)
    before = everything(folder)
    assert run(*words).exit_code == 0
    assert everything(folder) == before


@pytest.mark.parametrize("words", READS)
async def test_a_folder_that_was_not_closed_in_peace_is_read_whole_and_keeps_every_byte(
    words: tuple[str, ...], run: Run, folder: Path, tmp_path: Path, runtime: Runtime
) -> None:
    """The newest rows are in the write-ahead log, which is read and left as it is."""
    async with running(tmp_path / "living", runtime) as buffer:
        await mixed(buffer)
        copy_of_a_killed_agent(tmp_path / "living", folder)
    before = everything(folder)
    assert any(name.endswith(".segment-wal") for name in before)
    result = run(*words)
    assert result.exit_code == 0, result.output
    assert everything(folder) == before
    assert json.loads(run("show", "--json").stdout)["chunks"] == 5


def copy_of_a_killed_agent(living: Path, folder: Path) -> None:
    """What the disk holds while an agent runs: the files and their write-ahead logs."""
    (folder / "buffer").mkdir(parents=True)
    for path in (living / "buffer").iterdir():
        if not path.name.endswith("-shm"):
            (folder / "buffer" / path.name).write_bytes(path.read_bytes())


async def test_a_folder_can_be_read_beside_the_running_agent(
    run: Run, folder: Path, runtime: Runtime
) -> None:
    """A reader takes nothing from the agent, which goes on to append and closes in peace."""
    folder.mkdir()
    with PidFile(folder):
        async with running(folder, runtime) as buffer:
            await mixed(buffer)
            await fill(buffer, Signal.LOGS, 8)
            await until(lambda: len(segment_files(folder)) > 1)
            assert json.loads(run("show", "--json").stdout)["chunks"] == 13
            assert run("verify").stdout.startswith("all is sound: read 13 sound chunks")
            await fill(buffer, Signal.LOGS, 1)
            assert "agent         runs as process" in run("show").stdout
    assert not list(folder.rglob("*-wal"))
    assert run("verify").exit_code == 0


async def test_show_tells_what_is_held_and_what_became_of_the_rest(lived: Live, run: Run) -> None:
    """In short and by file, with the ledger in balance."""
    await lived(mixed)
    shown = json.loads(run("show", "--json").stdout)
    assert (shown["chunks"], shown["head_seq"], shown["dead_letters"]) == (5, 6, 1)
    assert shown["seqs"] == [[1, 1], [3, 6]]
    assert sum(each["chunks"] for each in shown["segments"]) == 5
    ledger = shown["ledger"]
    assert ledger["produced"] == 6
    assert ledger["produced"] == ledger["buffered"] + ledger["rejected"]
    assert shown["oldest_ms"] <= shown["newest_ms"]
    assert shown["findings"] == []


async def test_the_folder_around_the_folder_of_an_edge_will_do(
    lived: Live, run: Run, folder: Path
) -> None:
    """DATA is the folder that people know."""
    await lived(mixed)
    assert run("show", data=folder.parent).stdout == run("show").stdout


async def test_of_several_edges_one_must_be_named(lived: Live, folder: Path, run: Run) -> None:
    """Guessing would show the wrong machine."""
    await lived(mixed)
    folder.rename(folder.with_name("edge-1"))
    assert run("show", data=folder.parent).exit_code == 0
    (folder.with_name("edge-2") / "buffer").mkdir(parents=True)
    with pytest.raises(BadInput, match=r"several edges: name one of .*edge-1, .*edge-2"):
        find_place(folder.parent)


def test_what_is_no_folder_of_an_edge_is_named_for_what_it_is(tmp_path: Path, run: Run) -> None:
    """One sentence each that says what to do."""
    hub, old, other = tmp_path / "hub", tmp_path / "old", tmp_path / "other"
    for each in (hub, old, other):
        each.mkdir()
    (hub / "hub.json").touch()
    (old / "buffer.db").touch()
    assert refusal(run("show", data=tmp_path / "none")).startswith("there is no folder")
    assert "is the folder of a hub: only edges" in refusal(run("verify", data=hub))
    assert "was written by version 0.1" in refusal(run("query", data=old))
    assert "is not the folder of an edge" in refusal(run("export", "-", data=other))


async def test_the_buffer_folder_itself_is_recognised(lived: Live, run: Run, folder: Path) -> None:
    """It is the first thing that people find in there."""
    await lived(mixed)
    assert "name the folder around it" in refusal(run("show", data=folder / "buffer"))


async def test_a_file_that_cannot_be_opened_is_no_damage(
    lived: Live, run: Run, folder: Path
) -> None:
    """A wrong user must not be told that the data is lost."""
    await lived(mixed)
    path = path_of(folder / "buffer", 1)
    path.unlink()
    path.mkdir()
    result = run("verify")
    assert result.exit_code == 1
    assert "00000001.segment cannot be opened: Is a directory" in refusal(result)


async def test_a_folder_of_another_user_is_refused_and_not_called_damaged(
    lived: Live, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that cannot be listed looks empty, which would be the worst news of all."""
    await lived(mixed)
    monkeypatch.setattr("edge.offline.os.access", lambda path, mode: path != folder / "buffer")
    assert refusal(run("verify")) == (
        f"{folder / 'buffer'} cannot be read: do this as the user of the edge"
    )


def refusal(result: Result) -> str:
    """The sentence with which a command refused."""
    return str(result.exception)


async def test_query_chooses_by_signal_text_and_time(lived: Live, run: Run) -> None:
    """Every filter takes away, and what is left is in the order of the log."""
    await lived(mixed)

    def bodies(*words: str) -> list[str]:
        lines = run("query", "--json", *words).stdout.splitlines()
        return [record.get("body") or record["name"] for record in map(json.loads, lines)]

    everything_held = bodies()
    assert everything_held[:4] == [
        "the disk is slow",
        "queue.length",
        "GET /orders",
        "the house burns",
    ]
    assert bodies("--order", "newest") == everything_held[::-1]
    assert bodies("--limit", "2") == everything_held[:2]
    assert bodies("--signal", "metrics") == ["queue.length"]
    assert bodies("--contains", "DISK IS") == ["the disk is slow"]
    assert bodies("--contains", "7.5") == ["queue.length"]
    at = T0 / 1e9
    assert bodies("--since", f"{at:.9f}", "--until", f"{at + 0.5:.9f}") == everything_held[:3]
    assert run("query", "--contains", "nothing like it").exit_code == 4


async def test_query_writes_lines_for_people(lived: Live, run: Run) -> None:
    """Time, signal, and what the record says."""
    await lived(mixed)
    lines = run("query").stdout.splitlines()
    assert lines[0] == "2026-11-21T10:00:00.000Z  logs     INFO  the disk is slow"
    assert lines[1].endswith("metrics  queue.length = 7.5 1  host=a")
    assert "GET /orders  2.000 ms  trace 0101" in lines[2]


async def test_what_strangers_wrote_cannot_steer_the_terminal(lived: Live, run: Run) -> None:
    """A log line may hold anything."""

    async def work(buffer: Buffer) -> None:
        await buffer.append(log_part("\x1b[2Jgone\nsecond", T0))

    await lived(work)
    (line,) = run("query").stdout.splitlines()
    assert "\x1b" not in line
    assert "gone\\nsecond" in line


@pytest.mark.parametrize(
    "time", ["yesterday", "2026-11-21", "2026-11-21T10:00:00", "-5y", "9" * 11]
)
async def test_a_time_that_is_none_is_refused_with_the_flag_that_gave_it(
    time: str, lived: Live, run: Run
) -> None:
    """A time without a zone would mean another one on another machine."""
    await lived(mixed)
    result = run("query", f"--since={time}")
    assert result.exit_code == 2
    assert refusal(result).startswith("--since: ")


async def test_pages_that_a_write_ahead_log_ends_in_are_told_and_cost_no_verdict(
    run: Run, folder: Path, tmp_path: Path, runtime: Runtime
) -> None:
    """SQLite passes over what was not committed, and what is damaged, without a word."""
    async with running(tmp_path / "living", runtime) as buffer:
        await mixed(buffer)
        copy_of_a_killed_agent(tmp_path / "living", folder)
    assert "pages or more" not in run("verify").stderr
    (log,) = (folder / "buffer").glob("*.segment-wal")
    log.write_bytes(log.read_bytes()[:-100])
    result = run("verify")
    assert result.exit_code == 0
    assert result.stdout.startswith("all is sound")
    assert json.loads(run("show", "--json").stdout)["head_seq"] == 5
    assert "00000001.segment-wal ends in 3 pages or more" in result.stderr


def test_with_a_node_show_goes_to_the_hubs(tmp_path: Path) -> None:
    """Where there is none, the sentence is that of every command that asks hubs."""
    runner = CliRunner(env={"DATA": str(tmp_path)})
    alone = runner.invoke(commands, ["show", "edge-1", "--json"]).exception
    assert isinstance(alone, SettingsError)
    assert str(alone) == str(runner.invoke(drain, ["edge-1"]).exception)


async def test_the_usual_folder_is_that_of_the_settings(lived: Live, folder: Path) -> None:
    """DATA names the folder of all roles; the edges of a demo lie in it under their own names."""
    await lived(mixed)
    runner = CliRunner(env={"DATA": str(folder.parent)})
    for name in ("edge", "edge-7"):
        folder = folder.rename(folder.with_name(name))
        answer = json.loads(runner.invoke(commands, ["show", "--json"]).stdout)
        assert answer["folder"] == str(folder)


async def test_show_asks_hubs_about_a_node_and_never_both(run: Run, lived: Live) -> None:
    """A name and a folder contradict each other."""
    await lived(mixed)
    assert "not both" in run("show", "edge-1").stderr
    assert "name the NODE" in run("show", "--hub", "127.0.0.1:1").stderr
