"""Commands about telemetry: logs, events, metrics, labels, traces, trace."""

from collections.abc import Iterable, Mapping
from typing import Any

import click

from hub.cli.ask import Asker, asking
from hub.cli.follow import follow_flags, follow_if_asked
from hub.cli.output import Column, show_list
from hub.cli.query_columns import (
    EVENT_COLUMNS,
    LOG_COLUMNS,
    NAME_COLUMNS,
    POINT_COLUMNS,
    SERIES_COLUMNS,
    SPAN_COLUMNS,
    TRACE_COLUMNS,
    point_rows,
)
from hub.cli.query_coverage import tell_and_finish
from hub.cli.query_flags import (
    attribute_flag,
    attributes,
    histogram_flags,
    log_filters,
    only_once,
    order_flags,
    page_flags,
    record_filters,
    record_params,
    time_range,
)
from hub.cli.query_logs import check_follow, event_question, show_histogram, take_histogram_flags
from hub.cli.query_pages import PagedQuestion, show_pages, take_page_flags
from hub.rest_attributes import Manner

LOGS_PAGE_MAX = 1000
TRACES_PAGE_MAX = 500


@click.command()
@log_filters
@order_flags
@page_flags(100)
@histogram_flags
@follow_flags
@asking
def logs(asker: Asker, /, **given: Any) -> None:
    """Search the logs, count them over time, or follow them."""
    counted = take_histogram_flags(given)
    limit = take_page_flags(given)
    params = {**record_params(given), "signal": "logs"}
    if counted is not None:
        show_histogram(asker, {**params, **counted})
        return
    check_follow(params)
    if not follow_if_asked(asker, params, LOG_COLUMNS):
        question = PagedQuestion("log.query", params, LOG_COLUMNS, LOGS_PAGE_MAX, limit)
        show_pages(asker, question)


@click.command()
@click.option(
    "--type",
    multiple=True,
    callback=only_once,
    help="Only events of this name, or with START* whose name begins so.",
)
@click.option(
    "--subject",
    multiple=True,
    callback=only_once,
    help="Only events with an attribute of this value, such as a VM's id.",
)
@record_filters
@click.option("--service", help="Only events of this service.")
@click.option("--trace-id", help="Only events of this trace.")
@order_flags
@page_flags(100)
@follow_flags
@asking
def events(asker: Asker, /, **given: Any) -> None:
    """Search the events: what edges and VMs report of themselves."""
    limit = take_page_flags(given)
    params = {**record_params(given), "signal": "events"}
    check_follow(params)
    if not follow_if_asked(asker, params, EVENT_COLUMNS):
        method, asked = event_question(params)
        show_pages(asker, PagedQuestion(method, asked, EVENT_COLUMNS, LOGS_PAGE_MAX, limit))


@click.command()
@click.argument("name", required=False)
@time_range
@attribute_flag
@click.option("--step", help="Width of a point, as in 30s.")
@click.option(
    "--aggregation",
    type=click.Choice(
        ["avg", "min", "max", "sum", "count", "last", "rate", "increase", "quantile"]
    ),
    help="What a point says of its readings. Default: what fits the metric.",
)
@click.option("--quantile", type=click.FloatRange(0, 1), help="Which quantile, as in 0.99.")
@click.option("--group-by", multiple=True, help="One line for each value of it; may be repeated.")
@click.option(
    "--group",
    type=click.Choice(["sum", "avg", "min", "max", "count"]),
    help="How the series of a group become one line.",
)
@click.option("--series", "wants_series", is_flag=True, help="List the series, of NAME or of all.")
@click.option("--limit", type=click.IntRange(1, 5000), help="At most so many series.")
@asking
def metrics(asker: Asker, /, name: str | None, wants_series: bool, **given: Any) -> None:
    """List the metrics; with NAME, show that one over time."""
    params = {"name": name, **given, "attributes": attributes(given["attributes"], "series")}
    if wants_series:
        asked = _only(params, ("name", "start", "end", "nodes", "attributes", "limit"), "--series")
        _show_items(asker, "series.list", asked, SERIES_COLUMNS)
    elif name is None:
        asked = _only(params, ("start", "end", "nodes"), "a list of names")
        _show_items(asker, "metric.names", asked, NAME_COLUMNS)
    else:
        _show_points(asker, _only(params, set(params) - {"limit"}, "the points of a metric"))


