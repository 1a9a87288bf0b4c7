"""Machines of a test: a network namespace each, joined by a wire that can be cut, slow or lossy.

Everything is made of what Python and a Linux kernel have: namespaces by `unshare` and `nsenter` (of
util-linux, which every Debian has), TUN cards, and a wire in this process. Kernels of small virtual
machines often lack `netem`, and a bare Debian lacks `ip`, `tc` and `nft`.
Root is not needed where the kernel lets everybody make user namespaces.
"""

import contextlib
import os
import select
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.ports import free_ports
from tests.system.wire import CUT, Weather, Wire

KEEPER = Path(__file__).with_name("namespace_keeper.py")
CARD = Path("/dev/net/tun")
NETWORK = "10.77.0."
PORT = 7401
"""Every machine has all ports for itself."""

MADE_SECONDS_MAX = 20.0


@dataclass(slots=True)
class Machine:
    """A namespace: its address on the wire, and the port outside through which the test reaches it.

    The test comes in by a door that no fault touches.
    """

    name: str
    address: str
    door_port: int
    keeper: "subprocess.Popen[bytes]"
    card: int
    line: socket.socket

    @property
    def words(self) -> tuple[str, ...]:
        """What to write before a command so that it runs there, as the same process."""
        whose = () if os.geteuid() == 0 else ("--user", "--preserve-credentials")
        return ("nsenter", f"--target={self.keeper.pid}", *whose, "--net", "--")

    @property
    def url(self) -> str:
        """Where the test reaches what listens there, whatever the weather."""
        return f"http://127.0.0.1:{self.door_port}"

    def end(self) -> None:
        """Take it down; the kernel removes the rest with the last process inside."""
        self.line.close()
        os.close(self.card)
        try:
            self.keeper.wait(5)
        except subprocess.TimeoutExpired:
            self.keeper.kill()
            self.keeper.wait(5)


@dataclass(slots=True)
class Network:
    """Some machines and the wire between them."""

    machines: dict[str, Machine]
    wire: Wire

    def weather(self, source: str, target: str, weather: Weather) -> None:
        """What packets from one machine to another meet from now on."""
        self.wire.set(self.machines[source].address, self.machines[target].address, weather)

    def weather_everywhere(self, weather: Weather) -> None:
        """The same between all."""
        for source in self.machines:
            self.part([source], [name for name in self.machines if name != source], weather)

    def part(self, some: Sequence[str], others: Sequence[str], weather: Weather = CUT) -> None:
        """Nothing passes between these and those, or with such weather, in both directions."""
        for one in some:
            for other in others:
                self.weather(one, other, weather)
                self.weather(other, one, weather)

    def heal(self) -> None:
        """Everything passes again, at once."""
        self.wire.heal()


@cache
def why_not() -> str:
    """Why namespaces cannot be made here; empty when they can."""
    missing = [name for name in ("unshare", "nsenter") if shutil.which(name) is None]
    if missing:
        return f"network namespaces need the program {' and '.join(missing)}"
    if not os.access(CARD, os.R_OK | os.W_OK):
        return f"network cards need {CARD}, which is not here, or not for this user"
    done = subprocess.run([*_unshare(), "true"], capture_output=True, check=False, text=True)
    if done.returncode:
        return f"no network namespace can be made here: {done.stderr.strip()}"
    return ""


def _unshare() -> tuple[str, ...]:
    mine = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    return ("unshare", *mine, "--net", "--")


@contextlib.contextmanager
def network(*names: str) -> Iterator[Network]:
    """Machines with these names on one wire; skips the test where the system does not allow them."""
    if reason := why_not():
        pytest.skip(reason)
    with contextlib.ExitStack() as ends:
        machines: dict[str, Machine] = {}
        for number, name in enumerate(names, 1):
            # Hubs listen on the wire, edges on loopback only.
            machines[name] = _machine(name, f"{NETWORK}{number}", name.startswith("hub"))
            ends.callback(machines[name].end)
        wire = Wire({each.address: each.card for each in machines.values()})
        yield Network(machines, ends.enter_context(wire))


def _machine(name: str, address: str, listens_on_wire: bool) -> Machine:
    ours, theirs = socket.socketpair()
    (door_port,) = free_ports(1)
    with theirs, socket.create_server(("127.0.0.1", door_port)) as door:
        host = address if listens_on_wire else "127.0.0.1"
        inherited = (door.fileno(), theirs.fileno())
        words = [str(KEEPER), address, host, str(PORT), *map(str, inherited)]
        keeper = subprocess.Popen(
            [*_unshare(), sys.executable, "-I", "-S", *words],
            stdin=subprocess.DEVNULL,
            pass_fds=inherited,
            start_new_session=True,
        )
    return Machine(name, address, door_port, keeper, _card_from(ours, keeper), ours)


def _card_from(line: socket.socket, keeper: "subprocess.Popen[bytes]") -> int:
    readable, _, _ = select.select([line], [], [], MADE_SECONDS_MAX)
    _, cards, _, _ = socket.recv_fds(line, 16, 1) if readable else (b"", [], 0, None)
    if not cards:
        line.close()
        keeper.kill()
        keeper.wait(5)
        pytest.fail("a network namespace has no card; what its keeper says is above")
    return cards[0]
