"""`headwater vm show|stats|events|ops|route`: what there is to see of machines."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from hub.cli.ask import Asker, asking
from hub.cli.output import Column, finish, milliseconds, moment, show_list, show_one
from hub.cli.vm_flags import OPERATION_COLUMNS, one_machine

EVENT_COLUMNS = (
    Column("TIME", "time", moment),
    Column("NODE", "node"),
    Column("EVENT", "event_name"),
    Column("VM", "attributes.vm.name"),
    Column("WHAT", "body"),
)
POINT_COLUMNS = (
    Column("TIME", "time"),
    Column("METRIC", "metric"),
    Column("WHAT", "what"),
    Column("VALUE", "value"),
    Column("UNIT", "unit"),
)
PATH_COLUMNS = (
    Column("ORDER", "order"),
    Column("HUB", "hub"),
    Column("BY", "via"),
    Column("LAST", "last.at", moment),
    Column("MS", "last.ms", milliseconds),
    Column("ERROR", "last.error"),
)


@click.command("show")
@one_machine
@click.option("--live", is_flag=True, help="Ask its node, and take nothing older.")
@asking
def show(asker: Asker, /, vm_name: str, node: str | None, live: bool) -> None:
    """Show all that is known of a machine, asked of its node; else what the node told last.

    \b
    headwater vm show box
    headwater vm show box --live -o json
    """
    show_one(asker.form, asker.ask("vm.get", {"vm": vm_name, "node": node, "live": live or None}))


@click.command("stats")
@one_machine
@click.option("--series", is_flag=True, help="Over time, as its node wrote it down.")
@click.option("--start", "--from", "start", help="With --series: from -1h, -2d, or a time.")
@click.option("--end", "--to", "end", help="With --series: up to this time.")
@click.option("--step", help="With --series: the width of a point, as in 1m.")
@asking
def stats(
    asker: Asker,
    /,
    vm_name: str,
    node: str | None,
    series: bool,
    start: str | None,
    end: str | None,
    step: str | None,
) -> None:
    """Show what a machine uses, now or over time.

    \b
    headwater vm stats box
    headwater vm stats box --series --from -1h --step 1m -o csv
    """
    if not series:
        if start or end or step:
            raise click.UsageError("--from, --to and --step go with --series")
        show_one(asker.form, asker.ask("vm.stats", {"vm": vm_name, "node": node}))
        return
    asked = {"vm": vm_name, "node": node, "from": start, "to": end, "step": step}
    answer = asker.ask("vm.stats.series", asked)
    points = _points(answer)
    show_list(asker.form, answer, points, POINT_COLUMNS)
    finish(answer, len(points))


def _points(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every point that has a value, as a row."""
    return [
        {
            "time": datetime.fromtimestamp(point[0], UTC).isoformat().replace("+00:00", "Z"),
            "metric": metric,
            "what": series.get("attributes", {}).get("direction"),
            "value": point[1],
            "unit": _unit(told),
        }
        for metric, told in answer.get("metrics", {}).items()
        for series in told.get("series", [])
        for point in series.get("points", [])
        if point[1] is not None
    ]


def _unit(told: Mapping[str, Any]) -> str:
    """A rate counts per second."""
    return f"{told.get('unit') or ''}{'/s' if told.get('aggregation') == 'rate' else ''}"


@click.command("events")
@click.argument("vm_name", metavar="[VM]", required=False)
@click.option("--node", help="Only of machines on this node.")
@click.option("--after", "--start", "after", help="Only from this time on, such as -2h.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@click.option("--cursor", help="Go on where an earlier answer ended.")
@asking
def events(asker: Asker, /, vm_name: str | None, **asked: Any) -> None:
    """Show what happened to a machine, or to all, newest first.

    \b
    headwater vm events box
    headwater vm events --node edge-1 --after -1h
    """
    answer = asker.ask("vm.events", {"vm": vm_name, **asked})
    items = [_event_row(each) for each in answer["items"]]
    show_list(
        asker.form, answer, items if asker.form == "table" else answer["items"], EVENT_COLUMNS
    )
    finish(answer, len(items))


def _event_row(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event whose attributes can be found by path: their names have dots themselves."""
    name = (event.get("attributes") or {}).get("vm.name")
    return {**event, "attributes": {"vm": {"name": name}}}


@click.command("ops")
@one_machine
@click.option("--state", type=click.Choice(["queued", "running", "done", "failed", "cancelled"]))
@click.option("--method", help="Only of this method, such as vm.stop.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@asking
def ops(asker: Asker, /, vm_name: str, **asked: Any) -> None:
    """Show who ordered what of a machine, when, through which hub, and what came of it.

    \b
    headwater vm ops box
    headwater vm ops box --state failed
    """
    show_operations(asker, {"vm": vm_name, **asked})


def show_operations(asker: Asker, asked: Mapping[str, Any]) -> None:
    """List operations; exits 4 when there are none."""
    answer = asker.ask("op.list", asked)
    show_list(asker.form, answer, answer["items"], OPERATION_COLUMNS)
    finish(answer, len(answer["items"]))


@click.command("route")
@click.argument("vm_name", metavar="[VM]", required=False)
@click.option("--node", help="The way to this node.")
@asking
def route(asker: Asker, /, vm_name: str | None, node: str | None) -> None:
    """Show by which ways a hub would reach a machine, in order, and what came of each last.

    \b
    headwater vm route box
    headwater vm route --node edge-1 --hub 127.0.0.1:8471
    """
    if not (vm_name or node):
        raise click.UsageError("name a VM or a --node")
    answer = asker.ask("hub.route", {"vm": vm_name, "node": node})
    show_list(asker.form, answer, answer["paths"], PATH_COLUMNS)
