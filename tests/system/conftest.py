"""A virtual environment that start.sh finds up to date, and processes that end with their test."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.disks import SmallDisk, small_disks
from tests.system.processes import Fleet
from tests.system.starting import ROOT, Start, Started


@pytest.fixture(scope="session")
def venv() -> str:
    """The virtual environment of this test run, which start.sh must find to be up to date."""
    environ = {**os.environ, "VENV": sys.prefix}
    prepare = [str(ROOT / "start.sh"), "--prepare", "test"]
    subprocess.run(prepare, env=environ, check=True, capture_output=True)
    return sys.prefix


@pytest.fixture
def start(venv: str, short_folder: Path) -> Iterator[Start]:
    """Starts start.sh with words; everything is stopped at the end of the test."""
    begun: list[Started] = []

    def begin(*words: str) -> Started:
        begun.append(Started(venv, short_folder, *words))
        return begun[-1]

    yield begin
    for started in reversed(begun):
        started.end()


@contextlib.contextmanager
def _running(folder: Path, venv: str, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    fleet = Fleet(folder, venv)
    failed_before = request.session.testsfailed
    try:
        yield fleet
    finally:
        fleet.end()
    if request.session.testsfailed > failed_before:
        print(fleet.report())


@pytest.fixture
def fleet(venv: str, short_folder: Path, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """An empty fleet; what the test starts in it ends with the test, and talks when the test fails."""
    with _running(short_folder, venv, request) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def lasting_fleet(venv: str, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """An empty fleet that the tests of one file share."""
    folder = Path(tempfile.mkdtemp(prefix="hw-", dir="/tmp"))
    with _running(folder, venv, request) as fleet:
        yield fleet
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def small_disk(short_folder: Path) -> Iterator[SmallDisk]:
    """Gives a folder of a fleet a real file system of so many bytes."""
    with small_disks(short_folder) as mount:
        yield mount
