"""Commands about the settings of the cluster: `headwater config cluster|set|unset|history|drift|node`.

`headwater config show` is about the settings of this machine, and lives in hub.cli.config.
"""

from typing import Any

import click
import orjson

from hub.cli.ask import Asker, asking
from hub.cli.output import Column, finish, moment, say, show_list
from shared.errors import SettingsError

SHORT_HASH = 12

SETTING_COLUMNS = (
    Column("FOR", "scope"),
    Column("SETTING", "key"),
    Column("VALUE", "value"),
    Column("BY", "author"),
    Column("THROUGH", "hub_id"),
    Column("AT", "at", moment),
)
KNOWN_COLUMNS = (
    Column("FOR", "for"),
    Column("SETTING", "key"),
    Column("APPLIES", "applies"),
    Column("MEANING", "meaning"),
)
HISTORY_COLUMNS = (
    Column("AT", "at", moment),
    Column("BY", "author"),
    Column("THROUGH", "hub_id"),
    Column("FOR", "scope"),
    Column("SETTING", "key"),
    Column("BEFORE", "before"),
    Column("VALUE", "value"),
    Column("UNSET", "unset"),
)


def _short(value: Any) -> str:
    return str(value)[:SHORT_HASH] if value else "-"


DRIFT_COLUMNS = (
    Column("NODE", "node_id"),
    Column("STATE", "state"),
    Column("SINCE", "since", moment),
    Column("WANTED", "wanted", _short),
    Column("APPLIED", "applied", _short),
    Column("WAITING", "waiting"),
    Column("ERROR", "error"),
)

_for = click.option(
    "--for",
    "whom",
    type=click.Choice(("hubs", "edges")),
    help="Whom it is for, where hubs and edges have a setting of this name.",
)
_labels = click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="NAME=VALUE",
    help="Only for edges with this label; may be given several times. Every edge has node=ITS_NAME.",
)
_author = click.option(
    "--author",
    envvar=("USER", "LOGNAME"),
    default="admin",
    show_default="the user's name",
    help="Who is written into the history.",
)


def read_value(text: str) -> Any:
    """A list, table or object as JSON; anything else as it is written."""
    if not text.lstrip().startswith(("[", "{")):
        return text
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise SettingsError(f"VALUE begins like JSON and cannot be read: {error}") from error


def read_labels(written: tuple[str, ...]) -> dict[str, str]:
    """Labels as they are given to --label."""
    pairs = [text.partition("=") for text in written]
    for name, equals, _ in pairs:
        if not name or not equals:
            raise SettingsError("--label must be NAME=VALUE, as in role=web")
    return {name: value for name, _, value in pairs}


@click.command("cluster", short_help="Show what is set for all hubs and for edges.")
@click.option("--known", is_flag=True, help="Which settings there are, instead of what is set.")
@asking
def cluster(asker: Asker, /, known: bool) -> None:
    """Show what is set for all hubs and for edges, or which settings there are."""
    answer = asker.ask("config.get")
    items = answer["known"] if known else answer["items"]
    show_list(asker.form, answer, items, KNOWN_COLUMNS if known else SETTING_COLUMNS)
    for each in answer["not_applied"]:
        say(f"not applied by the hub that answers: {each['reason']}")
    finish(answer, len(items))


@click.command("set", short_help="Set KEY to VALUE for hubs, or for edges with some labels.")
@click.argument("key")
@click.argument("value")
@_for
@_labels
@_author
@asking
def set_(
    asker: Asker, /, key: str, value: str, whom: str | None, labels: tuple[str, ...], author: str
) -> None:
    """Set KEY to VALUE for all hubs, for all edges, or for the edges with some labels."""
    asked = {"settings": {key: read_value(value)}, "for": whom, "labels": read_labels(labels)}
    answer = asker.ask("config.set", {**asked, "author": author})
    show_list(asker.form, answer, answer["items"], SETTING_COLUMNS)


@click.command("unset")
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@_for
@_labels
@_author
@asking
def unset(
    asker: Asker,
    /,
    keys: tuple[str, ...],
    whom: str | None,
    labels: tuple[str, ...],
    author: str,
) -> None:
    """Take settings back, as if nobody had set them."""
    asked = {"keys": list(keys), "for": whom, "labels": read_labels(labels), "author": author}
    answer = asker.ask("config.unset", asked)
    show_list(asker.form, answer, answer["items"], HISTORY_COLUMNS)


@click.command("history", short_help="Show who changed what, when, and through which hub.")
@click.argument("key", required=False)
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@asking
def history(asker: Asker, /, key: str | None, limit: int) -> None:
    """Show who changed what, when and through which hub, the newest first."""
    answer = asker.ask("config.history", {"key": key, "limit": limit})
    show_list(asker.form, answer, answer["items"], HISTORY_COLUMNS)
    finish(answer, len(answer["items"]))


@click.command("drift", short_help="Show which edges do not have what they should have.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@asking
def drift(asker: Asker, /, limit: int) -> None:
    """Show which edges do not have the settings that they should have, the worst first."""
    answer = asker.ask("config.drift", {"limit": limit})
    show_list(asker.form, answer, answer["items"], DRIFT_COLUMNS)
    say(", ".join(f"{count} {state}" for state, count in answer["totals"].items() if count))
    if answer["more"]:
        say(f"there are {answer['more']} more: --limit shows up to 1000")


@click.command("node", short_help="Show what one edge should have, and why.")
@click.argument("node_id", metavar="NODE")
@asking
def node(asker: Asker, /, node_id: str) -> None:
    """Show what one edge should have, and from where each setting comes."""
    answer = asker.ask("config.effective", {"node": node_id})
    show_list(asker.form, answer, answer["items"], SETTING_COLUMNS)
    say(f"{node_id} is {answer['state']}" + (f": {answer['error']}" if answer["error"] else ""))
    finish(answer, len(answer["items"]))


COMMANDS = (cluster, set_, unset, history, drift, node)
"""What `headwater config` has beside `show`."""
