"""`headwater buffer`, the part that works on the folder of an edge: show, query, export, verify, repair.

The commands that only read change nothing and may run beside the agent; `repair` may not.
"""

import asyncio
import functools
import sys
import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import click
import orjson

from edge.offline import Place, survey
from edge.offline_export import FORMATS, replacing
from edge.offline_filter import Wanted, line_of, read_time
from edge.offline_letters import letters_in
from edge.offline_options import (
    NOTHING_MATCHED,
    PARTIAL,
    Form,
    in_form,
    on_folder,
    say,
    show_json,
    show_line,
)
from edge.offline_plan import Health, Plan, plan_of
from edge.offline_plan import shown as numbers
from edge.offline_query import Account, chunks_of, records_of
from edge.offline_rehearsal import rehearse
from edge.offline_repair import claimed
from edge.offline_repair import repair as mend
from edge.offline_show import faults_of, summary, tables
from edge.offline_verify import verify as examine
from shared.errors import BadInput, SettingsError
from shared.records import Signal
from shared.runtime import system_runtime
from shared.terminal import table

UNREADABLE_SHOWN = 10


@click.command()
@on_folder
@in_form
def show(place: Place, form: Form) -> None:
    """Show what the folder of an edge holds: files, numbers, times, ledger, dead letters."""
    surveyed = survey(place)
    faults = list(faults_of(surveyed))
    try:
        letters = letters_in(place)
    except BadInput as error:
        letters = ()
        faults.append(str(error))
    answer = summary(surveyed, letters, faults)
    if form == "json":
        show_json(answer)
    else:
        click.echo("\n\n".join(table(rows) for rows in tables(answer)))
    for fault in faults:
        say(f"found: {fault}")
    sys.exit(PARTIAL if faults else 0)


