"""The shim's loop: the pty on one side, the console and control sockets on the other.

Control speaks one JSON object a line; a connection that stays open learns of the payload's end by
being closed, after the state file holds the exit status. Only the standard library is used.
"""

import contextlib
import json
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.vm.console_log import ConsoleLog
from edge.vm.launch import CONSOLE_SOCKET, CONTROL_SOCKET, Launch
from edge.vm.payload import Payload
from edge.vm.tree import Tree

CONNECTIONS_MAX = 32
LINE_BYTES_MAX = 64 * 1024
VIEWER_BYTES_MAX = 64 * 1024
"""A viewer that reads this much too late is cut off: the console never waits for anyone."""
PTY_BYTES_PER_SECOND_MAX = 8 * 1024 * 1024
"""A payload that prints without end must not eat a core in its shim."""


class ShimServer:
    """Sockets are bound on construction: a folder that cannot hold them fails before the start."""

    def __init__(self, folder: Path, launch: Launch) -> None:
        self._launch = launch
        self._selector = selectors.DefaultSelector()
        self._log = ConsoleLog(folder, launch.console_bytes_max)
        self._listeners = [_listen(CONTROL_SOCKET), _listen(CONSOLE_SOCKET)]
        self._controls: dict[socket.socket, bytes] = {}
        self._viewers: set[socket.socket] = set()
        self._wake, wake_write = socket.socketpair()
        for end in (self._wake, wake_write):
            end.setblocking(False)
        self._wake_write = wake_write
        signal.set_wakeup_fd(wake_write.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._on_terminate)
        self._kill_at: float | None = None
        self._terminated = False
        self._window, self._window_bytes = 0.0, 0
        self._wait_status: int | None = None

    def serve(self, payload: Payload) -> int:
        """Run until the payload is gone; returns its wait status."""
        self._payload = payload
        self._tree = Tree(payload, self._launch.isolated)
        self._watch(self._listeners[0], lambda: self._accept(0))
        self._watch(self._listeners[1], lambda: self._accept(1))
        self._watch(self._wake, lambda: self._wake.recv(4096))
        self._watch_pty()
        while self._wait_status is None:
            self._turn()
        self._tree.kill()
        self._drain_pty()
        return self._wait_status

    def unlink_sockets(self) -> None:
        """Take the names away, so that nobody dials a shim that is leaving."""
        for name in (CONTROL_SOCKET, CONSOLE_SOCKET):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)

    def close(self) -> None:
        """Close everything; whoever waits on a connection now reads the state file."""
        self._log.close()
        for held in (*self._listeners, *self._controls, *self._viewers):
            held.close()

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._patience()):
            key.data()
        if self._terminated and self._kill_at is None:
            self._stop(self._launch.stop_seconds_max)
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._tree.kill()
            self._kill_at = time.monotonic() + 1.0
        self._reap()
        self._watch_pty()

    def _patience(self) -> float:
        if self._kill_at is not None:
            return max(0.0, min(1.0, self._kill_at - time.monotonic()))
        # While the pty rests, look again soon; else only the kernel wakes us.
        return 0.05 if self._is_pty_resting() else 60.0

    def _on_terminate(self, *_: object) -> None:
        self._terminated = True

    def _reap(self) -> None:
        """Collect every dead child: the payload's tree may hand us orphans."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self._payload.child_pid:
                    self._wait_status = status

    # The pty

    def _is_pty_resting(self) -> bool:
        if time.monotonic() - self._window >= 1.0:
            self._window, self._window_bytes = time.monotonic(), 0
        return self._window_bytes >= PTY_BYTES_PER_SECOND_MAX

    def _watch_pty(self) -> None:
        """(Un)register the pty: it is gone after the last writer, and rests when it floods."""
        master = self._payload.master
        if master < 0:
            return
        is_watched, is_resting = master in self._selector.get_map(), self._is_pty_resting()
        if not is_watched and not is_resting:
            self._selector.register(master, selectors.EVENT_READ, self._read_pty)
        elif is_watched and is_resting:
            self._selector.unregister(master)

    def _read_pty(self) -> bool:
        """Pass one piece of output on; False when there is none."""
        try:
            data = os.read(self._payload.master, 64 * 1024)
        except BlockingIOError:
            return False
        except OSError:  # EIO: nobody holds the other end.
            data = b""
        if not data:
            self._drop_pty()
            return False
        self._window_bytes += len(data)
        with contextlib.suppress(OSError):  # A full disk costs console output, not the payload.
            self._log.append(data)
        for viewer in list(self._viewers):
            self._show(viewer, data)
        return True

    def _drain_pty(self) -> None:
        """After the end: what was written before it, bounded."""
        for _ in range(64):
            if self._payload.master < 0 or not self._read_pty():
                return

    def _drop_pty(self) -> None:
        if self._payload.master in self._selector.get_map():
            self._selector.unregister(self._payload.master)
        os.close(self._payload.master)
        self._payload.master = -1

    def _write_pty(self, data: bytes) -> int:
        try:
            return os.write(self._payload.master, data) if self._payload.master >= 0 else 0
        except OSError:  # The payload does not read: say so by the count.
            return 0

    # Connections

    def _watch(self, held: socket.socket, act: Callable[[], Any]) -> None:
        self._selector.register(held, selectors.EVENT_READ, act)

    def _accept(self, which: int) -> None:
        connection, _ = self._listeners[which].accept()
        connection.setblocking(False)
        if len(self._controls) + len(self._viewers) >= 2 * CONNECTIONS_MAX:
            connection.close()
            return
        if which == 0:
            self._controls[connection] = b""
            self._watch(connection, lambda: self._hear(connection))
        else:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, VIEWER_BYTES_MAX)
            self._viewers.add(connection)
            self._watch(connection, lambda: self._type(connection))

    def _leave(self, connection: socket.socket) -> None:
        self._controls.pop(connection, None)
        self._viewers.discard(connection)
        self._selector.unregister(connection)
        connection.close()

    def _show(self, viewer: socket.socket, data: bytes) -> None:
        try:
            if viewer.send(data) < len(data):
                self._leave(viewer)
        except OSError:
            self._leave(viewer)

    def _type(self, viewer: socket.socket) -> None:
        data = _receive(viewer)
        if data is None:
            self._leave(viewer)
        else:
            self._write_pty(data)

    def _hear(self, connection: socket.socket) -> None:
        data = _receive(connection)
        if data is None:
            self._leave(connection)
            return
        lines = (self._controls[connection] + data).split(b"\n")
        self._controls[connection] = lines[-1]
        if len(lines[-1]) > LINE_BYTES_MAX:
            self._leave(connection)
            return
        for line in lines[:-1]:
            self._reply(connection, self._obey(line))

    def _reply(self, connection: socket.socket, answer: dict[str, Any]) -> None:
        line = json.dumps(answer).encode() + b"\n"
        with contextlib.suppress(OSError):  # Gone already; the selector will tell.
            connection.send(line)

    # Orders

    def _obey(self, line: bytes) -> dict[str, Any]:
        try:
            order = json.loads(line)
            return {"ok": True, **ORDERS[order["do"]](self, order)}
        except (ValueError, KeyError, TypeError, OSError) as error:
            return {"ok": False, "message": f"{type(error).__name__}: {error}"}

    def _status(self, order: dict[str, Any]) -> dict[str, Any]:
        return {
            "vm_id": self._launch.vm_id,
            "pid": self._tree.main_pid(),
            "paused": self._tree.is_paused,
        }

    def _ask_to_stop(self, order: dict[str, Any]) -> dict[str, Any]:
        self._tree.signal(self._launch.stop_signals)
        return {}

    def _stop(self, seconds_max: float) -> None:
        self._tree.signal(self._launch.stop_signals)
        self._kill_at = time.monotonic() + seconds_max

    def _kill(self, order: dict[str, Any]) -> dict[str, Any]:
        self._tree.kill()
        self._kill_at = time.monotonic() + 1.0
        return {}

    def _pause(self, order: dict[str, Any]) -> dict[str, Any]:
        self._tree.pause()
        return {}

    def _resume(self, order: dict[str, Any]) -> dict[str, Any]:
        self._tree.resume()
        return {}

    def _send(self, order: dict[str, Any]) -> dict[str, Any]:
        return {"written": self._write_pty(str(order["text"]).encode())}


ORDERS: dict[str, Callable[[ShimServer, dict[str, Any]], dict[str, Any]]] = {
    "status": ShimServer._status,
    "stop": ShimServer._ask_to_stop,
    "kill": ShimServer._kill,
    "pause": ShimServer._pause,
    "resume": ShimServer._resume,
    "send": ShimServer._send,
}


def _listen(name: str) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name)  # Left by a shim that was killed; the lock says that it is gone.
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(name)
    os.chmod(name, 0o600)
    listener.listen(CONNECTIONS_MAX)
    listener.setblocking(False)
    return listener


def _receive(connection: socket.socket) -> bytes | None:
    """What came; None when the other side is gone."""
    try:
        return connection.recv(16 * 1024) or None
    except BlockingIOError:
        return b""
    except OSError:
        return None
