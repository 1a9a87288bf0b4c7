"""What every part of the suite may use: short folders, free ports, and waiting without luck."""

import gc
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import examples, ports

examples.register()

# Simulations make millions of short-lived objects: looking for cycles so often takes a fifth of the time.
gc.set_threshold(50_000, 20, 20)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell lets what it starts in the background ignore Ctrl-C, and each child inherits that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder with a name short enough for Unix sockets inside (104 to 108 bytes in all)."""
    folder = Path(tempfile.mkdtemp(prefix="hw-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def free_ports() -> Callable[[int], list[int]]:
    """Gives ports that were free a moment ago, no two alike."""
    return ports.free_ports


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings in the environment of the person who runs the tests must not change their outcome."""
    plain = {"MODE", "PORT", "DATA", "PEER_MASTERS", "MASTERS", "EXPLORER_ADDRESSES", "OTLP_PORT"}
    plain |= {"CLUSTER_KEY", "INSECURE", "NODE_ID", "HUB_ID", "TAIL", "LOG_LEVEL", "VENV"}
    for name in list(os.environ):
        if name in plain or name.startswith("HEADWATER_"):
            monkeypatch.delenv(name)


@pytest.fixture
def wait_until() -> Callable[..., None]:
    """Waits for a condition, and fails with its name when it does not come true in time."""

    def wait(condition: Callable[[], object], what: str, seconds_max: float = 60.0) -> None:
        deadline = time.monotonic() + seconds_max
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"waited {seconds_max} s in vain: {what}")
            time.sleep(0.02)

    return wait


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are processors: tests with real processes wait more than they work."""
    return 1 + (os.cpu_count() or 1)


WAITING = ("system", "sim", "bench", "crash")
"""Folders of tests that take long: they wait for processes, or play whole lives."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the long tests over all others, module by module: at the end all would wait together."""
    modules: dict[Path, list[pytest.Item]] = {}
    for item in items:
        modules.setdefault(item.path, []).append(item)
    long = [path for path in modules if path.parent.name in WAITING]
    short = [path for path in modules if path.parent.name not in WAITING]
    places = {
        path: (place + 0.5) / len(kind) for kind in (long, short) for place, path in enumerate(kind)
    }
    items[:] = [item for path in sorted(modules, key=places.__getitem__) for item in modules[path]]
