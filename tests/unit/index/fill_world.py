"""Fillers and what they leave to do, for tests."""

from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from hub.index.backlog import Behind
from hub.index.files import index_path
from hub.index.filling import Filler
from hub.retention import DayFile, Reason
from hub.store import retire
from hub.store.days import DayKey
from hub.store.dropped import DroppedDay
from shared.records import Signal
from shared.sqlite import open_reader
from tests.unit.index.hub_stock import DAYS, IDENTITY, HubStock, key_of, reached


def filler(stock: HubStock, identity: str = IDENTITY) -> Any:
    return closing(Filler(stock.folder, identity))


def fill_all(filler: Filler) -> int:
    """Fill until nothing is late; returns how many chunks that were."""
    done = 0
    while late := filler.behind():
        more = filler.fill_some(late)
        assert more > 0
        done += more
    return done


def index_of(stock: HubStock, key: DayKey | None = None) -> Path:
    key = key or key_of()
    return index_path(stock.folder, key.day, key.signal)


def truly_behind(folder: Path) -> list[Behind]:
    """Counted one by one."""
    with closing(open_reader(folder / "hub.db")) as connection:
        rows = connection.execute("SELECT arrival, signal, received_ms FROM chunk")
        found: Counter[DayKey] = Counter()
        for arrival, signal, received_ms in rows:
            day = (received_ms - 1_772_366_400_000) // 86_400_000
            key = key_of(day, Signal(signal))
            if arrival > (reached(folder, key) or 0):
                found[key] += 1
    return sorted(
        (Behind(key, chunks) for key, chunks in found.items()),
        key=lambda late: (-DAYS.index(late.key.day), late.key.signal),
    )


async def choose(stock: HubStock, key: DayKey) -> DroppedDay:
    file = DayFile(key.day, key.signal, 0, 0, 0, 0)
    return await stock.store.files.database.write(
        lambda connection: retire.choose(connection, file, Reason.AGE, 0)
    )
