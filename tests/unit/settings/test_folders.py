"""Data folders, cluster keys and pid files."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.cli import cluster_key as edge_key
from edge.settings import EdgeSettings
from hub.cli.run import cluster_key as hub_key
from hub.settings import HubSettings
from shared.address import Address
from shared.errors import SettingsError
from shared.folder import find_cluster_key, make_cluster_key, prepare_folder
from shared.pidfile import NAME, PidFile, running, stop_all

FAR = (Address("10.0.0.1", 8470),)
NEAR = (Address("127.0.0.1", 8470),)


def test_a_folder_is_made_for_its_owner_only(tmp_path: Path) -> None:
    """Secrets and telemetry lie in it."""
    prepare_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize("folder", ["/dev/null/var", "/proc/headwater"])
def test_a_folder_that_cannot_be_written_is_one_sentence(folder: str) -> None:
    """For root, too, who may write anywhere that is writable at all."""
    with pytest.raises(SettingsError, match=f"cannot write to the data folder {folder}: "):
        prepare_folder(Path(folder))


def test_the_first_hub_makes_a_key_and_keeps_it(tmp_path: Path) -> None:
    """The key survives a restart."""
    made = hub_key(HubSettings(data=tmp_path))
    assert hub_key(HubSettings(data=tmp_path)) == made
    assert (tmp_path / "cluster.key").stat().st_mode & 0o777 == 0o600


def test_a_hub_with_peers_elsewhere_must_be_given_their_key(tmp_path: Path) -> None:
    """A key of its own would only lock it out."""
    with pytest.raises(SettingsError, match="need the same CLUSTER_KEY"):
        hub_key(HubSettings(data=tmp_path, peers=FAR))
    assert hub_key(HubSettings(data=tmp_path, peers=FAR, cluster_key="k")) == "k"


def test_hubs_of_one_machine_find_the_key_between_their_folders(tmp_path: Path) -> None:
    """That is how the demo hands it out."""
    key = make_cluster_key(tmp_path)
    folder = tmp_path / "hub-2"
    folder.mkdir()
    assert hub_key(HubSettings(data=folder, peers=NEAR)) == key


def test_an_edge_takes_the_key_of_a_hub_on_its_machine(tmp_path: Path) -> None:
    """MODE=master and MODE=worker side by side need no copying."""
    for name in ("hub", "edge"):
        (tmp_path / name).mkdir()
    key = make_cluster_key(tmp_path / "hub")
    assert edge_key(EdgeSettings(data=tmp_path / "edge", masters=NEAR)) == key


def test_an_edge_shows_a_key_that_lies_about_to_nobody_else(tmp_path: Path) -> None:
    """The key of the hubs here is not for hubs elsewhere."""
    make_cluster_key(tmp_path)
    (tmp_path / "edge").mkdir()
    with pytest.raises(SettingsError, match="needs the CLUSTER_KEY of its hubs"):
        edge_key(EdgeSettings(data=tmp_path / "edge", masters=FAR))
    own = make_cluster_key(tmp_path / "edge")
    assert edge_key(EdgeSettings(data=tmp_path / "edge", masters=FAR)) == own


def test_an_empty_key_file_is_an_error_and_not_a_key(tmp_path: Path) -> None:
    """An empty secret would let everybody in."""
    (tmp_path / "cluster.key").touch()
    with pytest.raises(SettingsError, match="is empty"):
        find_cluster_key(tmp_path, nearby=False)


HOLD = """
import sys, time
from pathlib import Path
from shared.pidfile import PidFile
with PidFile(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_folder_has_one_process_until_that_is_gone(
    tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    """The lock goes with the process, however it ends."""
    folder = tmp_path / "hub-1"
    folder.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        found = running(folder / NAME)
        assert found is not None
        assert found.pid == holder.pid
        with pytest.raises(SettingsError, match=f"already runs in .*process {holder.pid}"):
            PidFile(folder).__enter__()
        holder.kill()
    wait_until(lambda: running(folder / NAME) is None, "the lock is free")
    with PidFile(folder):
        pass


def test_stop_ends_what_runs_below_a_folder_and_says_so(tmp_path: Path) -> None:
    """A second stop has nothing to do."""
    folder = tmp_path / "hub-1"
    folder.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        holder.stdout.readline()
        assert list(stop_all(tmp_path)) == [f"stopped process {holder.pid} in {folder}"]
        assert holder.wait() != 0
    assert list(stop_all(tmp_path)) == []


def test_a_pid_file_left_behind_stops_nobody(tmp_path: Path) -> None:
    """A process id is used again by the system; the lock is not."""
    (tmp_path / NAME).write_text("1 0.0\n")
    assert running(tmp_path / NAME) is None
    assert list(stop_all(tmp_path)) == []
