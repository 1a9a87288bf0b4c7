"""Starting Headwater as a person does, and asking it things."""

import http.client
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
STOP_SECONDS_MAX = 20.0

Ports = Callable[[int], list[int]]
Wait = Callable[..., None]


class Started:
    """A start.sh in the foreground, with what it has said so far in a file."""

    def __init__(self, venv: str, folder: Path, *words: str) -> None:
        self.data = folder / "d"
        self._said = folder / f"said-{time.monotonic_ns()}"
        with self._said.open("wb") as file:
            self.process = subprocess.Popen(
                [str(ROOT / "start.sh"), f"VENV={venv}", f"DATA={self.data}", *words],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def said(self) -> str:
        """All that has been on the screen."""
        return self._said.read_text()

    def runs(self, text: str) -> Callable[[], bool]:
        """A condition: the text is on the screen; fails at once when the process has ended."""

        def condition() -> bool:
            assert self.process.poll() is None or text in self.said(), self.said()
            return text in self.said()

        return condition

    def end(self) -> None:
        """Stop it, and whatever it may have left behind."""
        family = [self.process.pid, *(child.pid for child in children_of(self.process.pid))]
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            for pid in family:
                _kill(pid)
            self.process.wait()


def children_of(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


Start = Callable[..., Started]


def once(venv: str, *words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run start.sh to its end."""
    return subprocess.run(
        [str(ROOT / "start.sh"), *words],
        env={**os.environ, "VENV": venv, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def answers(port: int, path: str) -> bool:
    """Whether a GET is answered with 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def demo_ports(free_ports: Ports) -> tuple[int, int]:
    """A port whose successor is free as well, and one for telemetry."""
    for _ in range(50):
        port, successor, otlp_port = free_ports(3)
        if successor == port + 1:
            return port, otlp_port
    pytest.fail("no two ports side by side are free")


def assert_refused(done: "subprocess.CompletedProcess[str]", said: str) -> None:
    """Exit 2 and one sentence on standard error, nothing on standard output."""
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stdout == ""
