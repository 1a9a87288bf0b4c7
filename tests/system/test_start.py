"""start.sh as a person uses it: real processes on loopback that come up, go on, and stop."""

import json
import re
import shlex
import signal
import socket
import subprocess
import time

import psutil

from tests.system.starting import (
    STOP_SECONDS_MAX,
    Ports,
    Start,
    Wait,
    answers,
    assert_refused,
    children_of,
    demo_ports,
    once,
)


def test_the_demo_comes_up_and_stops_cleanly(
    start: Start, venv: str, free_ports: Ports, wait_until: Wait
) -> None:
    """Two hubs and an edge; `stop` ends all of it in five seconds, with a connection open."""
    port, otlp_port = demo_ports(free_ports)
    demo = start(f"PORT={port}", f"OTLP_PORT={otlp_port}")
    wait_until(demo.runs("Headwater runs"), "the demo greets")
    logins = re.findall(r"http://\S+/login\?token=\S+", demo.said())
    assert [login.split("/login")[0] for login in logins] == [
        f"http://127.0.0.1:{port}",
        f"http://127.0.0.1:{port + 1}",
    ]
    assert {folder.name for folder in demo.data.iterdir() if folder.is_dir()} == {
        *("hub-1", "hub-2", "edge-1"),
    }
    assert (demo.data / "cluster.key").stat().st_mode & 0o777 == 0o600
    nodes = once(venv, "nodes", DATA=str(demo.data))
    assert "edge-1" in nodes.stdout

    children = children_of(demo.process.pid)
    with socket.create_connection(("127.0.0.1", port)) as open_request:
        open_request.sendall(b"POST /rpc HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{")
        begun = time.monotonic()
        stopped = once(venv, "stop", f"DATA={demo.data}")
        seconds = time.monotonic() - begun
    assert stopped.returncode == 0
    assert "stopped process" in stopped.stdout
    assert demo.process.wait(STOP_SECONDS_MAX) == 0
    assert seconds < STOP_SECONDS_MAX
    assert [child for child in children if child.is_running()] == []
    assert "Traceback" not in demo.said()


def test_ctrl_c_ends_the_demo(start: Start, free_ports: Ports, wait_until: Wait) -> None:
    """SIGINT reaches the supervisor only, which ends the others."""
    port, otlp_port = demo_ports(free_ports)
    demo = start(f"PORT={port}", f"OTLP_PORT={otlp_port}")
    wait_until(demo.runs("Headwater runs"), "the demo greets")
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(STOP_SECONDS_MAX) == 0
    assert not answers(port, "/livez")


def test_the_same_folder_is_not_started_twice(
    start: Start, venv: str, free_ports: Ports, wait_until: Wait
) -> None:
    """The second one is told which process has it."""
    port, otlp_port = demo_ports(free_ports)
    demo = start(f"PORT={port}", f"OTLP_PORT={otlp_port}")
    wait_until(demo.runs("Headwater runs"), "the demo greets")
    port, otlp_port = demo_ports(free_ports)
    again = once(venv, f"PORT={port}", f"OTLP_PORT={otlp_port}", f"DATA={demo.data}")
    assert_refused(again, f"Headwater already runs in {demo.data}")


def test_a_killed_hub_is_told_and_comes_back_by_the_line_shown(
    start: Start, free_ports: Ports, wait_until: Wait
) -> None:
    """The others go on; the command on the screen is complete."""
    port, otlp_port = demo_ports(free_ports)
    demo = start(f"PORT={port}", f"OTLP_PORT={otlp_port}")
    wait_until(demo.runs("Headwater runs"), "the demo greets")
    victim = next(c for c in children_of(demo.process.pid) if "hub-2" in c.cmdline())
    victim.kill()
    wait_until(demo.runs("hub-2 | was killed by signal 9; start it again with: "), "it is told")
    command = re.findall(r"start it again with: (.*)", demo.said())[0]
    assert answers(port, "/readyz")
    again = subprocess.Popen(
        shlex.split(command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: answers(port + 1, "/readyz"), "the second hub answers again")
    finally:
        again.terminate()
        again.wait(STOP_SECONDS_MAX)


def test_a_master_and_a_worker_side_by_side(
    start: Start, venv: str, free_ports: Ports, wait_until: Wait
) -> None:
    """One hub alone works the same, and an edge on its machine finds the key by itself."""
    port, otlp_port = free_ports(2)
    master = start("MODE=master", f"PORT={port}", "HUB_ID=solo")
    wait_until(master.runs("Headwater runs: one hub."), "the hub greets")
    join = re.search(r"\./start\.sh (MODE=worker .*)", master.said())
    assert join
    assert f"MASTERS=127.0.0.1:{port} CLUSTER_KEY=" in join[1]
    worker = start(
        "MODE=worker", f"MASTERS=127.0.0.1:{port}", f"OTLP_PORT={otlp_port}", "NODE_ID=w-1"
    )
    wait_until(worker.runs("Headwater runs: one edge."), "the edge greets")
    wait_until(
        lambda: "w-1" in once(venv, "nodes", DATA=str(master.data)).stdout, "the hub knows it"
    )
    stopped = once(venv, "stop", f"DATA={master.data}")
    assert stopped.stdout.count("stopped process") == 2
    assert [each.process.wait(STOP_SECONDS_MAX) for each in (master, worker)] == [0, 0]


def test_an_edge_without_hubs_can_still_be_asked_on_its_machine(
    start: Start, venv: str, free_ports: Ports, wait_until: Wait
) -> None:
    """Its admin socket needs no hub; what cannot be pushed is told, and is exit 3."""
    port, otlp_port = free_ports(2)
    words = ("MODE=worker", f"MASTERS=127.0.0.1:{port}", "CLUSTER_KEY=k", "NODE_ID=w-1")
    worker = start(*words, f"OTLP_PORT={otlp_port}")
    wait_until(worker.runs("Headwater runs: one edge."), "the edge greets")
    shown = " ".join(psutil.Process(worker.process.pid).cmdline())
    assert "NODE_ID=w-1" in shown
    assert "CLUSTER_KEY" not in shown, "everybody can read command lines"
    data = str(worker.data)
    held = once(venv, "buffer", "show", "w-1", "-o", "json", DATA=data)
    assert (held.returncode, json.loads(held.stdout)["node_id"]) == (0, "w-1")
    wait_until(
        lambda: json.loads(once(venv, "buffer", "show", "w-1", "-o", "json", DATA=data).stdout)[
            "pending_chunks"
        ],
        "the machine has been measured",
    )
    drained = once(venv, "drain", "w-1", "--deadline", "1s", DATA=data)
    assert drained.returncode == 3
    assert "no hub answers; asking w-1 on this machine instead" in drained.stderr
    assert "w-1 still holds" in drained.stderr
    other = once(venv, "buffer", "show", "w-2", DATA=data)
    assert other.returncode == 2
    assert "no hub is known" in other.stderr
