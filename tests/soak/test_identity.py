"""Whoever compares the bytes of hubs finds a chunk that is missing, changed, or in another day file."""

from pathlib import Path

from tests.system.identity import differences, picture
from tests.system.processes import HubProcess
from tests.unit.hub.test_day_files import DAY_MS, T0, chain, opened

LOG = chain(5)


async def hub_with(folder: Path, name: str, days: list[int]) -> HubProcess:
    """The folder of a hub that took in chunks of one log on these days, counted from one day on."""
    hub = HubProcess(name, folder / name, (), "", "")
    store = await opened(hub.database.parent)
    received = [T0 + day * DAY_MS for day in days]
    await store.keep(LOG[: len(days)], "hub-9", received)
    store.files.close()
    return hub


async def test_hubs_with_the_same_bytes_do_not_differ(tmp_path: Path) -> None:
    hubs = [await hub_with(tmp_path, f"hub-{number}", [0, 0, 1, 1, 2]) for number in range(3)]
    assert differences(hubs) == []
    assert len(picture(hubs[0].database.parent)) == 5


async def test_what_differs_is_named(tmp_path: Path) -> None:
    whole = await hub_with(tmp_path, "whole", [0, 0, 1, 1, 2])
    shorter = await hub_with(tmp_path, "shorter", [0, 0, 1, 1])
    elsewhere = await hub_with(tmp_path, "elsewhere", [0, 0, 1, 2, 2])
    said = differences([whole, shorter, elsewhere])
    assert said == [
        "shorter differs from whole in 1 chunks, such as [('edge-1', 'e1', 5)]",
        "elsewhere differs from whole in 1 chunks, such as [('edge-1', 'e1', 4)]",
    ]
