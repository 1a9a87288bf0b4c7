"""The counterparts of the command line are those of its own tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Counterpart


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counterpart]:
    """A hub in the data folder."""
    monkeypatch.setenv("DATA", str(tmp_path))
    counterpart = Counterpart("hub-1")
    counterpart.announce(tmp_path)
    yield counterpart
    counterpart.close()
