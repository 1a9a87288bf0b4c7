"""What processes use is what the kernel says of them, as the /proc of a host made up here."""

import os
from pathlib import Path

import pytest

from edge.vm import usage
from edge.vm.driver import Sample
from edge.vm.usage import PAGE_BYTES, TICKS_PER_SECOND, sample_of

NET = """Inter-|   Receive                            |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop
    lo:     900       9    0    0    0     0          0         0      900       9    0    0
  eth0:     300       3    0    0    0     0          0         0       70       1    0    0
"""


class Host:
    """Its processes; the one that looks shares the network "host"."""

    def __init__(self, proc: Path) -> None:
        self.proc = proc
        self.pids: list[int] = []
        self.add(os.getpid(), net="host")
        self.pids.clear()

    def add(self, pid: int, net: str, read: int = 0, written: int = 0) -> None:
        """A process that used two ticks itself, five with its children, and three pages."""
        folder = self.proc / str(pid)
        (folder / "ns").mkdir(parents=True)
        (folder / "net").mkdir()
        before = " ".join(["S", "1", *"0" * 9])
        (folder / "stat").write_text(f"{pid} (a) b) {before} 1 1 2 1 {'0 ' * 6}3 0")
        (folder / "io").write_text(f"rchar: 1\nread_bytes: {read}\nwrite_bytes: {written}\n")
        (folder / "ns" / "net").symlink_to(f"net:[{net}]")
        (folder / "net" / "dev").write_text(NET)
        self.pids.append(pid)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host(tmp_path)
    monkeypatch.setattr(usage, "PROC", str(tmp_path))
    monkeypatch.setattr(usage, "below", lambda root: list(made.pids))
    return made


def test_all_that_a_tree_uses_is_summed(host: Host) -> None:
    host.add(7, net="host", read=10)
    host.add(8, net="inner", read=4, written=20)
    assert sample_of(1) == Sample(10 / TICKS_PER_SECOND, 6 * PAGE_BYTES, 2, 14, 20, 300, 70)


def test_the_network_of_the_host_is_not_that_of_a_process(host: Host) -> None:
    host.add(7, net="host")
    used = sample_of(1)
    assert (used.net_received_bytes, used.net_sent_bytes) == (None, None)


def test_a_process_that_ends_meanwhile_hides_no_other(host: Host) -> None:
    host.add(7, net="inner", read=10)
    host.pids.append(8)
    used = sample_of(1)
    assert (used.processes, used.disk_read_bytes, used.net_sent_bytes) == (1, 10, 70)


def test_what_may_not_be_seen_is_not_known(host: Host) -> None:
    """Neither as a zero, nor as the part of it that may."""
    host.add(7, net="inner", read=10)
    host.add(8, net="inner")
    (host.proc / "8" / "io").unlink()
    (host.proc / "8" / "io").mkdir()
    used = sample_of(1)
    assert (used.disk_read_bytes, used.disk_written_bytes) == (None, None)
    assert used.processes == 2


def test_nothing_is_known_of_a_tree_that_is_gone(host: Host) -> None:
    used = sample_of(1)
    assert (used.disk_read_bytes, used.net_sent_bytes) == (None, None)
