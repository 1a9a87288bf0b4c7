"""A way between a client and a server on which answers can be lost: it passes the question on, and then
nothing comes back."""

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.serve import bind

READ_BYTES = 64 * 1024
CONNECT_SECONDS_MAX = 10.0


@dataclass(eq=False, slots=True)
class Way:
    """One connection: both of its ends, and whether it is of the kind that can be muted."""

    client: socket.socket
    server: socket.socket
    begins: bytes = b""

    def close(self) -> None:
        """Both ends hear of it at once."""
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@dataclass(eq=False)
class Proxy:
    """Passes TCP connections on to a port of this machine while it is entered.

    Of a connection that begins with `mutes`, the answers are swallowed while it is muted: what the
    server says to its client, or, when the server is who asks (`is_server_asking`), the other way.
    """

    target_port: int
    mutes: bytes
    is_server_asking: bool = False
    swallowed: threading.Event = field(default_factory=threading.Event)
    _muted: threading.Event = field(default_factory=threading.Event)
    _listener: socket.socket = field(default_factory=lambda: bind("127.0.0.1", 0))
    _ways: set[Way] = field(default_factory=set)
    _threads: list[threading.Thread] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def url(self) -> str:
        """The same for HTTP."""
        return f"http://{self.address}"

    def mute(self) -> None:
        """From now on answers are lost."""
        self.swallowed.clear()
        self._muted.set()

    def heal(self) -> None:
        """Everything passes again; whoever waits for a lost answer is cut off."""
        self._muted.clear()
        for way in [way for way in self._ways if way.begins.startswith(self.mutes)]:
            way.close()

    def __enter__(self) -> "Proxy":
        self._listener.setblocking(True)
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for way in list(self._ways):
            way.close()
        for thread in list(self._threads):
            thread.join()
        self._listener.close()

    def _run(self, work: Callable[[], None]) -> None:
        self._threads.append(threading.Thread(target=work, name="proxy", daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # It was shut down.
                return
            try:
                target = ("127.0.0.1", self.target_port)
                server = socket.create_connection(target, CONNECT_SECONDS_MAX)
            except OSError:  # Nobody is there: say so as a machine without that server would.
                client.close()
                continue
            server.settimeout(None)
            self._serve(Way(client, server))

    def _serve(self, way: Way) -> None:
        self._ways.add(way)
        up = threading.Thread(target=self._up, args=(way,), name="proxy up", daemon=True)
        up.start()

        def down() -> None:
            self._pass(way, way.server, way.client, is_answer=not self.is_server_asking)
            up.join()
            self._ways.discard(way)
            way.client.close()
            way.server.close()

        self._run(down)

    def _up(self, way: Way) -> None:
        with contextlib.suppress(OSError):
            way.begins = way.client.recv(READ_BYTES)
            way.server.sendall(way.begins)
        self._pass(way, way.client, way.server, is_answer=self.is_server_asking)

    def _pass(
        self, way: Way, source: socket.socket, sink: socket.socket, *, is_answer: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(READ_BYTES):
                if is_answer and self._muted.is_set() and way.begins.startswith(self.mutes):
                    self.swallowed.set()
                    continue
                sink.sendall(data)
        way.close()
