"""Ends child processes that leave when their standard input does."""

import asyncio
import contextlib
from asyncio.subprocess import Process


async def end_child(process: Process, seconds: float, *, at_once: bool = False) -> None:
    """Close its input, wait for its end, and kill it after so many seconds, or `at_once`.

    It has ended on return, also when the caller is being cancelled.
    """
    if process.returncode is not None:
        return
    if process.stdin is not None:
        process.stdin.close()
    waiting = asyncio.ensure_future(process.wait())
    try:
        # Not asyncio.timeout: in Python 3.11.2 it takes its own end for a cancellation in a task that
        # was cancelled before, and then nobody would be killed.
        await asyncio.wait({waiting}, timeout=0.0 if at_once else seconds)
    finally:
        if not waiting.done():
            with contextlib.suppress(ProcessLookupError):  # It ended this very moment.
                process.kill()
            await waiting
