"""Control groups: which can be used, what they hold, and that none of ours stays behind."""

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from edge.vm import cgroups, cgroups_find
from edge.vm.cgroups_find import Hierarchies, Wanted, find_hierarchies
from edge.vm.launch import load_launch, load_state
from edge.vm.sandbox_ground import swept

from .conftest import Node, OpenNode, end_shim
from .waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux")
MIB = 1024 * 1024
ALL = Wanted(64 * MIB, 50, 16)
HUNGRY = ("/bin/sh", "-c", "head -c 400000000 /dev/zero | tail -c 300000000 >/dev/null")
SPINNING = ("/bin/sh", "-c", "while :; do :; done")


@pytest.fixture
def usable(folder: Path) -> Iterator[Hierarchies]:
    """Where groups can be made here; tests that need more than there is are skipped."""
    found = find_hierarchies(folder / "sandboxes")
    if set(found.parents) != {"cpu", "memory", "pids"}:
        pytest.skip(f"only these control groups can be used here: {sorted(found.parents)}")
    yield found
    for groups in found.left().values():
        cgroups.remove(groups)


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(["/bin/sleep", "60"]) as process:
        yield process
        process.kill()


def test_a_group_holds_its_limits_and_is_removed_with_what_runs_in_it(
    usable: Hierarchies, sleeper: "subprocess.Popen[bytes]"
) -> None:
    groups = usable.groups_for("box", ALL)
    cgroups.make(groups)
    for path, limits in groups.items():
        for name, text in limits.items():
            if Path(path, name).exists():
                assert Path(path, name).read_text().split() == text.split()
        cgroups.write(Path(path, "cgroup.procs"), str(sleeper.pid))
        assert cgroups.processes(path) == [sleeper.pid]
    assert usable.left() == {"box": sorted(groups, key=lambda path: str(Path(path).parent))}
    assert cgroups.remove(groups) is True
    assert usable.left() == {}
    assert sleeper.wait(10) == -9


def test_making_a_group_anew_forgets_the_one_of_a_crash(usable: Hierarchies) -> None:
    cgroups.make(usable.groups_for("box", ALL))
    cgroups.make(usable.groups_for("box", Wanted(memory_bytes=32 * MIB)))
    assert len(usable.left()["box"]) == len(usable.groups_for("box", ALL))


def test_a_group_that_cannot_be_made_whole_is_not_made(folder: Path) -> None:
    groups = {str(folder / "one"): {}, str(folder / "two"): {"no.such.limit": "1"}}
    with pytest.raises(FileNotFoundError):
        cgroups.make(groups)
    assert not (folder / "one").exists()
    assert not (folder / "two").exists()


def test_the_groups_of_another_data_folder_are_nobodys_business(
    usable: Hierarchies, folder: Path
) -> None:
    """Two agents of one host, and whatever else makes groups there."""
    other = find_hierarchies(folder / "other")
    theirs = other.groups_for("box", ALL)
    try:
        cgroups.make(theirs)
        cgroups.make(usable.groups_for("box", ALL))
        swept(folder / "sandboxes")
        assert usable.left() == {}
        assert set(other.left()["box"]) == set(theirs)
    finally:
        cgroups.remove(theirs)


@pytest.mark.parametrize(
    ("own", "mounts"),
    [
        ("", ""),
        ("0::/", "30 20 0:26 / {f}/v2 ro - cgroup2 cgroup2 ro\n"),
        ("0::/a/b", "30 20 0:26 / {f}/v2 rw - cgroup2 cgroup2 rw\n"),
        ("4:memory:/docker/x", "30 20 0:26 / {f}/memory rw - cgroup cgroup rw,memory\n"),
        ("4:memory:/elsewhere", "30 20 0:26 /docker {f}/memory rw - cgroup cgroup rw,memory\n"),
        ("nonsense\n:::\n\n4", "30\n - \n30 20 - cgroup\n30 20 0:26 / - cgroup2 x y\n"),
    ],
)
def test_what_does_not_work_when_tried_is_not_there(folder: Path, own: str, mounts: str) -> None:
    """Ordinary folders look like groups and hold no process."""
    (folder / "self").mkdir()
    (folder / "v2/a/b").mkdir(parents=True)
    (folder / "memory/docker/x").mkdir(parents=True)
    (folder / "self/cgroup").write_text(own)
    (folder / "self/mountinfo").write_text(mounts.format(f=folder))
    found = find_hierarchies(folder / "sandboxes", folder)
    assert (found.version, found.parents) == (0, {})
    assert list((folder / "memory/docker/x").iterdir()) == []