def filtered(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags --signal, --since and --until, which arrive as `wanted`."""

    @click.option("--signal", type=click.Choice([each.value for each in Signal]))
    @click.option(
        "--since", metavar="TIME", help="From then: RFC 3339, Unix seconds, or -15m, -2h."
    )
    @click.option("--until", metavar="TIME", help="Before then, written like --since.")
    @functools.wraps(command)
    def wrapped(
        *args: Any, signal: str | None, since: str | None, until: str | None, **kwargs: Any
    ) -> None:
        now_ns, every = time.time_ns(), Wanted()
        wanted = Wanted(
            Signal(signal) if signal else None,
            _time("--since", since, now_ns) if since else every.since_ns,
            _time("--until", until, now_ns) if until else every.until_ns,
        )
        command(*args, wanted=wanted, **kwargs)

    return wrapped


def _time(flag: str, text: str, now_ns: int) -> int:
    try:
        return read_time(text, now_ns)
    except BadInput as error:
        raise SettingsError(f"{flag}: {error}") from error


@click.command()
@on_folder
@filtered
@click.option("--contains", default="", metavar="TEXT", help="Only records that hold this text.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many. Default: all.")
@click.option("--order", type=click.Choice(["oldest", "newest"]), default="oldest")
@in_form
def query(
    place: Place, wanted: Wanted, contains: str, limit: int | None, order: str, form: Form
) -> None:
    """Print the records in the folder of an edge, in the order of its log, a line for each."""
    wanted, account, newest_first = replace(wanted, contains=contains), Account(), order == "newest"
    with closing(chunks_of(survey(place), wanted, account, newest_first=newest_first)) as chunks:
        records = records_of(chunks, wanted, account, newest_first=newest_first)
        for record in islice(records, limit):
            if form == "json":
                click.echo(orjson.dumps(record))
            else:
                show_line(line_of(record))
    _tell_what_is_left_out(account)
    if not account.records and account.is_whole:
        say("nothing matched")
        sys.exit(NOTHING_MATCHED)
    sys.exit(0 if account.is_whole else PARTIAL)


def _tell_what_is_left_out(account: Account) -> None:
    for text in account.unreadable[:UNREADABLE_SHOWN]:
        say(text)
    more = len(account.unreadable) - UNREADABLE_SHOWN
    if more > 0:
        say(f"{more} more chunks are left out")
    if account.damaged:
        say(f"damaged and left out: {account.damaged.count} chunks, {numbers(account.damaged)}")


@click.command()
@on_folder
@filtered
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="jsonl")
@click.option("--overwrite", is_flag=True, help="Replace FILE when it is there already.")
def export(place: Place, wanted: Wanted, target: Path, form: str, overwrite: bool) -> None:
    """Write whole chunks to FILE, or - for standard output: OTLP JSON lines, or chunks as they are.

    --since and --until choose chunks that may hold such records. FILE appears once it is complete.
    """
    account = Account()
    writer = FORMATS[form]

    def write(file: BinaryIO) -> None:
        with closing(chunks_of(survey(place), wanted, account)) as chunks:
            writer(chunks, file, account)

    if str(target) == "-":
        write(sys.stdout.buffer)
    else:
        _refuse_inside(place, target)
        with replacing(target, overwrite=overwrite) as file:
            write(file)
    _tell_what_is_left_out(account)
    say(f"exported {account.chunks} chunks with {account.records} records")
    sys.exit(0 if account.is_whole else PARTIAL)


def _refuse_inside(place: Place, target: Path) -> None:
    if target.absolute().parent.resolve().is_relative_to(place.buffer.resolve()):
        raise SettingsError(f"{place.buffer} is no place for other files: name another folder")


@click.command()
@on_folder
@in_form
def verify(place: Place, form: Form) -> None:
    """Read every byte in the folder of an edge; exit 0 when all is sound, 3 when something is not."""
    health = examine(place)
    if form == "json":
        show_json(_as_object(health))
    else:
        _show_health(health)
    sys.exit(PARTIAL if health.findings else 0)


def _as_object(health: Health) -> dict[str, object]:
    return {
        "sound": not health.findings,
        "files": len(health.files),
        "chunks": health.chunks_read,
        "bytes": health.bytes_read,
        "findings": [finding.as_object() for finding in health.findings],
        "notes": list(health.notes),
    }


def _show_health(health: Health) -> None:
    for finding in health.findings:
        show_line(f"{finding.file or 'books'}: {finding.text}")
    for note in health.notes:
        say(note)
    verdict = f"{len(health.findings)} findings" if health.findings else "all is sound"
    read = f"{health.chunks_read} sound chunks ({health.bytes_read} bytes)"
    show_line(f"{verdict}: read {read} in {len(health.files)} files")


@click.command()
@on_folder
@click.option("--apply", is_flag=True, help="Do it. Without this, only say what would be done.")
@in_form
def repair(place: Place, apply: bool, form: Form) -> None:
    """Say what is to be done about a damaged folder, and with --apply do it.

    The damaged files are kept in a folder beside. The agent must be stopped.
    """
    if place.agent_pid is not None:
        raise SettingsError(
            f"the agent runs in {place.folder} (process {place.agent_pid}) and mends what it finds "
            "by itself: stop it first to do it by hand"
        )
    with claimed(place) if apply else nullcontext():
        health = examine(place)
        plan = plan_of(health, rehearse(place))
        kept, after = None, health
        if apply and plan.steps:
            kept = asyncio.run(mend(place, health, system_runtime()))
            after = examine(place)
    if form == "json":
        show_json(_told(plan, kept, after))
    else:
        _show_plan(plan, kept, after)
    sys.exit(PARTIAL if after.findings else 0)


def _told(plan: Plan, kept: Path | None, after: Health) -> dict[str, object]:
    return {
        "steps": [step.as_object() for step in plan.steps],
        "not_mended": [finding.as_object() for finding in plan.left],
        "originals": str(kept) if kept else None,
        "findings": [finding.as_object() for finding in after.findings],
    }


def _show_plan(plan: Plan, kept: Path | None, after: Health) -> None:
    for step in plan.steps:
        show_line(f"{step.action:<9}  {step.file or '-'}: {step.text}")
    for finding in plan.left:
        say(f"no repair mends this: {finding.file or 'books'}: {finding.text}")
    if not plan.steps:
        show_line("nothing is to be done")
    elif kept is None and after.findings:
        show_line("nothing was changed: add --apply to do this")
    else:
        show_line(f"done; the damaged files are kept in {kept}" if kept else "done")
        for finding in after.findings:
            say(f"still: {finding.file or 'books'}: {finding.text}")
