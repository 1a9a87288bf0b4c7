"""`headwater hub days`: what a hub keeps, by day and signal, and what it has let go of."""

from collections.abc import Mapping
from typing import Any

import click

from hub.cli.ask import Asker, asking
from hub.cli.output import Column, finish, moment, plain, say, show_list, size
from shared.terminal import safe


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else plain(value)


_WHICH = (Column("DAY", "day"), Column("SIGNAL", "signal"))
_SUMS = (
    Column("CHUNKS", "chunks", _number),
    Column("RECORDS", "records", _number),
    Column("SIZE", "bytes", size),
)
KEPT = (*_WHICH, *_SUMS, Column("SAFE", "safe"))
GONE = (*_WHICH, Column("REASON", "reason"), *_SUMS, Column("SINCE", "at", moment))


@click.command("days")
@click.option("--dropped", is_flag=True, help="List what was let go instead, the newest first.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@asking
def days(asker: Asker, /, dropped: bool, limit: int) -> None:
    """List the day files of a hub, the newest first, and how long each signal is kept."""
    answer = asker.ask("hub.retention", {"limit": limit})
    items = answer["dropped" if dropped else "files"]
    show_list(asker.form, answer, items, GONE if dropped else KEPT)
    if asker.form == "table":
        _tell(answer)
    left_out = 0 if dropped else answer["files_total"] - len(items)
    if left_out > 0:
        say(f"{left_out} more are there: --limit {min(answer['files_total'], 1000)}")
    finish(answer, len(items))


def _tell(answer: Mapping[str, Any]) -> None:
    click.echo()
    for signal, policy in answer["policy"].items():
        click.echo(safe(f"{signal}: {_limits(policy)}{_excess(answer, signal)}"))


def _limits(policy: Mapping[str, int]) -> str:
    limits = [f"{policy['days']} days"] if policy["days"] else []
    limits += [size(policy["bytes"])] if policy["bytes"] else []
    return f"kept for {' and '.join(limits)}" if limits else "kept for ever"


def _excess(answer: Mapping[str, Any], signal: str) -> str:
    over_bytes = answer["signals"].get(signal, {}).get("over_bytes", 0)
    return f", now {size(over_bytes)} over: today's, or waiting for copies" if over_bytes else ""
