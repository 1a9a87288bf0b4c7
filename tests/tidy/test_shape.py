"""The shape of the tree: sizes, notes, nothing left for later, nothing of one machine."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LINES_MAX = 380  # Past this, a file holds a second thing that wants its own name.

TEXTS = frozenset({".py", ".md", ".toml", ".sh", ".html", ".css", ".js", ".lock", ".cfg", ""})


def files() -> list[Path]:
    """Every text file that is or would be part of the project."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("without git it is not known which files belong to the project")
    listed = subprocess.run(
        # A clone may belong to somebody else than who runs the tests, as in a container.
        [
            "git",
            "-c",
            f"safe.directory={ROOT}",
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = (ROOT / line for line in listed.stdout.splitlines())
    return [path for path in paths if path.suffix in TEXTS and path.is_file()]


def test_no_file_is_too_long() -> None:
    """A newcomer reads a file in one sitting."""
    sizes = {path: len(path.read_bytes().splitlines()) for path in files() if path.suffix == ".py"}
    assert {str(path): size for path, size in sizes.items() if size > LINES_MAX} == {}


def test_nothing_is_left_for_later() -> None:
    """What is missing is an issue, not a remark in the code."""
    marks = re.compile(rb"\b(" + b"|".join([b"TODO", b"FIXME", b"XXX"]) + rb")\b")
    ours = [path for path in files() if "vendor" not in path.parts and path.suffix != ".lock"]
    found = [path for path in ours if path != Path(__file__)]
    found = [path for path in found if marks.search(path.read_bytes())]
    assert found == [], found


@pytest.mark.parametrize("package", ["shared", "edge", "hub"])
def test_every_package_explains_itself(package: str) -> None:
    """Purpose, the way of the data, decisions and their price."""
    assert len((ROOT / package / "DESIGN.md").read_text(encoding="utf-8")) > 500


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-test.lock"])
def test_the_locks_name_no_host_and_no_machine(name: str) -> None:
    """They install from wherever the person's pip is told to; every package has its hashes."""
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not re.search(r"://|--(index|find|extra|trusted)|(^|\s)/[a-z]", text, re.MULTILINE)
    pinned = re.findall(r"^[a-z0-9][a-z0-9._-]*==\S+(?: ; [^\\\n]+)? \\$", text, re.MULTILINE)
    assert len(pinned) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE)) > 20


def test_the_lock_holds_what_the_project_asks_for() -> None:
    """A dependency that was added without `make lock` would be missing on every other machine."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    text = (ROOT / "requirements-test.lock").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([a-z0-9._-]+)==([^ ]+)", text, re.MULTILINE))
    for requirement in map(Requirement, asked):
        version = pinned.get(canonicalize_name(requirement.name), "nothing")
        assert requirement.specifier.contains(version), f"{requirement} is locked to {version}"


def test_the_lock_of_the_tests_holds_that_of_a_run() -> None:
    """start.sh relies on it: whoever has installed the former has the latter, too."""

    def pins(name: str) -> set[str]:
        text = (ROOT / name).read_text(encoding="utf-8")
        return set(re.findall(r"^[a-z0-9._-]+==[^ ]+", text, re.MULTILINE))

    assert pins("requirements.lock") < pins("requirements-test.lock")


@pytest.mark.parametrize("name", ["start.sh", ".ci/run"])
def test_scripts_are_plain_shell(name: str) -> None:
    """A bare Debian has dash and nothing else."""
    path = ROOT / name
    assert path.read_text(encoding="utf-8").startswith("#!/bin/sh\n")
    assert path.stat().st_mode & 0o111
    subprocess.run(["sh", "-n", str(path)], check=True)
