"""What is stored answers from any thread or process, and lets go of everything it borrowed."""

import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from hub.archive import Archive
from hub.index.filling import Filler
from hub.query.methods import QUESTIONS
from hub.store.day_readers import DayReaders
from hub.store.days import DayKey, path_of
from hub.store.files import FILE_NAME
from shared.errors import RpcError
from shared.records import Signal
from shared.sqlite import Readers
from tests.unit.index.hub_stock import IDENTITY, SIGNALS, HubStock, hub_stock, key_of
from tests.unit.query.stock import NOW_NS

METRIC = f"w{1 + SIGNALS.index(Signal.METRICS)}"
NEEDED: dict[str, dict[str, Any]] = {
    "metric.query": {"name": METRIC},
    "label.values": {"label": "service"},
    "trace.get": {"trace_id": f"{1 + SIGNALS.index(Signal.TRACES):032x}"},
}
EVER = {"start": 0, "end": 2_000_000_000}


class Lent(Readers):
    """Knows how many connections are lent."""

    lent = 0

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        self.lent += 1
        with super().reading() as connection:
            yield connection
        self.lent -= 1


@pytest.fixture
async def stock(tmp_path: Path) -> AsyncIterator[HubStock]:
    """One chunk of each signal, all of them indexed, and one of logs that is not."""
    async with hub_stock(tmp_path) as made:
        for signal in SIGNALS:
            await made.put(1, signal=signal)
        fill(made)
        await made.put(1)
        yield made


def fill(stock: HubStock) -> None:
    with closing(Filler(stock.folder, IDENTITY)) as filler:
        while filler.fill_some(filler.behind()):
            pass


@pytest.fixture
def suspects() -> dict[str, str]:
    return {}


@pytest.fixture
def open_archive(stock: HubStock, suspects: dict[str, str]) -> Iterator[Callable[..., Archive]]:
    database, days = Lent(stock.folder / FILE_NAME), DayReaders(stock.folder)

    def suspect(key: DayKey, why: str) -> None:
        suspects[key.file_name] = why

    yield lambda identity=IDENTITY: Archive(stock.folder, identity, database, days, suspect)
    assert database.lent == 0
    database.close()
    days.close()


def ask(archive: Archive, method: str, **params: Any) -> dict[str, Any]:
    return archive.answer(method, {**NEEDED.get(method, {}), **params}, NOW_NS)


def bodies(answer: dict[str, Any]) -> list[str]:
    return [item["body"] for item in answer["items"]]


@pytest.mark.parametrize("method", QUESTIONS)
def test_every_method_answers_with_an_index_and_without(
    open_archive: Callable[..., Archive], method: str
) -> None:
    """In JSON; the fixture sees that what was borrowed came back."""
    params = {} if method == "log.histogram" else EVER
    with_index = ask(open_archive(), method, **params)
    without = ask(open_archive(None), method, **params)
    assert orjson.loads(orjson.dumps(with_index)) == with_index
    assert {**with_index, "scanned": None} == {**without, "scanned": None}


def test_what_is_not_indexed_yet_is_found_too(open_archive: Callable[..., Archive]) -> None:
    assert bodies(ask(open_archive(), "log.query", words=["some"])) == ["some w5", "some w1"]


def test_an_index_saves_reading(open_archive: Callable[..., Archive]) -> None:
    with_index = ask(open_archive(), "log.query", words=["w5"])
    without = ask(open_archive(None), "log.query", words=["w5"])
    assert bodies(with_index) == bodies(without) == ["some w5"]
    assert (with_index["scanned"]["chunks"], without["scanned"]["chunks"]) == (1, 2)


@pytest.mark.parametrize("method", QUESTIONS)
def test_what_was_borrowed_comes_back_from_a_question_that_is_refused(
    open_archive: Callable[..., Archive], method: str
) -> None:
    with pytest.raises(RpcError, match=r"^nods: "):
        ask(open_archive(), method, nods=1)
    with pytest.raises(RpcError, match=r"^start: "):
        ask(open_archive(), method, start="-1h", end="-2h")


def test_a_question_that_fails_in_the_middle_lets_go_of_everything(
    open_archive: Callable[..., Archive],
) -> None:
    with pytest.raises(RpcError, match="has no rate"):
        ask(open_archive(), "metric.query", aggregation="rate", **EVER)
    with pytest.raises(RpcError, match="is not on this hub"):
        ask(open_archive(), "trace.get", trace_id="f" * 32)


def test_no_index_is_looked_at_when_there_is_no_identity(
    stock: HubStock, open_archive: Callable[..., Archive]
) -> None:
    for path in (stock.folder / "index").iterdir():
        path.unlink()
        path.mkdir()
    assert len(bodies(ask(open_archive(None), "log.query", words=["some"]))) == 2
    assert len(bodies(ask(open_archive(), "log.query", words=["some"]))) == 2


def test_a_day_file_that_gives_errors_is_told_of_and_the_rest_is_answered(
    stock: HubStock, open_archive: Callable[..., Archive], suspects: dict[str, str]
) -> None:
    stock.store.files.writer.leave(key_of())
    path = path_of(stock.folder, key_of().day, "logs")
    for beside in ("-wal", "-shm"):
        path.with_name(path.name + beside).unlink(missing_ok=True)
    path.write_bytes(b"no database" * 500)
    answer = ask(open_archive(), "log.query")
    assert (bodies(answer), answer["scanned"]["unreadable_chunks"]) == ([], 2)
    assert list(suspects) == [key_of().file_name]
    assert len(bodies(ask(open_archive(), "event.list"))) == 1


def test_threads_ask_at_the_same_time(open_archive: Callable[..., Archive]) -> None:
    archive = open_archive()
    found: list[list[str]] = []

    def ask_some() -> None:
        found.extend(bodies(ask(archive, "log.query", words=["some"])) for _ in range(5))

    threads = [threading.Thread(target=ask_some) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [["some w5", "some w1"]] * 20


async def test_an_answer_is_about_what_was_there_when_it_was_asked(
    stock: HubStock, open_archive: Callable[..., Archive]
) -> None:
    """Each question looks at the store and at its indexes anew."""
    archive = open_archive()
    await stock.put(1)
    assert bodies(ask(archive, "log.query", words=["w6"])) == ["some w6"]
    fill(stock)
    answer = ask(archive, "log.query", words=["w6"])
    assert (bodies(answer), answer["scanned"]["chunks"]) == (["some w6"], 1)
