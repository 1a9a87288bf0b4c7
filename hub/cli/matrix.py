"""`headwater peers matrix`: which hub reaches which, as each of them says."""

from collections.abc import Mapping
from typing import Any

import click

from hub.cli.ask import Asker, asking
from hub.cli.output import Column, age, milliseconds, show_list
from hub.peering.matrix_drawing import draw_svg, draw_text
from hub.peering.matrix_wire import read_matrix
from shared.terminal import safe

COLUMNS = (
    Column("FROM", "hub"),
    Column("TO", "peer"),
    Column("STATE", "state"),
    Column("FOR", "state_age_s", age),
    Column("ANSWERED", "reached_age_s", age),
    Column("HEARD", "heard_age_s", age),
    Column("MS", "rtt_ms", milliseconds),
    Column("MISSES", "misses"),
    Column("FAILURE", "failure"),
    Column("OLD", "is_old"),
)


@click.command("matrix")
@click.option("--svg", is_flag=True, help="Write a drawing (SVG) instead.")
@asking
def matrix(asker: Asker, /, svg: bool) -> None:
    """Show which hub reaches which, as each of them says, and what is wrong between them."""
    answer = asker.ask("hub.matrix")
    if svg:
        click.echo(draw_svg(read_matrix(answer)), nl=False)
    elif asker.form == "table":
        for line in draw_text(read_matrix(answer)).splitlines():
            click.echo(safe(line))
    else:
        show_list(asker.form, answer, _entries(answer), COLUMNS)


def _entries(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"hub": row["hub"], "is_old": row["is_old"], **entry}
        for row in answer["rows"]
        for entry in row["entries"]
    ]
