"""Talking to shims: finding one alive, giving it orders, and hearing of its end."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from edge.vm.launch import CONTROL_SOCKET, ShimState, load_state
from edge.vm.processes import boot_id, is_alive
from shared.errors import RpcError

ORDER_SECONDS_MAX = 1.0
GONE_POLL_SECONDS = 0.2


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


async def wait_gone(folder: Path) -> None:
    """Return once no shim serves the folder: a shim closes its connections after its last words."""
    while living_shim(folder) is not None:
        try:
            async with connected(folder) as (reader, _):
                while await reader.read(4096):
                    continue
        except OSError:  # Not listening yet, or no longer: its process tells.
            await asyncio.sleep(GONE_POLL_SECONDS)
