"""Counterparts for the command line: small real servers that answer JSON-RPC as they are told."""

import json
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from shared.errors import HeadwaterError
from shared.main import exit_code, root

TOKEN = "the-admin-token"


class Forgiving(socketserver.BaseServer):
    """A server whose clients may leave before their answer, as a watch does when its drain ends."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Server(Forgiving, ThreadingHTTPServer):
    daemon_threads = True


class Counterpart:
    """Answers each method with what `answers` holds: a result, an error object, an HTTP status, or
    what makes one of them of the parameters."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        counterpart = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if self.headers["authorization"] != f"Bearer {TOKEN}":
                    self._reply(401, {})
                    return
                counterpart.asked.append((body["method"], body["params"]))
                answer = counterpart.answers[body["method"]]
                answer = answer(body["params"]) if callable(answer) else answer
                if isinstance(answer, int):
                    self._reply(answer, {})
                    return
                kind = "error" if isinstance(answer, dict) and "code" in answer else "result"
                self._reply(200, {"jsonrpc": "2.0", "id": body["id"], kind: answer})

            def _reply(self, status: int, content: dict[str, Any]) -> None:
                encoded = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(encoded)))
                self.end_headers()
                self.wfile.write(encoded)

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def announce(self, data: Path) -> None:
        """Write what a hub writes into its folder."""
        folder = data / self.name
        folder.mkdir()
        known = {"hub_id": self.name, "url": self.url, "pid": 1}
        (folder / "hub.json").write_text(json.dumps(known))
        (folder / "admin.token").write_text(TOKEN + "\n")

    def close(self) -> None:
        """Stop listening; may be called twice."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def hubs(tmp_path: Path) -> Iterator[tuple[Counterpart, Counterpart]]:
    """Two hubs that have written their presence into tmp_path."""
    pair = Counterpart("hub-1"), Counterpart("hub-2")
    for hub in pair:
        hub.announce(tmp_path)
    yield pair
    for hub in pair:
        hub.close()


Run = Callable[..., Result]


@pytest.fixture
def headwater(tmp_path: Path) -> Run:
    """Runs a command line as the console script does, with DATA=tmp_path."""

    def run(*words: str, **environ: str) -> Result:
        result = CliRunner().invoke(root, words, env={"DATA": str(tmp_path), **environ})
        if isinstance(result.exception, HeadwaterError):
            result.exit_code = exit_code(result.exception)
        elif result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run
