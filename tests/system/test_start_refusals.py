"""What start.sh says when something is wrong: one sentence, exit 2, and never a traceback."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.starting import ROOT, Ports, assert_refused, demo_ports, once


@pytest.mark.parametrize("which", ["PORT", "PORT+1", "OTLP_PORT"])
def test_a_taken_port_is_one_sentence(
    venv: str, short_folder: Path, free_ports: Ports, which: str
) -> None:
    """It names the port and the setting that chooses another one."""
    port, otlp_port = demo_ports(free_ports)
    taken = {"PORT": port, "PORT+1": port + 1, "OTLP_PORT": otlp_port}[which]
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", taken))
        holder.listen()
        words = [f"PORT={port}", f"OTLP_PORT={otlp_port}", f"DATA={short_folder}/d"]
        done = once(venv, *words)
    assert_refused(done, f"cannot listen on 127.0.0.1 port {taken}: Address already in use")
    assert f"choose another one with {which.partition('+')[0]}=" in done.stderr


@pytest.mark.parametrize("mode", ["master", "worker"])
def test_a_taken_port_is_one_sentence_in_the_single_modes(
    venv: str, short_folder: Path, mode: str
) -> None:
    """As in the demo."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        words = [f"MODE={mode}", f"DATA={short_folder}", "CLUSTER_KEY=k"]
        done = once(venv, *words, f"{'PORT' if mode == 'master' else 'OTLP_PORT'}={port}")
    assert_refused(done, f"port {port}: Address already in use")


WRONG = [
    (["PRT=1"], "the setting PRT is not known: did you mean PORT?"),
    (["PORT=web"], "port (PORT) must be a whole number"),
    (["DATA=/dev/null/x"], "cannot write to the data folder /dev/null/x"),
    (["MODE=mastre"], "MODE=mastre is not known: did you mean master?"),
    (["MODE=master", "HOST=0.0.0.0"], "INSECURE=1"),
    (["--prepare", "tests"], "--prepare knows 'test' or nothing"),
]


@pytest.mark.parametrize(("words", "said"), WRONG)
def test_a_wrong_word_is_one_sentence(venv: str, words: list[str], said: str) -> None:
    """Never a traceback."""
    assert_refused(once(venv, *words), said)


def test_a_worker_without_a_key_is_one_sentence(venv: str, short_folder: Path) -> None:
    """It says where the key is to be had."""
    words = ["MODE=worker", "MASTERS=10.0.0.1", f"DATA={short_folder}"]
    assert_refused(once(venv, *words), "an edge needs the CLUSTER_KEY of its hubs")


def test_an_unknown_variable_is_one_sentence(venv: str) -> None:
    """HEADWATER_ in front means that somebody meant us."""
    done = once(venv, HEADWATER_PEER_MASTER="x")
    assert_refused(done, "the environment variable HEADWATER_PEER_MASTER is not known")


def test_make_passes_its_words_on(venv: str) -> None:
    """A mistake in `make start PEER_MASTER=a` is caught as in start.sh."""
    done = subprocess.run(
        ["make", "-s", "start", f"VENV={venv}", "PEER_MASTER=a"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "the setting PEER_MASTER is not known: did you mean PEER_MASTERS?" in done.stderr


def test_nothing_to_stop_is_no_error(venv: str, short_folder: Path) -> None:
    """Neither with an installation nor without one."""
    done = once(venv, "stop", f"DATA={short_folder}")
    assert (done.returncode, done.stderr) == (0, f"nothing runs in {short_folder}\n")
    done = once(str(short_folder / "none"), "stop")
    assert (done.returncode, done.stdout) == (0, "")
    assert not (short_folder / "none").exists()


def test_a_second_start_prepares_nothing_again(venv: str) -> None:
    """It takes little more than Python itself does; the best of three, since a machine may be busy."""

    def seconds(deed: Callable[[], object]) -> float:
        begun = time.monotonic()
        deed()
        return time.monotonic() - begun

    def second_start() -> None:
        assert_refused(once(venv, "DATA=/dev/null/x"), "cannot write")

    def plain_python() -> None:
        python = Path(venv) / "bin" / "python"
        subprocess.run([python, "-c", "import httpx, starlette"], check=True)

    assert min(seconds(second_start) for _ in range(3)) < 6 * min(
        seconds(plain_python) for _ in range(3)
    )


@pytest.fixture
def fake_python(short_folder: Path) -> Callable[[str], str]:
    """Makes a PATH on which every Python fails when its arguments fit a pattern."""

    def make(pattern: str) -> str:
        tools = short_folder / "tools"
        tools.mkdir()
        script = f'#!/bin/sh\ncase "$*" in {pattern}) exit 1 ;; esac\nexec {sys.executable} "$@"\n'
        for name in ("python3", *(f"python3.{minor}" for minor in range(11, 15))):
            (tools / name).write_text(script)
            (tools / name).chmod(0o755)
        for name in ("sh", "dirname", "cksum", "mkdir", "rm", "cat", "sleep"):
            found = next(Path(p) / name for p in ("/usr/bin", "/bin") if (Path(p) / name).exists())
            (tools / name).symlink_to(found)
        return str(tools)

    return make


def test_no_python_that_is_new_enough_is_one_sentence(
    short_folder: Path, fake_python: Callable[[str], str]
) -> None:
    """It names the packages of Debian."""
    done = once(str(short_folder / "venv"), PATH=fake_python("*version_info*"))
    assert_refused(done, "Headwater needs Python 3.11 or newer; on Debian and Ubuntu: apt install")


def test_no_venv_module_is_one_sentence(
    short_folder: Path, fake_python: Callable[[str], str]
) -> None:
    """As on a bare Debian; a lock that a killed installation left behind does not matter."""
    venv = short_folder / "venv"
    lock = short_folder / "venv.lock"
    lock.mkdir()
    (lock / "pid").write_text("999999999\n")
    # The real path of the interpreter is asked for: let the answer be the one that fails.
    tools = fake_python("*ensurepip*")
    realpath = Path(tools) / "python3"
    script = realpath.read_text().replace(
        "exec ", f'case "$*" in *realpath*) echo {realpath}; exit ;; esac\nexec '
    )
    realpath.write_text(script)
    done = once(str(venv), PATH=tools)
    assert done.returncode == 2
    assert "cannot make virtual environments" in done.stderr
    assert "apt install python3-venv" in done.stderr
    assert not venv.exists()
    assert not lock.exists()


@pytest.mark.parametrize("venv", ["/dev/null/x", "/proc/x"])
def test_a_place_that_cannot_be_written_is_one_sentence(venv: str) -> None:
    """A person may run a clone that belongs to somebody else."""
    assert_refused(once(venv), "cannot write to")


def test_a_folder_of_somebody_else_is_not_replaced(short_folder: Path) -> None:
    """VENV=$HOME must not end in tears."""
    (short_folder / "letter.txt").write_text("dear")
    assert_refused(once(str(short_folder)), "is not a virtual environment of ours")
    assert (short_folder / "letter.txt").read_text() == "dear"