def _only(params: Mapping[str, Any], names: Iterable[str], where: str) -> dict[str, Any]:
    """The named parameters; raises click's usage error when others are given."""
    kept = set(names)
    for name, value in params.items():
        if name not in kept and value not in (None, (), {}):
            flag = "attribute" if name == "attributes" else name.replace("_", "-")
            raise click.UsageError(f"--{flag} has no meaning for {where}")
    return {name: value for name, value in params.items() if name in kept}


def _show_items(
    asker: Asker, method: str, params: Mapping[str, Any], columns: tuple[Column, ...]
) -> None:
    answer = asker.ask(method, params)
    show_list(asker.form, answer, answer["items"], columns)
    tell_and_finish(answer, len(answer["items"]))


def _show_points(asker: Asker, params: Mapping[str, Any]) -> None:
    answer = asker.ask("metric.query", params)
    points = [point for series in answer["series"] for point in point_rows(series)]
    show_list(asker.form, answer, points, POINT_COLUMNS)
    tell_and_finish(answer, len(points))


@click.command()
@click.argument("label")
@click.option(
    "--signal",
    type=click.Choice(["logs", "events", "metrics", "traces"]),
    default="logs",
    show_default=True,
    help="Whose label it is.",
)
@time_range
@attribute_flag
@click.option("--name", help="Only series of this metric.")
@click.option("--severity", help="Only records of this severity and worse, as in WARN.")
@click.option("--text", help="Only records whose body holds this text.")
@click.option("--service", help="Only records of this service.")
@click.option("--limit", type=click.IntRange(1, 1000), help="At most so many values.")
@asking
def labels(asker: Asker, /, **given: Any) -> None:
    """List the values of LABEL: node, service, severity, or the key of an attribute."""
    counted: Manner = "series" if given["signal"] == "metrics" else "records"
    params = {**given, "attributes": attributes(given["attributes"], counted)}
    columns = (Column("VALUE", "value"), Column(counted.upper(), counted))
    _show_items(asker, "label.values", params, columns)


@click.command()
@time_range
@attribute_flag
@click.option("--service", help="Only traces that touch this service.")
@click.option("--name", help="Only traces with a span of this name.")
@click.option("--min-duration-ms", type=float, help="Only traces that took at least this long.")
@click.option("--max-duration-ms", type=float, help="Only traces that took at most this long.")
@click.option("--errors-only", is_flag=True, default=None, help="Only traces with an error.")
@click.option("--slowest", is_flag=True, help="The slowest ones, in place of the newest.")
@page_flags(50)
@asking
def traces(asker: Asker, /, slowest: bool, **given: Any) -> None:
    """Search the traces."""
    limit = take_page_flags(given)
    params = {**given, "attributes": attributes(given["attributes"], "spans")}
    if slowest:
        if limit is None or limit > TRACES_PAGE_MAX:
            raise click.UsageError(f"--slowest is one page: give a --limit up to {TRACES_PAGE_MAX}")
        params["order"] = "slowest"
    show_pages(asker, PagedQuestion("trace.search", params, TRACE_COLUMNS, TRACES_PAGE_MAX, limit))


@click.command()
@click.argument("trace_id", metavar="TRACE")
@asking
def trace(asker: Asker, /, trace_id: str) -> None:
    """Show one trace as a waterfall."""
    answer = asker.ask("trace.get", {"trace_id": trace_id})
    spans = answer["spans"]
    shown = [{**span, "indented": "  " * span["depth"] + span["name"]} for span in spans]
    show_list(asker.form, answer, shown, SPAN_COLUMNS)
    tell_and_finish(answer, len(spans))
