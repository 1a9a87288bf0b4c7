"""Folders of edges that are stopped, and the command line on them."""

import hashlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner, Result

from edge.buffer import Buffer
from shared.buffer_command import buffer as commands
from shared.errors import HeadwaterError
from shared.main import exit_code
from shared.records import KIB, Checkpoint, Chunk, Signal
from shared.runtime import Duplex, HttpClient, Runtime
from tests.unit.core.buffers import all_chunks, fill, noise, running, segment_files, until

Run = Callable[..., Result]


def _no_client() -> HttpClient:
    raise AssertionError("nothing here may use the network")


async def _no_link(url: str, headers: dict[str, str]) -> Duplex:
    raise AssertionError(f"nothing here may dial {url}")


@pytest.fixture
def runtime() -> Runtime:
    """The real clock and real threads, and no network."""
    return Runtime(wall_ns=time.time_ns, rng=Random(1), http=_no_client, dial=_no_link)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of an edge."""
    return tmp_path / "edge"


@pytest.fixture
def run(folder: Path) -> Run:
    """Runs `headwater buffer WORDS --data FOLDER` as the console script does."""

    def invoke(*words: str, data: Path = folder) -> Result:
        result = CliRunner().invoke(commands, [*words, "--data", str(data)])
        if isinstance(result.exception, HeadwaterError):
            result.exit_code = exit_code(result.exception)
        elif result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


Work = Callable[[Buffer], Awaitable[object]]


@pytest.fixture
def lived(folder: Path, runtime: Runtime) -> Callable[[Work], Awaitable[None]]:
    """Does some work on the buffer of the folder, and stops in peace."""

    async def live(work: Work) -> None:
        async with running(folder, runtime) as buffer:
            await work(buffer)

    return live


def everything(folder: Path) -> dict[str, str]:
    """Every file below a folder, with a digest of its bytes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
async def before(folder: Path, runtime: Runtime) -> dict[int, Chunk]:
    """A closed buffer of several files with twenty chunks, one of them a dead letter."""
    async with running(folder, runtime) as buffer:
        await buffer.append(noise(Signal.LOGS, KIB), Checkpoint("tail:/x", b"here"))
        await fill(buffer, Signal.LOGS, 9)
        await fill(buffer, Signal.TRACES, 9)
        await until(lambda: len(segment_files(folder)) >= 5)
        await buffer.bury(3, "no")
        return {chunk.header.seq: chunk for chunk in await all_chunks(buffer)}
