"""`headwater vm log`: what a machine wrote to its console, once or as it goes on."""

import asyncio
import re
import sys
from collections.abc import Mapping
from typing import Any

import click

from hub.cli.ask import Asker, asking
from hub.cli.client import Caller, run
from hub.cli.output import say
from shared.terminal import safe

PAGE_BYTES = 256 * 1024
LOOK_SECONDS = 0.5

_CONTROLS = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


def readable(text: str) -> str:
    """The text without what steers a terminal: whoever reads a log is not at the machine."""
    lines = _CONTROLS.sub("", text).replace("\r\n", "\n").split("\n")
    return "\n".join(safe(line.rstrip("\r")) for line in lines)


@click.command("log")
@click.argument("vm_name", metavar="VM")
@click.option("--node", help="The node it is on.")
@click.option("--follow", "-f", is_flag=True, help="Go on showing what is written, until Ctrl-C.")
@click.option("--all", "is_all", is_flag=True, help="All that is kept, not only the end.")
@click.option(
    "--tail",
    type=click.IntRange(0, 1 << 20),
    default=64 * 1024,
    show_default=True,
    help="Begin so many bytes before the end.",
)
@asking
def log(
    asker: Asker, /, vm_name: str, node: str | None, follow: bool, is_all: bool, tail: int
) -> None:
    """Show what a machine wrote to its console, running or not.

    In a terminal it is shown without what would steer the terminal; a pipe gets it as it is.
    """
    params = {"vm": vm_name, **({"node": node} if node else {})}
    try:
        run(
            asker.doors, say, lambda caller: _show(caller, params, follow, None if is_all else tail)
        )
    except KeyboardInterrupt:
        say("left")
    except BrokenPipeError:
        sys.stderr.close()  # Whoever read it has enough.


async def _show(caller: Caller, params: Mapping[str, Any], follow: bool, tail: int | None) -> None:
    offset = 0 if tail is None else await _end_less(caller, params, tail)
    while True:
        asked = {**params, "offset": offset, "limit": PAGE_BYTES}
        page = await caller.call("vm.console.log", asked)
        if page["truncated"] and offset:
            say(f"{page['offset'] - offset} bytes were shown too fast and are left out here")
        text = str(page["data"])
        if text:
            sys.stdout.write(readable(text) if sys.stdout.isatty() else text)
            sys.stdout.flush()
        # A log that is shorter now is another one: the machine was made anew.
        offset = page["next"] if page["size"] >= offset else 0
        if not text and not follow:
            return
        if not text:
            await asyncio.sleep(LOOK_SECONDS)


async def _end_less(caller: Caller, params: Mapping[str, Any], tail: int) -> int:
    page = await caller.call("vm.console.log", {**params, "limit": 1})
    return max(0, int(page["size"]) - tail)
