"""A console in a terminal, through a hub that has no link, and on through another when that one dies."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_ports
from tests.system.processes import KEPT_VARIABLES, Fleet, HubProcess, eventually
from tests.system.starting import ROOT

TOKEN = "the-admin-token-of-both-hubs"
WAIT_SECONDS = 60.0


class Terminal:
    """A person in front of `headwater vm console`."""

    def __init__(self, hubs: list[HubProcess], *words: str) -> None:
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        named = ",".join(hub.url.removeprefix("http://") for hub in hubs)
        kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        command = [sys.executable, "-m", "shared.main", "vm", "console", "--hub", named, *words]
        self.process = subprocess.Popen(
            command,
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            cwd=ROOT,
            env={**kept, "HEADWATER_TOKEN": TOKEN, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
        self.seen = b""

    def type(self, data: bytes) -> None:
        os.write(self.master, data)

    def see(self, pattern: bytes) -> None:
        """Wait until something is shown behind what was seen before."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not (found := re.search(pattern, self.seen)):
            assert time.monotonic() < deadline, (pattern, self.seen[-2000:])
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += os.read(self.master, 65536)
        self.seen = self.seen[found.end() :]

    def rest(self) -> bytes:
        """What was shown and not looked at."""
        while select.select([self.master], [], [], 0.1)[0]:
            self.seen += os.read(self.master, 65536)
        return self.seen

    @property
    def is_raw(self) -> bool:
        return not termios.tcgetattr(self.slave)[3] & termios.ICANON

    @property
    def is_as_before(self) -> bool:
        return termios.tcgetattr(self.slave) == self.before

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        os.close(self.master)
        os.close(self.slave)


@contextmanager
def terminal(hubs: list[HubProcess], *words: str) -> Iterator[Terminal]:
    made = Terminal(hubs, *words)
    try:
        yield made
    finally:
        made.end()


def known_token(hub: HubProcess) -> HubProcess:
    """Give a hub the token that the other has, and start it."""
    folder = Path(hub.folder) / "hub"
    folder.mkdir(parents=True)
    file = folder / "admin.token"
    file.write_text(TOKEN)
    file.chmod(0o600)
    hub.start()
    return hub


def far_and_near(fleet: Fleet) -> tuple[HubProcess, HubProcess]:
    """A hub that no edge can reach, its peer that has the link, and a machine that runs."""
    (closed,) = free_ports(1)
    near = known_token(fleet.hub("hub-1", start=False))
    words = (f"PEER_MASTERS={near.url.removeprefix('http://')}",)
    advertised = f"ADVERTISE_URL=http://127.0.0.1:{closed}"
    far = known_token(fleet.hub("hub-2", *words, advertised, start=False))
    fleet.edge("edge-1", [near], "ALLOW_UNISOLATED=1")
    eventually(lambda: near.has_link_to(1), "the near hub has a link")
    eventually(lambda: far.node_ids() == ["edge-1"], "the far hub has heard of the edge")
    spec = {"name": "web", "image": "builtin:shell"}
    near.call("vm.create", node="edge-1", spec=spec, start=True, wait_s=20)
    eventually(lambda: far.call("vm.list")["items"], "the far hub has heard of the machine")
    return far, near


def test_a_console_goes_on_through_the_other_hub_when_its_own_dies(fleet: Fleet) -> None:
    far, near = far_and_near(fleet)
    with terminal([far, near], "web") as person:
        person.see(rb"connected to web on edge-1 through hub-2 and hub-1; Ctrl-\] q leaves")
        eventually(lambda: person.is_raw, "keys are handed over one by one")
        person.type(b"echo one-$((40+2))\r")
        person.see(rb"one-42")
        far.kill()
        person.see(rb"is lost; .*going on through another hub")
        person.see(rb"connected to web on edge-1 through hub-1")
        assert b"one-42" not in person.seen
        person.type(b"echo two-$((40+2))\r")
        person.see(rb"two-42")
        assert b"one-42" not in person.seen
        person.type(b"\x1dr")
        person.see(rb"\[as you wish; going on through another hub")
        person.see(rb"connected to web on edge-1 through hub-1")
        person.type(b"\x1dq")
        assert person.process.wait(20) == 0, person.rest()
        assert person.is_as_before
    opened = eventually(lambda: events(near, "console.opened"), "the hub tells who opened it")
    assert opened[0]["attributes"]["vm"] == "web"


def test_a_console_outlives_the_agent_and_follows_the_size_of_its_window(fleet: Fleet) -> None:
    far, near = far_and_near(fleet)
    edge = fleet.roles[-1]
    with terminal([far, near], "web") as person:
        person.see(rb"connected to web")
        edge.kill()
        person.see(rb"going on through another hub")
        edge.start()
        person.see(rb"connected to web")
        size = struct.pack("HHHH", 33, 99, 0, 0)
        fcntl.ioctl(person.slave, termios.TIOCSWINSZ, size)
        person.process.send_signal(signal.SIGWINCH)
        person.type(b"sleep 1; stty size\r")
        person.see(rb"33 99")
        near.call("vm.stop", vm="web", mode="force", wait_s=20)
        person.see(rb"the console is over: the sandbox does not run")
        assert person.process.wait(20) == 0
        assert person.is_as_before


def piped(hubs: list[HubProcess], typed: str, *words: str) -> str:
    """What `headwater vm ...` shows without a terminal."""
    named = ",".join(hub.url.removeprefix("http://") for hub in hubs)
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-m", "shared.main", "vm", *words, "--hub", named],
        input=typed.encode(),
        capture_output=True,
        cwd=ROOT,
        env={**kept, "HEADWATER_TOKEN": TOKEN, "PYTHONPATH": str(ROOT)},
        timeout=WAIT_SECONDS,
        check=True,
    )
    return done.stdout.decode()


def test_pipes_type_and_show_and_the_log_shows_it_afterwards(fleet: Fleet) -> None:
    far, near = far_and_near(fleet)
    shown = piped([far, near], "echo piped-$((40+2))\n", "console", "web", "--linger", "3")
    assert "piped-42" in shown
    assert "connected" not in shown
    assert "piped-42" in piped([far, near], "", "log", "web")


def events(hub: HubProcess, name: str) -> list[dict[str, dict[str, str]]]:
    return [each for each in hub.records(signal="events") if each["event_name"] == name]


def test_a_killed_command_leaves_the_terminal_as_it_was(fleet: Fleet) -> None:
    far, near = far_and_near(fleet)
    for number in (signal.SIGTERM, signal.SIGKILL):
        with terminal([near, far], "web") as person:
            person.see(rb"connected to web")
            eventually(lambda: person.is_raw, "keys are handed over one by one")
            person.process.send_signal(number)
            person.process.wait(20)
            eventually(lambda: person.is_as_before, "the terminal is as it was")
