"""What the tests of the writer of indexes begin with."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub.index import filling
from tests.unit.index.hub_stock import HubStock, hub_stock


@pytest.fixture
async def stock(tmp_path: Path) -> AsyncIterator[HubStock]:
    async with hub_stock(tmp_path) as made:
        yield made


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each bunch is one chunk."""
    monkeypatch.setattr(filling, "BUNCH_CHUNKS_MAX", 1)
