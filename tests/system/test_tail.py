"""A live tail on the command line: its hub is killed, and the other goes on with the next record."""

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.system.oracle import SERVICE, Sender
from tests.system.processes import KEPT_VARIABLES, Fleet, HubProcess, eventually
from tests.system.starting import ROOT

END_SECONDS_MAX = 10.0


class Follower:
    """`headwater logs --follow` over the hubs of a fleet, which it finds in a data folder."""

    def __init__(self, fleet: Fleet, hubs: tuple[HubProcess, ...], *words: str) -> None:
        data = fleet.folder / "known"
        data.mkdir(exist_ok=True)
        for hub in hubs:
            known = data / hub.name
            if not known.is_symlink():
                known.symlink_to(hub.folder / "hub")
        self.position = fleet.folder / "position"
        self._rows, self._said = fleet.folder / "rows", fleet.folder / "talk"
        command = [str(ROOT / "start.sh"), f"VENV={fleet.venv}", "logs", "--follow", "-o", "ndjson"]
        kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        with self._rows.open("ab") as rows, self._said.open("ab") as said:
            self.process = subprocess.Popen(
                [*command, "--position", str(self.position), *words],
                stdin=subprocess.DEVNULL,
                stdout=rows,
                stderr=said,
                env={**kept, "HEADWATER_DATA": str(data)},
            )

    def bodies(self) -> list[str]:
        """What the rows say, of all followers so far; a line that is being written is left out."""
        lines = self._rows.read_bytes().split(b"\n")[:-1]
        return [orjson.loads(line)["body"] for line in lines]

    def said(self) -> str:
        """All talk."""
        return self._said.read_text()

    def has_begun(self) -> bool:
        """Whether it knows where it stands; fails at once when it has ended."""
        assert self.process.poll() is None, self.said()
        return self.position.exists()

    def interrupt(self) -> int:
        """Ctrl-C; returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(END_SECONDS_MAX)

    def end(self) -> None:
        """End it however it can be ended."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(END_SECONDS_MAX)


@pytest.fixture
def followers() -> Iterator[list[Follower]]:
    """All that a test starts; they end with it."""
    begun: list[Follower] = []
    yield begun
    for follower in begun:
        follower.end()


def assert_each_once(follower: Follower, sender: Sender) -> None:
    """All that was acknowledged is shown once, and nothing is shown twice."""
    shown = Counter(follower.bodies())
    assert [body for body, count in shown.items() if count > 1] == []
    assert sorted(set(sender.acked) - set(shown)) == []
    assert set(shown) <= set(sender.acked) | set(sender.unanswered)


def shows_all(follower: Follower, sender: Sender) -> None:
    """Wait until everything that was acknowledged is shown."""
    eventually(
        lambda: set(sender.acked) <= set(follower.bodies()),
        "all acknowledged records are shown",
        30,
    )


def test_a_killed_hub_leaves_neither_hole_nor_repeat(
    fleet: Fleet, followers: list[Follower]
) -> None:
    """Also when the hub comes back and the other is killed, and when the reader pauses."""
    hubs = fleet.two_hubs()
    edge = fleet.edge("edge-1", hubs)
    fleet.settled(hubs, edge)
    followers.append(Follower(fleet, hubs, "--service", SERVICE))
    (first,) = followers
    eventually(first.has_begun, "the tail begins")
    with Sender(edge.otlp_url) as sender:
        eventually(lambda: len(first.bodies()) > 200, "rows are shown")
        hubs[0].kill()
        shown = len(first.bodies())
        eventually(lambda: len(first.bodies()) > shown + 200, "rows go on", 30)
        assert "hub-1 is lost" in first.said()
        hubs[0].start()
        sender.until_acked(100)
        hubs[1].kill()
        shown = len(first.bodies())
        eventually(lambda: len(first.bodies()) > shown + 200, "rows go on again", 30)
    hubs[1].start()
    shows_all(first, sender)
    assert_each_once(first, sender)
    assert first.interrupt() == 0
    assert f"rows; --position {first.position}" in first.said()


def test_a_position_on_disk_goes_on_later_and_elsewhere(
    fleet: Fleet, followers: list[Follower]
) -> None:
    """What came while nobody followed is shown first, by a hub that the reader never spoke to."""
    hubs = fleet.two_hubs()
    edge = fleet.edge("edge-1", hubs)
    fleet.settled(hubs, edge)
    followers.append(Follower(fleet, hubs))
    eventually(followers[0].has_begun, "the tail begins")
    with Sender(edge.otlp_url) as sender:
        eventually(lambda: len(followers[0].bodies()) > 100, "rows are shown")
        assert followers[0].interrupt() == 0
        sender.until_acked(200)
    other = Path(fleet.folder / "known" / "hub-1")
    other.unlink()
    followers.append(Follower(fleet, hubs[1:]))
    shows_all(followers[1], sender)
    assert_each_once(followers[1], sender)
    assert followers[1].interrupt() == 0
