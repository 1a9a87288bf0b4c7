"""`headwater drain` in a process of its own: a bar in a terminal, and Ctrl-C."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

from tests.unit.cli.conftest import Counterpart
from tests.unit.cli.drains import (
    DRAINED,
    LEFT,
    SECONDS_MAX,
    STATUS,
    Script,
    asked_for,
    until_seen,
)

Hubs = tuple[Counterpart, Counterpart]


def command(data: Path, *words: str) -> dict[str, Any]:
    """What starts `headwater drain` as a person's shell does."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("HEADWATER_")}
    return {
        "args": [sys.executable, "-m", "shared.main", "drain", *words],
        "env": {**kept, "DATA": str(data), "TERM": "xterm-256color"},
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
    }


def read_terminal(master: int, process: "subprocess.Popen[bytes]") -> str:
    """All that a process writes to its terminal, until it closes it."""
    seen = b""
    while select.select([master], [], [], SECONDS_MAX)[0]:
        try:
            piece = os.read(master, 65536)
        except OSError:  # Linux says so when nobody holds the other side any more.
            break
        seen += piece
        if not piece:
            break
    process.wait(SECONDS_MAX)
    return seen.decode()


def test_in_a_terminal_progress_is_a_bar(hubs: Hubs, tmp_path: Path) -> None:
    """And the answer on standard output is not touched by it."""
    until_seen(hubs[0], DRAINED)
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with subprocess.Popen(**command(tmp_path, "edge-1", "-o", "json"), stderr=slave) as process:
        os.close(slave)
        shown = read_terminal(master, process)
        assert process.stdout is not None
        answer = json.loads(process.stdout.read())
    os.close(master)
    assert process.returncode == 0
    assert answer["verdict"] == "drained"
    words = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "\x1b[" in shown
    assert re.search("edge-1 [━╸╺]+ 5,000 of 8,000 records, 5.0 KiB of 8.0 KiB", words)
    assert "1.0 KiB/s, 1,000 records/s, ETA 3.0 s" in words
    assert "edge-1 is drained: safe to power off" in words


def test_ctrl_c_ends_the_wait_and_says_that_pushing_goes_on(hubs: Hubs, tmp_path: Path) -> None:
    """The edge is told, so that it need not hurry for nobody; exit 130 is no verdict."""
    answers = {"edge.drain": LEFT, "edge.drain.status": STATUS, "edge.drain.cancel": LEFT}
    hubs[0].answers = script = Script(answers, ends_with="edge.drain.cancel")
    with subprocess.Popen(**command(tmp_path, "edge-1"), stderr=subprocess.PIPE) as process:
        assert script.was_looked_at.wait(SECONDS_MAX)
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 130
    assert b"no longer waiting; edge-1 goes on pushing what it holds" in said
    assert (out, b"Traceback" in said) == (b"", False)
    (order,) = asked_for(hubs[0], "edge.drain")
    (cancelled,) = asked_for(hubs[0], "edge.drain.cancel")
    assert cancelled == {"node": "edge-1", "request_id": order["request_id"]}


def test_ctrl_c_leaves_a_drain_that_was_joined_to_the_others(hubs: Hubs, tmp_path: Path) -> None:
    """Somebody else may be waiting for it."""
    answers = {"edge.drain": LEFT, "edge.drain.status": STATUS, "edge.buffer": {}}
    hubs[0].answers = script = Script(answers, ends_with="edge.buffer")
    words = ("edge-1", "--request-id", "theirs")
    with subprocess.Popen(**command(tmp_path, *words), stderr=subprocess.PIPE) as process:
        assert script.was_looked_at.wait(SECONDS_MAX)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=SECONDS_MAX)
    assert script["edge.buffer"] == {}  # Lets the drain end.
    assert process.returncode == 130
    assert b"no longer waiting" in said
    assert asked_for(hubs[0], "edge.drain.cancel") == []
