"""Runs the demo: starts its processes, shows what they have to say, and ends them together."""

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import psutil

from shared.address import Address, is_loopback, is_wildcard
from shared.child_log import ChildLog
from shared.demo import Child, DemoSettings, plan
from shared.errors import SettingsError
from shared.folder import make_cluster_key, prepare_folder
from shared.greeting import READY_SECONDS_MAX, Line, is_ready, login_url, screen, wants_colours
from shared.pidfile import PidFile
from shared.security import write_private
from shared.settings import PREFIX

TICK_SECONDS = 0.1  # Soon enough for eyes and for Ctrl-C.
STOP_SECONDS_MAX = 4.5  # With the time to start Python again, `make stop` takes less than five.
COLOURS = ("cyan", "magenta", "yellow")


def launcher() -> list[str]:
    """The command that runs `headwater` with this very Python."""
    return [sys.executable, "-P", "-m", "shared.main"]


def shown_command(child: Child) -> str:
    """The command line by which a person starts a child again."""
    installed = Path(sys.executable).with_name("headwater")
    words = [str(installed)] if installed.is_file() else launcher()
    return shlex.join([*words, *child.arguments])


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without Headwater's settings: the children get theirs as flags."""
    words = {"PORT", "DATA", "MODE", "PEER_MASTERS", "MASTERS", "EXPLORER_ADDRESSES", "OTLP_PORT"}
    words |= {"CLUSTER_KEY", "INSECURE", "NODE_ID", "HUB_ID", "TAIL", "LOG_LEVEL"}
    return {
        name: value
        for name, value in environ.items()
        if name not in words and not name.startswith(PREFIX)
    }


def require_free(host: str, port: int, setting: str) -> None:
    """Raise SettingsError when the port is taken, naming by whom where that is known."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SettingsError(
                f"cannot listen on {host} port {port}: {error.strerror}{_holder(port)}; "
                f"stop it or choose another one with {setting}"
            ) from error


def _holder(port: int) -> str:
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            if listens and connection.laddr and connection.laddr.port == port and connection.pid:
                return f" (process {connection.pid}, {psutil.Process(connection.pid).name()})"
    return ""


def run_demo(settings: DemoSettings, *, greet: bool) -> int:
    """Run the demo until it is told to stop or nothing is left of it; returns the exit code."""
    # The processes, and the lines that tell how to start them again, must not depend on this folder.
    tail = tuple(path.absolute() for path in settings.tail)
    settings = replace(settings, data=settings.data.absolute(), tail=tail)
    prepare_folder(settings.data)
    with PidFile(settings.data):
        first, second = (hub.port for hub in settings.hubs)
        require_free(settings.host, first, f"PORT={first + 10}")
        require_free(settings.host, second, f"PORT={first + 10}")
        require_free("127.0.0.1", settings.otlp_port, f"OTLP_PORT={settings.otlp_port + 10}")
        key = _cluster_key(settings)
        file = os.environ.get(f"{PREFIX}CONFIG")
        supervisor = Supervisor(plan(settings, Path(file).absolute() if file else None), click.echo)
        return supervisor.run((lambda: _greet(settings, key)) if greet else None)


def _cluster_key(settings: DemoSettings) -> str:
    if settings.cluster_key:
        write_private(settings.data / "cluster.key", settings.cluster_key + "\n")
    return make_cluster_key(settings.data)


@dataclass(slots=True)
class Running:
    """A child that has been started."""

    child: Child
    process: "subprocess.Popen[bytes]"
    log: ChildLog
    ready: bool = False
    ended: bool = False


class Supervisor:
    """Owns the processes of the demo; `say` shows one line to a person."""

    def __init__(self, children: Sequence[Child], say: Callable[[str], None]) -> None:
        self._children = children
        self._say = say
        self._running: list[Running] = []
        self._stopping = False
        self._colours = wants_colours(sys.stdout)

    def run(self, greet: Callable[[], None] | None) -> int:
        """Start all, greet when all are ready, and stay until a signal comes or none is left."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        try:
            for child in self._children:
                self._running.append(self._start(child))
            self._wait_until_ready()
            if greet and not self._stopping and self._alive():
                greet()
            self._watch()
        finally:
            self._stop()
        return 0 if self._stopping else 1

    def _on_signal(self, number: int, frame: object) -> None:
        self._stopping = True

    def _start(self, child: Child) -> Running:
        prepare_folder(child.folder)
        log = ChildLog(child.folder / "log")
        process = subprocess.Popen(
            [*launcher(), *child.arguments],
            stdin=subprocess.DEVNULL,
            stdout=log.open(),
            stderr=subprocess.STDOUT,
            env=child_environment(os.environ),
            # Ctrl-C reaches this process only, which then ends the others in order.
            start_new_session=True,
        )
        return Running(child, process, log)

    def _alive(self) -> list[Running]:
        return [running for running in self._running if not running.ended]

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not self._stopping and time.monotonic() < deadline:
            waited_for = [running for running in self._alive() if not running.ready]
            for running in waited_for:
                running.ready = is_ready(running.child.ready_url)
            if all(running.ready for running in waited_for):
                return
            self._tick()
        for running in self._alive():
            if not running.ready and not self._stopping:
                self._tell(running, f"is not ready yet; its log is {running.log.path}")

    def _watch(self) -> None:
        while not self._stopping and self._alive():
            self._tick()

    def _tick(self) -> None:
        for running in self._alive():
            self._show_log(running)
            running.log.rotate()
            if running.process.poll() is not None:
                self._bury(running)
        time.sleep(TICK_SECONDS)

    def _bury(self, running: Running) -> None:
        running.ended = True
        self._show_log(running)
        how = _how_it_ended(running.process.returncode)
        self._tell(running, f"{how}; start it again with: {shown_command(running.child)}")

    def _show_log(self, running: Running) -> None:
        for line in running.log.new_lines():
            self._tell(running, line)

    def _tell(self, running: Running, text: str) -> None:
        name = running.child.name
        if self._colours:
            name = click.style(name, fg=COLOURS[self._running.index(running) % len(COLOURS)])
        self._say(f"{name} | {text}")

    def _stop(self) -> None:
        deadline = time.monotonic() + STOP_SECONDS_MAX
        left = [running for running in self._running if running.process.poll() is None]
        for running in left:
            running.process.terminate()
        while left and time.monotonic() < deadline:
            time.sleep(0.02)
            left = [running for running in left if running.process.poll() is None]
        for running in left:
            self._tell(running, f"did not stop in {STOP_SECONDS_MAX} s and was killed")
            running.process.kill()
        for running in self._running:
            running.process.wait()
            running.log.close()


