"""The machine protocol of QEMU (QMP): the only module that knows the library for it.

Every call has an end of its own: `execute` of the library waits for ever for a QEMU that was
stopped by a signal, and a second client gets no greeting until the first has left.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from qemu.qmp import (
    EventListener,
    ExecInterruptedError,
    ExecuteError,
    QMPClient,
    QMPError,
    Runstate,
    StateError,
)

from shared.errors import RpcError

CONNECT_SECONDS_MAX = 3.0
EXECUTE_SECONDS_MAX = 3.0
CLOSE_SECONDS_MAX = 1.0
MESSAGE_BYTES_MAX = 4 * 1024 * 1024

# The library logs each failure that it also raises, and here every one of them is translated.
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL + 1)


class Gone(RpcError):
    """The other end hung up or was never there; whether its process lives must be looked at."""

    def __init__(self, why: str) -> None:
        super().__init__("driver_error", f"QEMU does not answer: {why}")


class Qmp:
    """A session with one QEMU; made by `connect`."""

    def __init__(self, client: QMPClient, listener: EventListener) -> None:
        self._client = client
        self._listener = listener

    @property
    def is_open(self) -> bool:
        """False once the other end hung up or `close` was called."""
        return bool(self._client.runstate == Runstate.RUNNING)

    async def execute(
        self, command: str, seconds: float = EXECUTE_SECONDS_MAX, **arguments: Any
    ) -> Any:
        """Run a command; `_` in the names of arguments stands for `-`.

        Raises Gone, or RpcError driver_error with QEMU's words or after `seconds`.
        """
        named = {name.replace("_", "-"): value for name, value in arguments.items()}
        try:
            async with asyncio.timeout(seconds):
                return await self._client.execute(command, named)
        except TimeoutError as error:
            message = f"QEMU did not answer {command!r} within {seconds:g} s"
            raise RpcError("driver_error", message) from error
        except ExecuteError as error:
            raise RpcError("driver_error", f"QEMU refused {command!r}: {error}") from error
        except (StateError, ExecInterruptedError, EOFError, OSError) as error:
            raise Gone(str(error) or type(error).__name__) from error
        except QMPError as error:
            raise RpcError("driver_error", f"QEMU's answer is not understood: {error}") from error

    async def events(self) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """(name, data) of everything that happens; ends when the session does. For one reader."""
        while True:
            event = asyncio.ensure_future(self._listener.get())
            ended = asyncio.ensure_future(self._wait_ended())
            try:
                await asyncio.wait([event, ended], return_when=asyncio.FIRST_COMPLETED)
                if not event.done():
                    return
                message = event.result()
            finally:
                for task in (event, ended):
                    task.cancel()
                await asyncio.gather(event, ended, return_exceptions=True)
            data = message.get("data")
            yield str(message["event"]), dict(data) if isinstance(data, dict) else {}

    async def close(self) -> None:
        """Hang up; the machine goes on."""
        # How a session that is over had ended is told by the process, not by this.
        with contextlib.suppress(QMPError, EOFError, OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await self._client.disconnect()

    async def _wait_ended(self) -> None:
        while self.is_open:
            await self._client.runstate_changed()


async def connect(folder: Path, name: str, seconds: float = CONNECT_SECONDS_MAX) -> Qmp:
    """Open a session on a socket in a folder, however deep. Raises Gone."""
    client = QMPClient(readbuflen=MESSAGE_BYTES_MAX)
    listener = EventListener()
    client.register_listener(listener)
    try:
        folder_fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise Gone(str(error)) from error
    try:
        async with asyncio.timeout(seconds):
            await client.connect(f"/proc/self/fd/{folder_fd}/{name}")
    except TimeoutError as error:
        raise Gone(f"no greeting within {seconds:g} s") from error
    except (QMPError, EOFError, OSError) as error:
        raise Gone(str(error) or type(error).__name__) from error
    finally:
        os.close(folder_fd)
    return Qmp(client, listener)
