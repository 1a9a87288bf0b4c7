"""Talking to shims: finding one alive, giving it orders, and hearing of its end."""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from edge.vm.driver import Executed
from edge.vm.launch import CONSOLE_SOCKET, CONTROL_SOCKET, ShimState, load_state
from edge.vm.processes import boot_id, is_alive
from shared.errors import RpcError

ORDER_SECONDS_MAX = 1.0
GONE_POLL_SECONDS = 0.2
READ_BYTES = 64 * 1024
EXEC_SPARE_SECONDS = 5.0
ANSWER_BYTES_MAX = 1024 * 1024


def living_shim(folder: Path) -> ShimState | None:
    """The shim that serves a folder now, by boot, pid and start time; None when there is none."""
    state = load_state(folder)
    if state is None or state.exit is not None or state.boot_id != boot_id():
        return None
    return state if is_alive(state.shim_pid, state.shim_start_ticks) else None


@asynccontextmanager
async def connected(
    folder: Path, name: str = CONTROL_SOCKET
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to one of a shim's sockets; raises OSError.

    A socket's path holds 107 bytes at most and a data folder may be deeper, so it is reached
    through a descriptor of its folder.
    """
    folder_fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        reader, writer = await asyncio.open_unix_connection(f"/proc/self/fd/{folder_fd}/{name}")
    finally:
        os.close(folder_fd)
    try:
        yield reader, writer
    finally:
        writer.close()


class ShimConsole:
    """One viewer of a sandbox's terminal."""

    def __init__(self, folder: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self._folder, self._reader, self._writer = folder, reader, writer

    async def read(self) -> bytes:
        """The next output; empty at the end. Who reads too late finds a line that says how much is
        left out there."""
        try:
            return await self._reader.read(READ_BYTES)
        except OSError as error:
            raise RpcError("driver_error", f"the console broke: {error}") from error

    async def write(self, data: bytes) -> None:
        """Type; the shim takes it in at once."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise RpcError("driver_error", f"the console broke: {error}") from error

    async def resize(self, columns: int, rows: int) -> None:
        """Tell the terminal how large its window is."""
        await order(self._folder, "resize", columns=columns, rows=rows)

    async def close(self) -> None:
        """Let go of it."""
        self._writer.close()


async def dial_console(folder: Path) -> ShimConsole:
    """Watch and type on a sandbox's terminal; raises RpcError driver_error."""
    try:
        folder_fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            path = f"/proc/self/fd/{folder_fd}/{CONSOLE_SOCKET}"
            reader, writer = await asyncio.open_unix_connection(path)
        finally:
            os.close(folder_fd)
    except OSError as error:
        raise RpcError("driver_error", f"the console cannot be opened: {error}") from error
    return ShimConsole(folder, reader, writer)


async def order(folder: Path, do: str, **details: Any) -> dict[str, Any]:
    """Give one order and return the answer; raises RpcError driver_error when none comes in
    time."""
    try:
        async with asyncio.timeout(ORDER_SECONDS_MAX), connected(folder) as (reader, writer):
            writer.write(json.dumps({"do": do, **details}).encode() + b"\n")
            answer: dict[str, Any] = json.loads(await reader.readline())
    except (OSError, TimeoutError, ValueError) as error:
        what = str(error) or type(error).__name__
        raise RpcError("driver_error", f"the sandbox does not answer: {what}") from error
    if not answer.pop("ok", False):
        raise RpcError("driver_error", f"the sandbox refused {do!r}: {answer.get('message')}")
    return answer


async def execute(folder: Path, argv: Sequence[str], seconds: float) -> Executed:
    """Run a command inside a sandbox; raises RpcError driver_error when it could not be started.

    One that is not over in time is ended with all that it started, which its signal then tells.
    """
    wish = {"do": "exec", "argv": list(argv), "seconds": seconds}
    try:
        async with (
            asyncio.timeout(seconds + EXEC_SPARE_SECONDS),
            connected(folder) as (reader, writer),
        ):
            writer.write(json.dumps(wish).encode() + b"\n")
            # Once heard by the shim, closing the connection ends the command.
            answer: dict[str, Any] = json.loads(await _whole(reader))
    except (OSError, TimeoutError, ValueError) as error:
        what = str(error) or type(error).__name__
        raise RpcError("driver_error", f"the sandbox does not answer: {what}") from error
    if not answer.get("ok"):
        raise RpcError("driver_error", f"the command did not run: {answer.get('message')}")
    out, err = (base64.b64decode(answer[name]) for name in ("stdout", "stderr"))
    return Executed(answer["code"], answer["signal"], out, err, answer["is_cut"], answer["is_late"])


async def _whole(reader: asyncio.StreamReader) -> bytes:
    """One line, which may be longer than what a reader keeps; bounded all the same."""
    found = b""
    while not found.endswith(b"\n") and len(found) < ANSWER_BYTES_MAX:
        piece = await reader.read(READ_BYTES)
        if not piece:
            raise ValueError("the sandbox ended")
        found += piece
    return found


async def wait_gone(folder: Path) -> None:
    """Return once no shim serves the folder: a shim closes its connections after its last words."""
    while living_shim(folder) is not None:
        try:
            async with connected(folder) as (reader, _):
                while await reader.read(4096):
                    continue
        except OSError:  # Not listening yet, or no longer: its process tells.
            await asyncio.sleep(GONE_POLL_SECONDS)
