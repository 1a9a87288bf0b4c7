"""The keeper lets go of what is expired, tells of it, and goes on where a former life stopped."""

import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from hub.keeper import LOOK_AGAIN_SECONDS, LOOK_SECONDS, Keeper
from hub.replicate import SafeLedger
from hub.retention import DayFile, Policy, Reason
from hub.store import retire
from hub.store.chunks import ChunkStore
from hub.store.days import DAY_MS, DayKey, path_of
from hub.store.dropped import DroppedDay
from hub.store.files import open_files
from hub.store.retire import TakenOut
from shared.errors import RpcError, Unavailable
from shared.records import Signal
from shared.runtime import system_runtime
from tests.law.drawing import chunk_of

NOON_MS = 1_772_366_400_000
DAYS = ("2026-03-01", "2026-03-02", "2026-03-03", "2026-03-04")
BODY = bytes(range(256)) * 4


@dataclass
class World:
    """A store in which a day has come after the other, and a keeper of it."""

    folder: Path
    store: ChunkStore
    policies: dict[str, Policy]
    told: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    counters: Counter[str] = field(default_factory=Counter)
    forgotten: list[TakenOut] = field(default_factory=list)

    def __post_init__(self) -> None:
        runtime = system_runtime()
        today_ns = (NOON_MS + 3 * DAY_MS) * 1_000_000
        runtime = replace(runtime, wall_ns=lambda: today_ns, threads=False)
        self.files, self.reading, self.ledger = (
            self.store.files,
            self.store.reading,
            self.store.ledger,
        )
        self.keeper = Keeper(
            "hub-1",
            self,
            self.policies,
            runtime,
            lambda kind, attributes: self.told.append((kind, attributes)),
            self.counters,
        )

    def forget(self, taken: TakenOut) -> None:
        self.forgotten.append(taken)

    async def fill(self, signal: Signal = Signal.LOGS, first_seq: int = 1) -> None:
        """Two chunks on each of four days; the last is today."""
        for number in range(len(DAYS)):
            for seq in (first_seq + 4 * number, first_seq + 4 * number + 2):
                chunk = chunk_of(seq, BODY, signal=signal, origin=f"of-{signal}")
                await self.store.keep([chunk], "hub-2", [NOON_MS + number * DAY_MS])

    def days(self, signal: str = "logs") -> list[str]:
        """The days of which there is a file."""
        return [day for day in DAYS if path_of(self.folder, day, signal).exists()]

    @property
    def dropped(self) -> list[tuple[str, str, str]]:
        """Day, signal and reason, as events told them."""
        return [
            (told["day"], told["signal"], told["reason"])
            for kind, told in self.told
            if kind == "retention.dropped"
        ]


@asynccontextmanager
async def world(folder: Path, **policies: Policy) -> AsyncIterator[World]:
    files = open_files(folder, "OFF", threads=False)
    store = ChunkStore(files, system_runtime(), SafeLedger(2))
    await store.open()
    yield World(folder, store, policies)
    files.close()


async def size_of_a_day(here: World) -> int:
    shown = await here.keeper.show({})
    return int(shown["files"][0]["bytes"])


async def test_what_is_too_old_goes_and_an_event_says_so(tmp_path: Path) -> None:
    async with world(tmp_path, logs=Policy(1)) as here:
        await here.fill()
        await here.fill(Signal.METRICS, 2)
        assert await here.keeper.step() == LOOK_SECONDS
        assert here.days() == ["2026-03-03", "2026-03-04"]
        assert here.days("metrics") == list(DAYS)
        assert here.dropped == [("2026-03-01", "logs", "age"), ("2026-03-02", "logs", "age")]
        assert here.told[0][1]["chunks"] == 2
        assert (here.counters["retention_days"], here.counters["retention_chunks"]) == (2, 4)
        assert sum(taken.sum.chunks for taken in here.forgotten) == 4


async def test_a_second_look_finds_nothing_more(tmp_path: Path) -> None:
    async with world(tmp_path, logs=Policy(1, 1)) as here:
        await here.fill()
        await here.keeper.step()
        told = list(here.told)
        await here.keeper.step()
        assert here.told == told


