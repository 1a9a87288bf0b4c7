"""`headwater peers parked`: records of nodes that a hub could not apply and set aside."""

import click

from hub.cli.ask import Asker, asking
from hub.cli.output import Column, finish, moment, show_list

COLUMNS = (
    Column("NODE", "node"),
    Column("FROM", "sender"),
    Column("AT", "at", moment),
    Column("BYTES", "size_bytes"),
    Column("WHY", "reason"),
)


@click.command("parked")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@asking
def parked(asker: Asker, /, limit: int) -> None:
    """List records of peers that the asked hub could not apply and set aside, the newest first."""
    answer = asker.ask("parked.list", {"limit": limit})
    show_list(asker.form, answer, answer["items"], COLUMNS)
    finish(answer, len(answer["items"]))
