"""The flags of questions about stored data, and what they become as parameters."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from hub.rest_attributes import Manner, read_attributes
from hub.rest_pages import ITEMS_MAX
from shared.errors import RpcError

Command = Callable[..., None]
Decorator = Callable[[Command], Command]

ATTRIBUTE_METAVAR = "KEY=VALUE"
_ATTRIBUTE_HELP = "Only with this attribute: KEY=VALUE, KEY!=VALUE or KEY=START*; may be repeated."


def flags(*decorators: Decorator) -> Decorator:
    """Add flags, in the order in which the help shall show them."""

    def decorate(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def _one_or_more(
    context: click.Context, option: click.Parameter, given: tuple[str, ...]
) -> str | tuple[str, ...] | None:
    """One value is said as such: every hub knows it."""
    return given if len(given) > 1 else next(iter(given), None)


def only_once(
    context: click.Context, option: click.Parameter, given: tuple[str, ...]
) -> str | None:
    """The one value; raises click's usage error for several, of which click takes the last silently."""
    if len(given) > 1:
        raise click.UsageError(
            f"{option.opts[0]} is taken once, not {len(given)} times: ask for each by itself"
        )
    return next(iter(given), None)


time_range = flags(
    click.option("--start", help="From this time: RFC 3339, Unix seconds, or -15m, -2h, -7d."),
    click.option("--end", help="Up to this time, written like --start."),
    click.option("--node", "nodes", multiple=True, help="Only this node; may be repeated."),
)
"""The flags of every search."""

attribute_flag = click.option(
    "--attribute", "attributes", multiple=True, metavar=ATTRIBUTE_METAVAR, help=_ATTRIBUTE_HELP
)


def page_flags(limit: int) -> Decorator:
    """The flags of answers in pages."""
    return flags(
        click.option(
            "--limit",
            type=click.IntRange(1, ITEMS_MAX),
            default=limit,
            show_default=True,
            help="At most so many; more than a page has come page after page.",
        ),
        click.option("--all", "wants_all", is_flag=True, help="All there are, as they come."),
        click.option("--cursor", help="Go on where an earlier answer ended."),
    )


record_filters = flags(
    time_range,
    click.option("--text", help="Only records whose body holds this text."),
    click.option("--severity", help="Only this severity and worse, as in WARN."),
    click.option("--severity-max", help="Only this severity and milder."),
    attribute_flag,
    click.option(
        "--backfilled/--fresh",
        "backfilled",
        default=None,
        help="Only records that their edge could not send at once, or only the others.",
    ),
)
"""What logs and events can be narrowed by."""

order_flags = flags(
    click.option("--order", type=click.Choice(["newest", "oldest"]), help="What comes first."),
    click.option("--oldest-first", is_flag=True, help="The same as --order oldest."),
)

log_filters = flags(
    record_filters,
    click.option("--word", "words", multiple=True, help="Only with this whole word; repeatable."),
    click.option(
        "--service",
        multiple=True,
        callback=_one_or_more,
        help="Only records of this service; may be repeated, for any of them.",
    ),
    click.option("--trace-id", help="Only records of this trace."),
)

histogram_flags = flags(
    click.option("--histogram", is_flag=True, help="Count the records over time, as bars."),
    click.option(
        "--by",
        type=click.Choice(["severity", "node", "service", "none"]),
        help="What the histogram tells apart.  [default: severity]",
    ),
    click.option(
        "--bins", type=click.IntRange(1, 1000), help="About how many bars.  [default: 60]"
    ),
    click.option("--step", help="Width of a bar, as in 30s, in place of --bins."),
)


def attributes(texts: Sequence[str], manner: Manner) -> dict[str, Any]:
    """Attributes as parameters; raises click's usage error."""
    try:
        return read_attributes(texts, manner)
    except RpcError as error:
        raise click.BadParameter(str(error).removeprefix("attributes: ")) from error


def record_params(given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a search in logs or events, from its flags."""
    params = {**given, "attributes": attributes(given["attributes"], "records")}
    if params.pop("oldest_first", False):
        if params.get("order") == "newest":
            raise click.UsageError("--oldest-first and --order newest contradict each other")
        params["order"] = "oldest"
    if isinstance(params.get("service"), tuple):
        params["services"] = params.pop("service")
    return params
