"""`headwater buffer dead-letters`: what hubs refused for good, in the folder of an edge.

Listing and showing change nothing and may run beside the agent; retrying and discarding may not.
"""

import asyncio
import sys
from dataclasses import asdict

import click

from edge.letter_calls import records_of
from edge.letters import DeadLetter
from edge.offline import Place, survey
from edge.offline_filter import moment
from edge.offline_letters import letter_in, letters_in
from edge.offline_options import (
    NOTHING_MATCHED,
    Form,
    in_form,
    on_folder,
    say,
    show_json,
    show_line,
)
from edge.offline_repair import claimed, opened
from shared.errors import SettingsError, Unavailable
from shared.lazy_group import CommandGroup
from shared.ranges import SEQ_MAX, Ranges, of_seqs
from shared.runtime import system_runtime
from shared.terminal import table

HEADINGS = ("NUMBER", "SIGNAL", "RECORDS", "BYTES", "REFUSED", "REASON")
SEQ = click.IntRange(1, SEQ_MAX)


@click.group("dead-letters", cls=CommandGroup)
def dead_letters() -> None:
    """What hubs refused for good and the folder of an edge still keeps."""


@dead_letters.command("list")
@on_folder
@in_form
def list_letters(place: Place, form: Form) -> None:
    """List the dead letters, the oldest first."""
    letters = letters_in(place)
    if form == "json":
        show_json({"items": [asdict(letter) for letter in letters], "total": len(letters)})
    elif letters:
        click.echo(table([HEADINGS, *map(_row, letters)]))
    else:
        say("there are no dead letters")


def _row(letter: DeadLetter) -> tuple[str, ...]:
    counts = (str(letter.records), str(letter.stored_bytes))
    refused = moment(letter.refused_ms * 1_000_000)
    return (str(letter.seq), letter.signal, *counts, refused, letter.reason)


@dead_letters.command("show")
@on_folder
@click.argument("seq", type=SEQ, metavar="NUMBER")
@click.option("--limit", type=click.IntRange(1, 1000), default=10, show_default=True)
@in_form
def show_letter(place: Place, seq: int, limit: int, form: Form) -> None:
    """Show one dead letter and its first records."""
    found = letter_in(place, seq)
    if found is None:
        say(f"there is no dead letter {seq} that can be read")
        sys.exit(NOTHING_MATCHED)
    letter, chunk = found
    answer = {**asdict(letter), "sample": list(records_of(chunk, limit))}
    if form == "json":
        show_json(answer)
        return
    click.echo(table([HEADINGS, _row(letter)]))
    for record in records_of(chunk, limit):
        show_line(str(record))


@dead_letters.command("retry")
@on_folder
@click.argument("seqs", nargs=-1, type=SEQ, metavar="[NUMBER]...")
@click.option("--all", "every", is_flag=True, help="All of them.")
def retry(place: Place, seqs: tuple[int, ...], every: bool) -> None:
    """Put dead letters back into the log, to be pushed when the agent runs again."""
    count = _change(place, _chosen(seqs, every), discard=False)
    _tell(count, "put back into the log")


@dead_letters.command("discard")
@on_folder
@click.argument("seqs", nargs=-1, type=SEQ, metavar="[NUMBER]...")
@click.option("--all", "every", is_flag=True, help="All of them.")
def discard(place: Place, seqs: tuple[int, ...], every: bool) -> None:
    """Give dead letters up for good, which the log declares."""
    count = _change(place, _chosen(seqs, every), discard=True)
    _tell(count, "given up")


def _chosen(seqs: tuple[int, ...], every: bool) -> Ranges | None:
    if every == bool(seqs):
        raise SettingsError("name the numbers of some dead letters, or say --all")
    return None if every else of_seqs(seqs)


def _change(place: Place, chosen: Ranges | None, *, discard: bool) -> int:
    with claimed(place):
        surveyed = survey(place)
        if not surveyed.is_whole:
            raise Unavailable("the buffer is damaged: see `headwater buffer repair` first", 0)
        letters_in(place)  # Opening sets a damaged file aside, which only a repair should do.
        return asyncio.run(_change_opened(place, chosen, discard))


async def _change_opened(place: Place, chosen: Ranges | None, discard: bool) -> int:
    async with opened(place, system_runtime()) as departures:
        if discard:
            return await departures.dead.discard(chosen)
        return await departures.dead.retry(chosen)


def _tell(count: int, what: str) -> None:
    if not count:
        say("there are no such dead letters")
        sys.exit(NOTHING_MATCHED)
    show_line(f"{count} dead letters were {what}")
