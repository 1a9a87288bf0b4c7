"""`headwater dead-letters`: what all hubs refused of a machine's data and its edge still keeps."""

import secrets
import sys
from datetime import UTC, datetime
from typing import Any

import click

from hub.cli.ask import Asker, asking
from hub.cli.client import Caller
from hub.cli.drain import Params, through_hub_or_socket
from hub.cli.output import NOTHING_MATCHED, Column, finish, say, show_list, show_one, size
from shared.errors import SettingsError
from shared.lazy_group import CommandGroup
from shared.ranges import SEQ_MAX

SEQ = click.IntRange(1, SEQ_MAX)


def _moment(value: Any) -> str:
    at = datetime.fromtimestamp(value / 1000, UTC) if isinstance(value, int | float) else None
    return at.isoformat(timespec="seconds").replace("+00:00", "Z") if at else "-"


COLUMNS = (
    Column("NUMBER", "seq"),
    Column("SIGNAL", "signal"),
    Column("RECORDS", "records"),
    Column("SIZE", "stored_bytes", size),
    Column("REFUSED", "refused_ms", _moment),
    Column("REASON", "reason"),
)


@click.group("dead-letters", cls=CommandGroup)
def dead_letters() -> None:
    """Look at what hubs refused for good, push it again, or give it up."""


@dead_letters.command("list")
@click.argument("node")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@asking
def list_letters(asker: Asker, /, node: str, limit: int) -> None:
    """List the dead letters of NODE, the oldest first."""
    answer = _ask(asker, node, "list", limit=limit)
    show_list(asker.form, answer, answer["items"], COLUMNS)
    left_out = answer["total"] - len(answer["items"])
    if left_out > 0:
        say(f"{left_out} more are there: --limit {min(answer['total'], 1000)}")
    finish(answer, len(answer["items"]))


@dead_letters.command("show")
@click.argument("node")
@click.argument("seq", type=SEQ, metavar="NUMBER")
@click.option("--limit", type=click.IntRange(1, 100), default=10, show_default=True)
@asking
def show(asker: Asker, /, node: str, seq: int, limit: int) -> None:
    """Show one dead letter of NODE with its first records."""
    show_one(asker.form, _ask(asker, node, "show", seq=seq, limit=limit))


@dead_letters.command("retry")
@click.argument("node")
@click.argument("seqs", nargs=-1, type=SEQ, metavar="[NUMBER]...")
@click.option("--all", "every", is_flag=True, help="All of them.")
@asking
def retry(asker: Asker, /, node: str, seqs: tuple[int, ...], every: bool) -> None:
    """Put dead letters of NODE back into its log, to be pushed again."""
    _change(asker, node, "retry", seqs, every=every)


@dead_letters.command("discard")
@click.argument("node")
@click.argument("seqs", nargs=-1, type=SEQ, metavar="[NUMBER]...")
@click.option("--all", "every", is_flag=True, help="All of them.")
@asking
def discard(asker: Asker, /, node: str, seqs: tuple[int, ...], every: bool) -> None:
    """Give dead letters of NODE up for good, which its log declares."""
    _change(asker, node, "discard", seqs, every=every)


def _change(asker: Asker, node: str, verb: str, seqs: tuple[int, ...], *, every: bool) -> None:
    if every == bool(seqs):
        raise SettingsError("name the numbers of some dead letters, or say --all")
    chosen: dict[str, Any] = {"all": True} if every else {"seqs": list(seqs)}
    answer = _ask(asker, node, verb, request_id=f"cli-{secrets.token_hex(8)}", **chosen)
    show_one(asker.form, answer)
    count = int(answer.get("retried", answer.get("discarded", 0)))
    if not count:
        say(f"{node} has no such dead letters")
        sys.exit(NOTHING_MATCHED)
    say(f"{count} dead letters were {'put back' if verb == 'retry' else 'given up'}")


def _ask(asker: Asker, node: str, verb: str, **params: Any) -> dict[str, Any]:
    async def work(caller: Caller, target: Params) -> Any:
        return await caller.call(f"edge.dead_letters.{verb}", {**target, **params})

    answer: dict[str, Any] = through_hub_or_socket(asker, node, work)
    return answer
