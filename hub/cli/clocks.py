"""`headwater peers clocks`: how far the clock of every hub is off, and which edges are worst."""

from collections.abc import Mapping
from typing import Any

import click

from hub.cli.ask import Asker, asking
from hub.cli.output import Column, age, finish, moment, plain, say, show_list
from shared.terminal import safe


def off(value: Any) -> str:
    """Milliseconds by which a clock is off; more is ahead."""
    if not isinstance(value, int | float):
        return "-"
    return f"{value:+.1f} ms" if abs(value) < 1000 else f"{value / 1000:+,.2f} s"


def _sure_to(value: Any) -> str:
    return f"{value:.1f} ms" if isinstance(value, int | float) else "-"


def _drift(value: Any) -> str:
    return f"{value:+.1f} ppm" if isinstance(value, int | float) else "-"


HUBS = (
    Column("HUB", "hub_id"),
    Column("VERDICT", "verdict"),
    Column("FROM THIS HUB", "offset_ms", off),
    Column("FROM ALL", "off_ms", off),
    Column("SURE TO", "error_ms", _sure_to),
    Column("DRIFT", "drift_ppm", _drift),
    Column("BY", "by", plain),
    Column("SINCE", "since", moment),
)
EDGES = (
    Column("NODE", "node_id"),
    Column("OFF", "offset_ms", off),
    Column("DRIFT", "drift_ppm", _drift),
    Column("LAST BEAT", "age_s", age),
)


@click.command("clocks")
@click.option("--edges", is_flag=True, help="List the edges alone, all of them, the worst first.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@asking
def clocks(asker: Asker, /, edges: bool, limit: int) -> None:
    """List the clocks of all hubs as one of them measured them, and the edges that are off most."""
    whom = {"edges": "all"} if edges else {}
    answer = asker.ask("clock.list", {"limit": limit, **whom})
    own, worst = answer["own"], answer["edges"]["items"]
    if edges:
        show_list(asker.form, answer, worst, EDGES)
        if (left_out := answer["edges"]["known"] - len(worst)) > 0:
            say(f"{left_out:,} more edges; --limit shows up to 1,000")
        finish(answer, len(worst))
        return
    hubs = [{**own, "offset_ms": 0.0, "error_ms": None}, *answer["hubs"]]
    show_list(asker.form, answer, hubs, HUBS)
    if asker.form == "table":
        _tell(asker, answer)


def _tell(asker: Asker, answer: Mapping[str, Any]) -> None:
    edges, waiting = answer["edges"], answer["withheld"]["parked"]
    if edges["items"]:
        click.echo()
        show_list(asker.form, answer, edges["items"], EDGES)
    left_out = edges["off"] - len(edges["items"])
    if left_out > 0:
        say(f"{left_out} more edges are off")
    if answer["own"]["sentence"]:
        click.echo()
        click.echo(safe(answer["own"]["sentence"]))
    if waiting:
        click.echo()
        click.echo(f"{waiting} {'order waits' if waiting == 1 else 'orders wait'} for a clock")
    if answer["poisoned"]:
        click.echo()
        click.echo(f"{answer['poisoned']} stored orders carry a time that has not come yet")