@pytest.mark.parametrize("mark", ["1", "0", None])
def test_only_a_group_that_was_left_to_us_is_divided(
    folder: Path, mark: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version 2, by the mark that systemd sets; the files are ordinary ones."""
    monkeypatch.setattr(cgroups_find, "_works", lambda hierarchies: True)
    parent = folder / "v2/unit"
    (parent / "agent").mkdir(parents=True)
    (parent / "cgroup.subtree_control").touch()
    (folder / "self").mkdir()
    (folder / "self/cgroup").write_text("0::/unit/agent\n")
    (folder / "self/mountinfo").write_text(f"30 20 0:26 / {folder}/v2 rw - cgroup2 cgroup2 rw\n")
    marks = {"user.delegate": mark.encode()} if mark else {}
    monkeypatch.setattr(os, "getxattr", partial(_xattr, str(parent), marks))
    found = find_hierarchies(folder / "sandboxes", folder)
    is_ours = mark == "1"
    assert set(found.parents.values()) == ({str(parent)} if is_ours else set())
    assert bool((parent / "cgroup.subtree_control").read_text()) is is_ours


def _xattr(path: str, marks: dict[str, bytes], asked: str, name: str) -> bytes:
    """Not every file system of a test can hold such marks."""
    if asked == path and name in marks:
        return marks[name]
    raise OSError(61, "no data available")


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (
            1,
            {
                "cpu.cfs_period_us": "100000",
                "cpu.cfs_quota_us": "50000",
                "memory.limit_in_bytes": "67108864",
                "memory.memsw.limit_in_bytes": "67108864",
                "pids.max": "18",
            },
        ),
        (
            2,
            {
                "cpu.max": "50000 100000",
                "memory.max": "67108864",
                "memory.swap.max": "0",
                "pids.max": "18",
            },
        ),
    ],
)
def test_limits_as_each_version_writes_them(version: int, expected: dict[str, str]) -> None:
    """The wrappers of bubblewrap are counted with the payload, and allowed for."""
    parents = dict.fromkeys(("cpu", "memory", "pids"), "/groups")
    found = Hierarchies("ours-", version, parents)
    assert found.groups_for("box", ALL) == {"/groups/ours-box": expected}
    assert found.held(Wanted(pids=5)) == ["pids"]


@pytest.mark.usefixtures("usable")
async def test_a_sandbox_killed_for_memory_says_so(open_node: OpenNode) -> None:
    """The sum over its processes counts; afterwards its groups are gone."""
    node = await open_node(templates={"hungry": HUNGRY})
    created = await node.call(
        "vm.create",
        spec={"name": "box", "image": "template:hungry", "limits": {"memory_mib": 32}},
        start=True,
        wait_s=30,
    )
    assert created["state"] == "done", created
    record = await until(node.get, lambda seen: seen["state"] == "failed")
    assert (record["reason"], record["exit"]["signal"]) == ("killed_oom", 9)
    assert find_hierarchies(node.folder / "sandboxes").left() == {}


@pytest.mark.usefixtures("usable")
async def test_a_kill_from_outside_is_not_taken_for_one_for_memory(node: Node) -> None:
    record = await node.create(limits={"memory_mib": 64})
    os.kill(record["pid"], 9)
    record = await until(node.get, lambda seen: seen["state"] == "failed")
    assert record["reason"] == "killed_external"


async def test_a_sandbox_that_spins_is_held_back(open_node: OpenNode, usable: Hierarchies) -> None:
    node = await open_node(templates={"spin": SPINNING})
    record = await node.create(image="template:spin", limits={"cpu_percent": 10})
    assert record["limits_enforced"]["cpu"] is True
    folder = next(path for path in usable.left()[record["id"]] if Path(path, "cpu.stat").exists())

    async def throttled() -> int:
        lines = Path(folder, "cpu.stat").read_text().splitlines()
        return int(dict(line.split() for line in lines)["nr_throttled"])

    await until(throttled, lambda seen: seen > 3)


@pytest.mark.usefixtures("usable")
async def test_what_is_enforced_is_what_was_asked_and_can_be_held(node: Node) -> None:
    record = await node.create(limits={"memory_mib": 64, "pids": 16})
    assert record["limits_enforced"] == {
        "cpu": False,
        "memory": True,
        "memory_per_process": False,
        "pids": True,
        "disk": True,
    }
    launch = load_launch(node.sandbox(record))
    assert launch.address_space_bytes_max is None
    assert record["pid"] in cgroups.processes(next(iter(launch.groups)))
    state = load_state(node.sandbox(record))
    assert state is not None
    assert state.shim_pid not in cgroups.processes(next(iter(launch.groups)))


@pytest.mark.usefixtures("usable")
async def test_commands_inside_count_for_its_limits(node: Node) -> None:
    record = await node.create(limits={"memory_mib": 48})
    script = "head -c 400000000 /dev/zero | tail -c 300000000 >/dev/null; exit $?"
    done = await node.call("vm.exec", vm="box", argv=["/bin/sh", "-c", script], timeout_s=30)
    assert (done["code"], done["signal"]) == (137, None)
    assert (await node.get())["state"] == "running"
    assert cgroups.kills_for_memory(load_launch(node.sandbox(record)).groups) >= 1


async def test_groups_of_a_killed_shim_go_when_its_end_is_noticed(
    node: Node, usable: Hierarchies
) -> None:
    record = await node.create()
    assert record["id"] in usable.left()
    end_shim(node.sandbox(record))
    await until(node.get, lambda seen: seen["state"] != "running")

    async def left() -> object:
        return usable.left()

    await until(left, lambda seen: seen == {})


async def test_groups_of_a_crash_go_when_the_agent_comes_back(
    open_node: OpenNode, usable: Hierarchies
) -> None:
    """Those of sandboxes that still run stay."""
    node = await open_node()
    lost, kept = await node.create("lost"), await node.create("kept")
    await node.service.close()
    end_shim(node.sandbox(lost))
    assert set(usable.left()) == {lost["id"], kept["id"]}
    node = await open_node()
    await node.call("node.drivers")
    assert set(usable.left()) == {kept["id"]}
    await node.call("vm.delete", vm="kept", force=True, wait_s=20)
    assert usable.left() == {}