async def test_what_is_too_much_goes_oldest_first_and_today_stays(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.fill()
        here.policies["logs"] = Policy(0, 2 * await size_of_a_day(here))
        await here.keeper.step()
        assert here.days() == ["2026-03-03", "2026-03-04"]
        here.policies["logs"] = Policy(0, 1)
        await here.keeper.step()
        assert here.days() == ["2026-03-04"]
        assert {reason for _, _, reason in here.dropped} == {"bytes"}


async def test_a_limit_on_bytes_waits_for_copies_and_tells_once_that_it_does(
    tmp_path: Path,
) -> None:
    """A peer that is away must not cost the only copy; when it is back, the limit holds again."""
    async with world(tmp_path, logs=Policy(0, 1)) as here:
        here.store.ledger.peers["hub-2"] = 2
        await here.fill()
        await here.keeper.step()
        await here.keeper.step()
        assert here.days() == ["2026-03-02", "2026-03-03", "2026-03-04"]
        assert [kind for kind, _ in here.told] == ["retention.dropped", "retention.over_limit"]
        assert (await here.keeper.show({}))["signals"]["logs"]["over_bytes"] > 0
        here.store.ledger.confirm("hub-2", 8)
        await here.keeper.step()
        assert here.days() == ["2026-03-04"]


async def test_age_does_not_wait_for_copies_and_says_that_there_were_none(tmp_path: Path) -> None:
    async with world(tmp_path, logs=Policy(2)) as here:
        here.store.ledger.peers["hub-2"] = 0
        await here.fill()
        await here.keeper.step()
        assert here.days() == list(DAYS[1:])
        assert [told["safe"] for _, told in here.told] == [False]


async def test_nothing_new_goes_while_the_clock_is_doubted(tmp_path: Path) -> None:
    """It is told once; when the clock is believed again, what is expired goes."""
    async with world(tmp_path, logs=Policy(1)) as here:
        await here.fill()
        here.keeper.is_clock_sound = lambda: False
        assert await here.keeper.step() == await here.keeper.step() == LOOK_AGAIN_SECONDS
        assert here.days() == list(DAYS)
        assert [kind for kind, _ in here.told] == ["retention.paused"]
        assert (await here.keeper.show({}))["paused"]
        here.keeper.is_clock_sound = lambda: True
        assert await here.keeper.step() == LOOK_SECONDS
        assert here.days() == list(DAYS[2:])


async def test_what_a_former_life_began_is_finished_first(tmp_path: Path) -> None:
    """Even when the policy has changed meanwhile: half of the file is gone."""
    async with world(tmp_path) as here:
        await here.fill()
        await here.store.files.database.write(_begin)
    async with world(tmp_path) as here:
        await here.keeper.step()
        assert here.days() == ["2026-03-01", *DAYS[2:]]
        assert here.dropped == [("2026-03-02", "logs", "bytes")]
        assert here.told[0][1]["chunks"] == 2


def _begin(connection: sqlite3.Connection) -> None:
    file = DayFile("2026-03-02", "logs", 0, 0, 0, 0)
    retire.take_out(connection, retire.choose(connection, file, Reason.BYTES, 5), 1)


@pytest.mark.parametrize("step", ["set_aside", "unlink"])
async def test_a_disk_that_says_no_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    async with world(tmp_path, logs=Policy(2)) as here:
        await here.fill()
        with monkeypatch.context() as broken:
            broken.setattr(retire, step, _says_no)
            with pytest.raises(Unavailable, match="cannot be removed"):
                await here.keeper.step()
        assert here.told == []
        await here.keeper.step()
        assert here.days() == list(DAYS[1:])
        assert here.dropped == [("2026-03-01", "logs", "age")]


def _says_no(*_: object) -> None:
    raise OSError(30, "Read-only file system")


async def test_chunks_that_come_while_a_day_goes_go_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer is late to tell of them, between the last slice and the end of the file."""
    async with world(tmp_path, logs=Policy(2)) as here:
        await here.fill()
        late = [chunk_of(99, origin="late")]
        take_out = retire.take_out

        def and_a_late_one(connection: sqlite3.Connection, going: DroppedDay) -> TakenOut:
            taken = take_out(connection, going)
            if not taken.seqs and late:
                _insert(here, connection, late.pop())
            return taken

        monkeypatch.setattr(retire, "take_out", and_a_late_one)
        await here.keeper.step()
        assert here.days() == list(DAYS[1:])
        assert here.told[0][1]["chunks"] == 3


def _insert(here: World, connection: sqlite3.Connection, chunk: Any) -> None:
    """One more chunk of the first day, in the same transaction as the last slice."""
    connection.execute(
        "INSERT INTO chunk (origin, epoch, seq, signal, records, stored_bytes, time_min_ns,"
        " time_max_ns, received_ms, hash, header) VALUES ('late', 'e', 9, 'logs', 1, 1, 1, 2, ?, ?, ?)",
        (NOON_MS, chunk.hash, chunk.header_bytes),
    )
    here.files.writer.put(DayKey(DAYS[0], "logs"), (99, NOON_MS, chunk.header_bytes, chunk.body))


async def test_what_is_kept_and_what_went_can_be_asked_for(tmp_path: Path) -> None:
    async with world(tmp_path, logs=Policy(2), traces=Policy(7, 9)) as here:
        await here.fill()
        await here.keeper.step()
        shown = await here.keeper.show({"limit": 2})
    assert (shown["hub"], shown["today"], shown["files_total"]) == ("hub-1", "2026-03-04", 3)
    assert shown["policy"]["traces"] == {"days": 7, "bytes": 9}
    assert [file["day"] for file in shown["files"]] == ["2026-03-04", "2026-03-03"]
    logs = shown["signals"]["logs"]
    assert (logs["since"], logs["days"], logs["chunks"]) == ("2026-03-02", 3, 6)
    (gone,) = shown["dropped"]
    assert (gone["day"], gone["reason"], gone["state"]) == ("2026-03-01", "age", "gone")


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": 10**9}, {"limit": "all"}, {"days": 3}])
async def test_odd_questions_are_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    async with world(tmp_path) as here:
        with pytest.raises(RpcError) as refused:
            await here.keeper.show(wrong)
    assert refused.value.kind == "invalid_params"
