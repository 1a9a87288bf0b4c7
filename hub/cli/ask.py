"""What commands that ask a hub have in common: flags, failing over, the form of the answer."""

import functools
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import click

from hub.cli.client import CALL_SECONDS_MAX, Caller, Door, choose_hubs, run
from hub.cli.output import FORMATS, Format, say

Given = ParamSpec("Given")


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks hubs for one command and knows how the answer is to be shown."""

    doors: tuple[Door, ...]
    data: Path
    form: Format

    def ask(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout_seconds: float = CALL_SECONDS_MAX,
        keeping: Collection[str] = (),
    ) -> Any:
        """The result of one call; parameters that are None or empty are left out, but for `keeping`."""
        every = (params or {}).items()
        given = {name: value for name, value in every if name in keeping or _is_given(value)}

        async def work(caller: Caller) -> Any:
            return await caller.call(method, given, timeout_seconds=timeout_seconds)

        return run(self.doors, say, work)


def _is_given(value: object) -> bool:
    return value is not None and value not in ((), [], {}, "")


def data_folder() -> Path:
    """Where the hubs and edges of this machine keep their folders."""
    return Path(os.environ.get("HEADWATER_DATA") or os.environ.get("DATA") or "var")


def asking(command: Callable[Concatenate[Asker, Given], None]) -> Callable[..., None]:
    """Give a command the flags --hub, --token and -o, and an Asker as its first argument."""

    @click.option(
        "--hub",
        "hub_addresses",
        default="",
        envvar="HEADWATER_HUB",
        metavar="HOST[:PORT],...",
        help="Hubs to ask, in order. Default: those in the data folder.",
    )
    @click.option(
        "--token",
        default="",
        envvar="HEADWATER_TOKEN",
        help="Admin token. Default: the hub's admin.token in the data folder.",
    )
    @click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        help="Form of the answer.",
    )
    @functools.wraps(command)
    def wrapped(
        hub_addresses: str, token: str, form: Format, *args: Given.args, **kwargs: Given.kwargs
    ) -> None:
        data = data_folder()
        doors = tuple(choose_hubs(hub_addresses, token, data))
        command(Asker(doors, data, form), *args, **kwargs)

    return wrapped
