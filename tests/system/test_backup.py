"""A backup of a hub that runs, brought back into a new folder: complete again beside its peer, and no
record twice."""

import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.soak.verdict import verify
from tests.system.identity import assert_identical, picture
from tests.system.oracle import (
    SERVICE,
    Sender,
    assert_nothing_lost_or_double,
    assert_whole_chain,
    chunks_on_disk,
    counted,
    has_all,
)
from tests.system.processes import EdgeProcess, Fleet, HubProcess, eventually
from tests.system.starting import once


@dataclass
class Scene:
    """Two hubs, an edge that sends, and a backup that was made of the first hub meanwhile. Each test
    leaves them whole."""

    fleet: Fleet
    hub: HubProcess
    peer: HubProcess
    edge: EdgeProcess
    sender: Sender
    backup: Path

    def headwater(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        return once(self.fleet.venv, *words)

    def lose_the_disk(self) -> None:
        """The first hub dies, and its folder is never seen again."""
        self.hub.kill()
        self.hub.folder.rename(self.fleet.folder / "lost")

    def assert_complete(self) -> None:
        """Both hubs have everything once, in whole chains, the same bytes, and prove it."""
        hubs = (self.hub, self.peer)
        for hub in hubs:
            eventually(partial(has_all, hub, self.sender), f"{hub.name} has everything", 60)
        assert_identical(hubs)
        for hub in hubs:
            chunks = chunks_on_disk(hub.database, "edge-1")
            assert_whole_chain(chunks)
            assert_nothing_lost_or_double(counted(chunks), self.sender)
            found = [each["body"] for each in hub.records(service=SERVICE)]
            assert sorted(found) == sorted(counted(chunks))
            assert verify(hub, "edge-1") == ("verified", [])
            assert hub.call("ledger.conflicts")["items"] == []


@pytest.fixture(scope="module")
def scene(lasting_fleet: Fleet) -> Scene:
    fleet = lasting_fleet
    hub, peer = fleet.two_hubs()
    edge = fleet.edge("edge-1", [hub, peer])
    fleet.settled([hub, peer], edge)
    scene = Scene(fleet, hub, peer, edge, Sender(edge.otlp_url), fleet.folder / "backup")
    with scene.sender as sender:
        sender.until_acked(500)
        made = scene.headwater(
            "hub", "backup", str(scene.backup), "--data", str(hub.folder / "hub")
        )
        assert made.returncode == 0, made.stderr
        sender.until_acked(500)
    return scene


def test_a_backup_of_a_running_hub_makes_a_lost_hub_complete_again(scene: Scene) -> None:
    """What came after the backup was made is fetched from the peer; the edge goes on with its log. The
    hub writes its own log under another epoch: its former life may have written more than the backup
    knows, and no number is used twice."""
    scene.lose_the_disk()
    epochs_before = own_epochs(scene.peer)
    with scene.sender as sender:
        sender.until_acked(200)
        words = ("hub", "restore", str(scene.backup), "--data", str(scene.hub.folder / "hub"))
        restored = scene.headwater(*words)
        assert restored.returncode == 0, restored.stderr
        held_then = picture(scene.hub.folder / "hub")
        assert held_then
        scene.hub.start()
        sender.until_acked(200)
    eventually(lambda: own_epochs(scene.peer) > epochs_before, "its log has begun a new life")
    scene.assert_complete()
    held = picture(scene.peer.database.parent)
    assert all(held.get(key) == kept for key, kept in held_then.items() if key[0] != "hub-1")


def own_epochs(hub: HubProcess) -> set[str]:
    """The epochs of the first hub's own log that some hub holds."""
    return {each.header.epoch for each in chunks_on_disk(hub.database, "hub-1")}


def test_a_backup_that_was_changed_is_not_brought_back(scene: Scene) -> None:
    """The file is named, and the folder stays as empty as it was."""
    day_file = max((scene.backup / "days").glob("*.db"), key=lambda path: path.stat().st_size)
    sound = day_file.read_bytes()
    spoilt = bytearray(sound)
    spoilt[len(spoilt) // 2] ^= 1
    day_file.write_bytes(spoilt)
    new = scene.fleet.folder / "new"
    refused = scene.headwater("hub", "restore", str(scene.backup), "--data", str(new))
    assert refused.returncode == 2
    assert day_file.name in refused.stderr
    assert not (new / "hub.db").exists()
    day_file.write_bytes(sound)


def test_a_backup_is_not_brought_back_over_a_store(scene: Scene) -> None:
    """Neither while the hub runs nor when it is stopped: what is there is worth more than a copy."""
    words = ("hub", "restore", str(scene.backup), "--data", str(scene.hub.folder / "hub"))
    assert scene.headwater(*words).returncode == 2
    scene.hub.stop()
    held = picture(scene.hub.database.parent)
    refused = scene.headwater(*words)
    assert refused.returncode == 2
    assert "holds a store already" in refused.stderr
    assert picture(scene.hub.database.parent) == held
    scene.hub.start()
