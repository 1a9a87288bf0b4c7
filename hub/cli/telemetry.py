"""Commands about telemetry: logs, events, metrics, traces, trace."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import click

from hub.cli.ask import Asker, asking
from hub.cli.output import Column, finish, milliseconds, moment, show_list

LOG_COLUMNS = (
    Column("TIME", "time", moment),
    Column("NODE", "node"),
    Column("SEVERITY", "severity"),
    Column("SERVICE", "service"),
    Column("BODY", "body"),
)
EVENT_COLUMNS = (*LOG_COLUMNS[:2], Column("EVENT", "event_name"), *LOG_COLUMNS[2:])
NAME_COLUMNS = (
    Column("NAME", "name"),
    Column("UNIT", "unit"),
    Column("KIND", "kind"),
    Column("NODES", "nodes"),
)
POINT_COLUMNS = (
    Column("TIME", "time", moment),
    Column("NODE", "node"),
    Column("VALUE", "value"),
    Column("ATTRIBUTES", "attributes"),
)
TRACE_COLUMNS = (
    Column("START", "start", moment),
    Column("TRACE", "trace_id"),
    Column("MS", "duration_ms", milliseconds),
    Column("SPANS", "spans"),
    Column("ERRORS", "errors"),
    Column("NODES", "nodes"),
    Column("SERVICE", "service"),
    Column("NAME", "root_name"),
)
SPAN_COLUMNS = (
    Column("AFTER MS", "offset_ms", milliseconds),
    Column("MS", "duration_ms", milliseconds),
    Column("STATUS", "status"),
    Column("NODE", "node"),
    Column("SERVICE", "service"),
    Column("NAME", "indented"),
)


def time_range(command: Callable[..., None]) -> Callable[..., None]:
    """Add the flags of every search: --start, --end and --node."""
    for decorate in (
        click.option("--node", "nodes", multiple=True, help="Only this node; may be repeated."),
        click.option("--end", help="Up to this time, written like --start."),
        click.option("--start", help="From this time: RFC 3339, Unix seconds, or -15m, -2h, -7d."),
    ):
        command = decorate(command)
    return command


def log_filters(command: Callable[..., None]) -> Callable[..., None]:
    """Add the flags of a search in logs or events."""
    for decorate in (
        click.option("--cursor", help="Go on where an earlier answer ended."),
        click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True),
        click.option("--order", type=click.Choice(["newest", "oldest"]), help="What comes first."),
        click.option("--attribute", "attributes", multiple=True, metavar="KEY=VALUE"),
        click.option("--trace-id", help="Only records of this trace."),
        click.option("--service", help="Only records of this service."),
        click.option("--severity", help="Only this severity and worse, as in WARN."),
        click.option("--text", help="Only records whose body holds this text."),
    ):
        command = decorate(command)
    return time_range(command)


def pairs(texts: Iterable[str]) -> dict[str, str]:
    """KEY=VALUE texts as a mapping; raises click's usage error."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{text!r} is not of the form KEY=VALUE")
        found[key] = value
    return found


@click.command()
@log_filters
@asking
def logs(asker: Asker, /, **filters: Any) -> None:
    """Search the logs."""
    _search_logs(asker, "logs", LOG_COLUMNS, filters)


@click.command()
@log_filters
@asking
def events(asker: Asker, /, **filters: Any) -> None:
    """Search the events: what edges and VMs report of themselves."""
    _search_logs(asker, "events", EVENT_COLUMNS, filters)


def _search_logs(
    asker: Asker, signal: str, columns: tuple[Column, ...], filters: Mapping[str, Any]
) -> None:
    params = {**filters, "signal": signal, "attributes": pairs(filters["attributes"])}
    answer = asker.ask("log.query", params)
    show_list(asker.form, answer, answer["items"], columns)
    finish(answer, len(answer["items"]))


@click.command()
@click.argument("name", required=False)
@time_range
@click.option("--step", help="Width of a point, as in 30s.")
@click.option(
    "--aggregation", type=click.Choice(["avg", "min", "max", "sum", "count", "last", "rate"])
)
@click.option("--attribute", "attributes", multiple=True, metavar="KEY=VALUE")
@asking
def metrics(asker: Asker, /, name: str | None, **filters: Any) -> None:
    """List the metrics; with NAME, show that one over time."""
    if name is None:
        params = {key: filters[key] for key in ("start", "end", "nodes")}
        answer = asker.ask("metric.names", params)
        show_list(asker.form, answer, answer["items"], NAME_COLUMNS)
        finish(answer, len(answer["items"]))
        return
    params = {**filters, "name": name, "attributes": pairs(filters["attributes"])}
    answer = asker.ask("metric.query", params)
    points = [point for series in answer["series"] for point in _points(series)]
    show_list(asker.form, answer, points, POINT_COLUMNS)
    finish(answer, len(points))


def _points(series: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    points = series["points"]
    measured = [index for index, (_, value) in enumerate(points) if value is not None]
    # Gaps are shown, but not the time before the first measurement and after the last.
    for seconds, value in points[measured[0] : measured[-1] + 1] if measured else ():
        time = datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
        held = {"node": series["node"], "attributes": series["attributes"]}
        yield {"time": time, "value": value, **held}


@click.command()
@time_range
@click.option("--service", help="Only traces that touch this service.")
@click.option("--name", help="Only traces with a span of this name.")
@click.option("--min-duration-ms", type=float, help="Only traces that took at least this long.")
@click.option("--errors-only", is_flag=True, default=None, help="Only traces with an error.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--cursor", help="Go on where an earlier answer ended.")
@asking
def traces(asker: Asker, /, **filters: Any) -> None:
    """Search the traces."""
    answer = asker.ask("trace.search", filters)
    show_list(asker.form, answer, answer["items"], TRACE_COLUMNS)
    finish(answer, len(answer["items"]))


@click.command()
@click.argument("trace_id", metavar="TRACE")
@asking
def trace(asker: Asker, /, trace_id: str) -> None:
    """Show one trace as a waterfall."""
    answer = asker.ask("trace.get", {"trace_id": trace_id})
    spans = answer["spans"]
    shown = [{**span, "indented": "  " * span["depth"] + span["name"]} for span in spans]
    show_list(asker.form, answer, shown, SPAN_COLUMNS)
    finish(answer, len(spans))
