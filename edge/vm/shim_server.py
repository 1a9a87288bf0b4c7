"""The shim's loop: the pty on one side, the console and control sockets on the other.

Control speaks one JSON object a line; a connection that stays open learns of the payload's end by
being closed, after the state file holds the exit status. Only the standard library is used.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import signal
import socket
import struct
import termios
import time

from edge.vm.console_log import ConsoleLog
from edge.vm.launch import CONSOLE_SOCKET, CONTROL_SOCKET, Launch
from edge.vm.payload import Payload
from edge.vm.shim_values import TYPE_CHECKING
from edge.vm.shim_viewers import Viewers, receive
from edge.vm.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

CONNECTIONS_MAX = 32
LINE_BYTES_MAX = 64 * 1024
COMMANDS_MAX = 8
"""Commands at once that were started inside besides the payload."""
PTY_BYTES_PER_SECOND_MAX = 8 * 1024 * 1024
"""A payload that prints without end must not eat a core in its shim."""
IDLE_SECONDS = 0.5
"""Whoever started a sandbox looks at it at once; then there is time for `_import_the_rest`."""


class ShimServer:
    """Sockets are bound on construction: a folder that cannot hold them fails before the start."""

    def __init__(self, folder: str, launch: Launch) -> None:
        self._launch = launch
        self._selector = selectors.DefaultSelector()
        self._log = ConsoleLog(folder, launch.console_bytes_max)
        self._listeners = [_listen(CONTROL_SOCKET), _listen(CONSOLE_SOCKET)]
        self._controls: dict[socket.socket, bytes] = {}
        self._viewers = Viewers(self._selector, self._type_in)
        self._wake, wake_write = socket.socketpair()
        for end in (self._wake, wake_write):
            end.setblocking(False)
        self._wake_write = wake_write
        signal.set_wakeup_fd(wake_write.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._on_terminate)
        self._kill_at: float | None = None
        self._terminated = self._is_whole = False
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
        self._viewers.close()
        for held in (*self._listeners, *self._controls):
            held.close()

    def _turn(self) -> None:
        ready = self._selector.select(self._patience())
        for key, _ in ready:
            key.data()
        if not ready and not self._is_whole:
            _import_the_rest()
            self._is_whole = True
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
        if self._is_pty_resting():
            return 0.05
        return 60.0 if self._is_whole else IDLE_SECONDS

    def _on_terminate(self, *_: object) -> None:
        self._terminated = True

    def _reap(self) -> None:
        """Collect every dead child: the payload's tree may hand us orphans."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                self._tree.watchers.discard(pid)
                if pid == self._payload.child_pid:
                    self._wait_status = status

    # The pty

    def _is_pty_resting(self) -> bool:
        if time.monotonic() - self._window >= 1.0:
            self._window, self._window_bytes = time.monotonic(), 0
        return self._window_bytes >= PTY_BYTES_PER_SECOND_MAX

    def _watch_pty(self) -> None:
        """What the pty is watched for: output unless it floods, and room for what waits to be typed.
        It is gone after the last writer."""
        master = self._payload.master
        if master < 0:
            return
        wanted = selectors.EVENT_WRITE if self._viewers.is_typing else 0
        wanted |= 0 if self._is_pty_resting() else selectors.EVENT_READ
        key = self._selector.get_map().get(master)
        if key and key.events == wanted:
            return
        if key:
            self._selector.unregister(master)
        if wanted:
            self._selector.register(master, wanted, self._attend_pty)

    def _attend_pty(self) -> None:
        """It wrote, or has room again."""
        if not self._is_pty_resting():
            self._read_pty()
        self._viewers.type_on()

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
        self._viewers.show(data)
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

    def _type_in(self, data: bytes) -> int:
        """Type what fits; returns how much did. For nobody all fits."""
        return self._write_pty(data) if self._payload.master >= 0 else len(data)

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
            self._viewers.add(connection)

    def _leave(self, connection: socket.socket) -> None:
        self._controls.pop(connection, None)
        self._selector.unregister(connection)
        connection.close()

    def _hear(self, connection: socket.socket) -> None:
        data = receive(connection)
        if data is None:
            self._leave(connection)
            return
        lines = (self._controls[connection] + data).split(b"\n")
        self._controls[connection] = lines[-1]
        if len(lines[-1]) > LINE_BYTES_MAX:
            self._leave(connection)
            return
        for line in lines[:-1]:
            answer = self._obey(connection, line)
            if answer is None:  # Somebody else answers, and nothing more is read from it.
                self._leave(connection)
                return
            self._reply(connection, answer)

    def _reply(self, connection: socket.socket, answer: dict[str, Any]) -> None:
        line = json.dumps(answer).encode() + b"\n"
        with contextlib.suppress(OSError):  # Gone already; the selector will tell.
            connection.send(line)

    # Orders

    def _obey(self, connection: socket.socket, line: bytes) -> dict[str, Any] | None:
        try:
            order = json.loads(line)
            if order["do"] == "exec":
                return self._execute(connection, order)
            return {"ok": True, **ORDERS[order["do"]](self, order)}
        except (ValueError, KeyError, TypeError, OSError, struct.error) as error:
            return {"ok": False, "message": f"{type(error).__name__}: {error}"}

    def _execute(self, connection: socket.socket, order: dict[str, Any]) -> dict[str, Any] | None:
        """Start a watcher, which answers when the command is over; None once it is there."""
        from edge.vm.shim_exec import Command, watch

        argv = [str(argument) for argument in order["argv"]]
        command = Command(argv, float(order["seconds"]), self._tree.main_pid())
        if not self._launch.isolated or self._tree.is_paused or not self._tree.members():
            return {"ok": False, "message": "no command can be started in it now"}
        if len(self._tree.watchers) >= COMMANDS_MAX:
            return {"ok": False, "message": f"{COMMANDS_MAX} commands run in it already"}
        watcher = os.fork()
        if watcher == 0:
            watch(connection, self._launch, command)
        self._tree.watchers.add(watcher)
        return None

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

    def _resize(self, order: dict[str, Any]) -> dict[str, Any]:
        size = struct.pack("HHHH", int(order["rows"]), int(order["columns"]), 0, 0)
        if self._payload.master >= 0:
            fcntl.ioctl(self._payload.master, termios.TIOCSWINSZ, size)
        return {}


ORDERS: dict[str, Callable[[ShimServer, dict[str, Any]], dict[str, Any]]] = {
    "status": ShimServer._status,
    "stop": ShimServer._ask_to_stop,
    "kill": ShimServer._kill,
    "pause": ShimServer._pause,
    "resume": ShimServer._resume,
    "send": ShimServer._send,
    "resize": ShimServer._resize,
}


def _import_the_rest() -> None:
    """What no start needs, taken in soon after it: an agent that is upgraded later may have other
    files in its place."""
    import edge.vm.shim_exec  # noqa: F401


def _listen(name: str) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name)  # Left by a shim that was killed; the lock says that it is gone.
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(name)
    os.chmod(name, 0o600)
    listener.listen(CONNECTIONS_MAX)
    listener.setblocking(False)
    return listener