def _how_it_ended(code: int) -> str:
    if code < 0:
        return f"was killed by signal {-code}"
    return f"ended with exit code {code}"


def _greet(settings: DemoSettings, key: str) -> None:
    lines: list[Line] = []
    for name, hub in zip(("hub-1", "hub-2"), settings.hubs, strict=True):
        lines.append((name, login_url(hub.url, settings.data / name)))
    lines += [
        ("edge-1", f"http://127.0.0.1:{settings.otlp_port}  (OTLP/HTTP: logs, metrics, traces)"),
        ("Data", str(settings.data)),
        ("Ask", f"{_program()} nodes"),
        ("Next machine", _join_line(settings, key)),
        ("Stop", f"Ctrl-C here, or in another terminal: make stop{_data_word(settings)}"),
    ]
    title = "Headwater runs: two hubs that know the same, and an edge that reports to both."
    click.echo(screen(title, lines, colours=wants_colours(sys.stdout)))


def _program() -> str:
    """The command `headwater`, as short as it works from here."""
    installed = Path(sys.executable).with_name("headwater")
    if not installed.is_file():
        return "headwater"
    with contextlib.suppress(ValueError):
        return str(installed.relative_to(Path.cwd()))
    return str(installed)


def _data_word(settings: DemoSettings) -> str:
    return (
        ""
        if settings.data == Path("var").absolute()
        else f" DATA={shlex.quote(str(settings.data))}"
    )


def _join_line(settings: DemoSettings, key: str) -> str:
    if is_loopback(settings.host):
        return "start with HOST=0.0.0.0 INSECURE=1 so that others can reach the hubs; see README.md"
    host = socket.gethostname() if is_wildcard(settings.host) else settings.host
    hubs = ",".join(str(Address(host, hub.port)) for hub in settings.hubs)
    return f"./start.sh MODE=worker MASTERS={hubs} CLUSTER_KEY={key}"
