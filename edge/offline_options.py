"""What the commands on the folder of an edge have in common: the folder, the form, the exit codes."""

import functools
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec

import click
import orjson

from edge.offline import Place, find_place
from edge.settings import EdgeSettings
from shared.settings import load
from shared.terminal import safe

Form = Literal["table", "json"]
Given = ParamSpec("Given")

PARTIAL = 3
NOTHING_MATCHED = 4


def on_folder(command: Callable[Concatenate[Place, Given], None]) -> Callable[..., None]:
    """Give a command the flag --data, and the edge found there as its first argument."""

    @click.option(
        "--data",
        type=click.Path(path_type=Path),
        default=None,
        metavar="FOLDER",
        help="Folder of the edge, or the one that it lies in. Default: as for `edge run`.",
    )
    @functools.wraps(command)
    def wrapped(data: Path | None, *args: Given.args, **kwargs: Given.kwargs) -> None:
        # The commands tell by themselves what they find; the agent's log lines would say it twice.
        logging.getLogger("edge").addHandler(logging.NullHandler())
        command(find_place(data or _usual_folder()), *args, **kwargs)

    return wrapped


def _usual_folder() -> Path:
    config = os.environ.get("HEADWATER_CONFIG")
    file = Path(config) if config else None
    folder = load(EdgeSettings, "edge", environ=os.environ, file=file).settings.data
    # The edges of a demo lie beside the usual place, under names of their own.
    return folder.parent if not folder.is_dir() and folder.parent.is_dir() else folder


def in_form(command: Callable[..., None]) -> Callable[..., None]:
    """Add the flags -o and --json, which arrive as `form`."""
    for decorate in (
        click.option("--json", "form", flag_value="json", help="The same as -o json."),
        click.option(
            "-o",
            "--output",
            "form",
            type=click.Choice(["table", "json"]),
            default="table",
            show_default=True,
            help="Form of the answer.",
        ),
    ):
        command = decorate(command)
    return command


def show_json(answer: Mapping[str, Any]) -> None:
    """Print an object for programs."""
    click.echo(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode())


def show_line(text: str) -> None:
    """Print a line for people."""
    click.echo(safe(text))


def say(text: str) -> None:
    """Talk to the person, on standard error."""
    click.echo(safe(text), err=True)
