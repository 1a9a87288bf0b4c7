"""The two kinds of hooks: a command of this machine, and a webhook."""

import asyncio
import contextlib
import logging
import os
import signal
from asyncio.subprocess import Process
from collections.abc import Sequence

import orjson

from hub.lead.hooks import Hook, HookCall
from shared.errors import HeadwaterError, Unavailable
from shared.runtime import HttpClient
from shared.terminal import safe

log = logging.getLogger(__name__)

OUTPUT_BYTES_MAX = 16 * 1024  # Enough to see what went wrong; the rest is read and dropped.
KILL_SECONDS = 2.0  # From the polite end of a command that takes too long to the other one.


class HookFailed(HeadwaterError):
    """A hook ended badly or not in time."""


def command_hook(words: Sequence[str], timeout_seconds: float) -> Hook:
    """Run a command, without a shell, in a process group of its own, which is ended when time is up.

    What it leaves running must have let go of its output, or it counts as not ended.
    Its environment is the hub's and HEADWATER_LEAD_KIND, _HUB, _TERM, _FENCE, _LEADER, _MODE, _REASON.
    """

    async def run(call: HookCall) -> None:
        facts = call.facts().items()
        environ = {f"HEADWATER_LEAD_{key.upper()}": str(value) for key, value in facts}
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                env={**os.environ, **environ},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise HookFailed(f"{words[0]} cannot be run: {error}") from error
        output = await _output(process, words[0], timeout_seconds)
        assert process.returncode is not None
        _judge(words[0], process.returncode, output)

    return run


async def _output(process: Process, name: str, timeout_seconds: float) -> bytes:
    """What it says until its end. Ended early, it takes its children along; a service it leaves does not."""
    try:
        async with asyncio.timeout(timeout_seconds):
            output = await _read(process)
            await process.wait()
    except TimeoutError as error:
        await _end_group(process)
        raise HookFailed(f"{name} did not end in {timeout_seconds:g} s") from error
    except asyncio.CancelledError:
        await _end_group(process)
        raise
    return output


async def _read(process: Process) -> bytes:
    assert process.stdout is not None
    kept = b""
    while piece := await process.stdout.read(OUTPUT_BYTES_MAX):
        kept += piece[: OUTPUT_BYTES_MAX - len(kept)]
    return kept


def _judge(name: str, status: int, output: bytes) -> None:
    text = safe(output.decode(errors="replace").strip())
    if text:
        log.info("hook %s said: %s", name, text)
    if status != 0:
        said = f": {text[-200:]}" if text else " and said nothing"
        raise HookFailed(f"{name} ended with status {status}{said}")


async def _end_group(process: Process) -> None:
    """End whatever of the group is left, children of the command too."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(KILL_SECONDS):
            await process.wait()
    except TimeoutError:
        log.warning("a hook ignores that it should end, and is killed")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def web_hook(client: HttpClient, url: str, timeout_seconds: float) -> Hook:
    """Post the facts as JSON; any status of 200 to 299 is a success."""

    async def run(call: HookCall) -> None:
        reply = await client.request(
            "POST",
            url,
            body=orjson.dumps(call.facts()),
            headers={"content-type": "application/json"},
            timeout_seconds=timeout_seconds,
            reply_bytes_max=OUTPUT_BYTES_MAX,
        )
        if not 200 <= reply.status < 300:
            raise Unavailable(f"{url} answers with status {reply.status}")

    return run
