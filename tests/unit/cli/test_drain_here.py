"""`headwater drain` without the name of a node: the only edge on this machine."""

import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from shared.errors import SettingsError
from tests.unit.cli.conftest import Forgiving, Run
from tests.unit.cli.drains import DRAINED


class _SocketServer(Forgiving, socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class Edge:
    """The admin socket of an edge whose buffer is empty."""

    def __init__(self, folder: Path, node_id: str) -> None:
        answers = {
            "edge.buffer": {"node_id": node_id},
            "edge.drain": DRAINED,
            "edge.drain.status": {"running": []},
        }

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                answer = {"jsonrpc": "2.0", "id": body["id"], "result": answers[body["method"]]}
                encoded = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(encoded)))
                self.end_headers()
                self.wfile.write(encoded)

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        folder.mkdir()
        self._server = _SocketServer(str(folder / "edge.sock"), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        """Stop listening; the socket file stays, as after a kill."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def edges(tmp_path: Path) -> Iterator[list[Edge]]:
    """Edges that are closed at the end."""
    begun: list[Edge] = []
    yield begun
    for edge in begun:
        edge.close()


def test_without_a_name_the_only_edge_here_is_drained(
    tmp_path: Path, edges: list[Edge], headwater: Run
) -> None:
    """Without any hub; and the socket that a killed edge left behind is no edge."""
    Edge(tmp_path / "edge-0", "gone").close()
    edges.append(Edge(tmp_path / "edge-1", "press-7"))
    result = headwater("drain")
    assert result.exit_code == 0
    assert "press-7 is drained: safe to power off" in result.stderr


def test_without_a_name_and_with_several_edges_they_are_listed(
    tmp_path: Path, edges: list[Edge], headwater: Run
) -> None:
    """Draining the wrong one would be worse than asking."""
    edges += [Edge(tmp_path / "edge-1", "press-7"), Edge(tmp_path / "edge-2", "press-8")]
    result = headwater("drain")
    assert isinstance(result.exception, SettingsError)
    assert str(result.exception) == (
        "several edges run on this machine: name one of press-7, press-8"
    )


def test_without_a_name_and_without_an_edge_that_is_said(tmp_path: Path, headwater: Run) -> None:
    """With the folder that was searched, and the sockets that did not answer."""
    none = headwater("drain").exception
    Edge(tmp_path / "edge-0", "gone").close()
    silent = headwater("drain").exception
    assert str(none) == (
        f"no edge runs on this machine (none has a socket in {tmp_path}): name the node to drain"
    )
    assert str(silent) == (
        f"no edge runs on this machine (those in {tmp_path} do not answer: edge-0): "
        "name the node to drain"
    )
