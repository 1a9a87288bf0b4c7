"""What the commands about logs and events do beside searching: counting, and checking flags."""

import shutil
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import click

from hub.cli.ask import Asker
from hub.cli.follow import tail_params
from hub.cli.output import show_list
from hub.cli.query_columns import BIN_COLUMNS
from hub.cli.query_coverage import tell_and_finish
from hub.cli.query_histogram import bar_lines

WIDTH_CHARS = 100
"""Where the output is no terminal."""

_HISTOGRAM_ONLY = ("by", "bins", "step")
_NO_HISTOGRAM = ("follow", "position_file", "wants_all", "cursor", "order", "oldest_first")
_PAGE_ONLY = ("limit", "wants_all")
_FLAGS: Mapping[str, str] = {
    "words": "word",
    "services": "service",
    "backfilled": "backfilled or --fresh",
    "wants_all": "all",
    "position_file": "position",
}


def take_histogram_flags(given: dict[str, Any]) -> dict[str, Any] | None:
    """Take the flags of a histogram out of the others: its parameters, None when none is wanted.

    Raises click's usage error for flags that do not go together.
    """
    wanted = given.pop("histogram")
    counted = {name: given.pop(name) for name in _HISTOGRAM_ONLY}
    if not wanted:
        for name, value in counted.items():
            if value is not None:
                raise click.UsageError(f"--{name} has a meaning only with --histogram")
        return None
    for name in _NO_HISTOGRAM:
        if given.get(name):
            raise click.UsageError(f"--{_flag(name)} has no meaning with --histogram")
    _refuse_typed(_PAGE_ONLY, "--histogram")
    if counted["bins"] and counted["step"]:
        raise click.UsageError("--bins and --step contradict each other")
    return counted


def show_histogram(asker: Asker, params: Mapping[str, Any]) -> None:
    """Draw bars, or tell the counts to a program."""
    asked = {name: value for name, value in params.items() if name not in _NO_HISTOGRAM}
    answer = asker.ask("log.histogram", asked)
    if asker.form != "table":
        show_list(asker.form, answer, answer["bins"], BIN_COLUMNS)
    elif any(held["records"] for held in answer["bins"]):
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH_CHARS
        for line in bar_lines(answer, width):
            click.echo(line)
    tell_and_finish(answer, sum(held["records"] for held in answer["bins"]))


def check_follow(params: Mapping[str, Any]) -> None:
    """Refuse what a live tail would leave out without a word; raises click's usage error."""
    if not params["follow"]:
        return
    _refuse_typed(_PAGE_ONLY, "--follow")
    told = tail_params(params)
    beside = {"follow", "position_file", "start", "signal"}
    for name, value in params.items():
        if name not in told and name not in beside and value not in (None, (), {}, ""):
            raise click.UsageError(f"--{_flag(name)} has no meaning with --follow")


def event_question(params: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The method that answers a search in events, and its parameters."""
    if params.get("trace_id"):
        for name in ("type", "subject"):
            if params.get(name):
                raise click.UsageError(f"--{name} does not go with --trace-id")
        beside = ("type", "subject")
        return "log.query", {key: value for key, value in params.items() if key not in beside}
    asked = {
        key: value for key, value in params.items() if key not in ("signal", "service", "trace_id")
    }
    if params.get("service"):
        if "service.name" in params["attributes"]:
            raise click.UsageError("--service and --attribute service.name say the same twice")
        asked["attributes"] = {**params["attributes"], "service.name": params["service"]}
    return "event.list", asked


def _refuse_typed(names: Iterable[str], where: str) -> None:
    """Refuse flags that have a default, where a person gave them all the same."""
    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{_flag(name)} has no meaning with {where}")


def _flag(name: str) -> str:
    return _FLAGS.get(name, name.replace("_", "-"))
