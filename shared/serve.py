"""The one place that knows uvicorn: binding sockets with clear errors, and servers that stop on time."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from shared.errors import SettingsError
from shared.joined_writes import OnePieceProtocol
from shared.unix_socket import short_path

SHUTDOWN_SECONDS_MAX = 2  # An open browser stream must not hold up a stop.
WS_MESSAGE_BYTES_MAX = 4 * 1024 * 1024
PING_SECONDS = 1.5  # Together under three seconds, so that calls soon take another path.
PONG_SECONDS_MAX = 1.4


def bind(host: str, port: int) -> socket.socket:
    """A listening-to-be TCP socket; raises SettingsError in words when the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # Listening at once makes a second process fail here, not later inside the server.
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"cannot listen on {host} port {port}: {error.strerror}; "
            "stop the program that uses it or choose another port"
        ) from error
    listener.setblocking(False)
    return listener


def bind_unix(path: Path) -> socket.socket:
    """A Unix socket that only its owner can use; replaces one that a killed process left behind."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    previous = os.umask(0o177)
    try:
        with short_path(path) as address:
            listener.bind(address)
        listener.listen(64)
    except OSError as error:
        listener.close()
        raise SettingsError(f"cannot listen on the socket {path}: {error}") from error
    finally:
        os.umask(previous)
    listener.setblocking(False)
    return listener


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals to the program that owns it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        """Ask the server to finish what runs, for at most SHUTDOWN_SECONDS_MAX."""
        self.should_exit = True


def server(app: ASGIApp) -> Server:
    """A server for an app; give its sockets to `serve`."""
    return Server(
        uvicorn.Config(
            app,
            http=OnePieceProtocol,
            access_log=False,
            log_config=None,
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            ws="websockets-sansio",
            ws_max_size=WS_MESSAGE_BYTES_MAX,
            ws_per_message_deflate=False,
            ws_ping_interval=PING_SECONDS,
            ws_ping_timeout=PONG_SECONDS_MAX,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS_MAX,
        )
    )


def run_until_signalled(main: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """Run `main(stopping)` on a fast loop; SIGTERM and Ctrl-C set `stopping`. Returns the exit code."""

    async def guarded() -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        await main(stopping)

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(guarded())
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop  # Not on every platform; the standard loop serves as well, if slower.
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop
