"""Commands about machines and hubs: status, nodes, node, hubs."""

from collections.abc import Mapping
from typing import Any

import click

from hub.cli.ask import Asker, asking
from hub.cli.fleet_words import in_short
from hub.cli.node_pages import node_filters, show_nodes
from hub.cli.output import Column, age, finish, moment, say, show_list, show_one, size
from shared.lazy_group import CommandGroup

HUB_COLUMNS = (
    Column("HUB", "hub_id"),
    Column("STATE", "state"),
    Column("URL", "url"),
    Column("SEEN", "age_s", age),
    Column("NODES", "nodes"),
    Column("LINKS", "links"),
    Column("CHUNKS", "chunks"),
    Column("SIZE", "bytes", size),
    Column("BEHIND", "lag_chunks"),
    Column("FOR", "replication.lag_seconds", age),
    Column("ERROR", "error"),
)


@click.command()
@asking
def status(asker: Asker, /) -> None:
    """Show one hub's view of the whole."""
    answer = asker.ask("hub.status")
    if asker.form != "table":
        show_one(asker.form, answer)
        return
    show_one("table", {name: value for name, value in answer.items() if name != "peers"})
    click.echo()
    show_one("table", {"fleet": in_short(asker.ask("fleet.summary"))})
    click.echo()
    show_list("table", answer, [*map(_with_leave, answer.get("peers", []))], HUB_COLUMNS)


@click.command()
@click.option(
    "--end-brake",
    is_flag=True,
    help="First let silent machines be offline again, on all hubs, that a brake calls unknown.",
)
@node_filters
@asking
def nodes(asker: Asker, /, *, end_brake: bool, limit: int | None, **params: Any) -> None:
    """List the machines by name, all of them or those with what the flags say."""
    if end_brake:
        _tell_override(asker.ask("fleet.override"))
    show_nodes(asker, params, limit)


def _tell_override(answer: Mapping[str, Any]) -> None:
    """Say on which hubs a brake has ended, and which ones do not know."""
    ended = [each["hub"] for each in answer["hubs"] if each["was_braked"]]
    say(f"the brake has ended on {', '.join(ended)}" if ended else "no hub was braked")
    for each in answer["unreached"]:
        say(f"{each['hub']} was not told: {each['error']}")


@click.group(cls=CommandGroup)
def node() -> None:
    """Look at one machine."""


@node.command("show")
@click.argument("node_id", metavar="NODE")
@asking
def show(asker: Asker, /, node_id: str) -> None:
    """Show all that is known of one machine."""
    show_one(asker.form, asker.ask("node.get", {"node": node_id}))


@click.command()
@asking
def hubs(asker: Asker, /) -> None:
    """List the hubs as one of them sees them."""
    answer = asker.ask("hub.list")
    gone = [_removed_hub(each) for each in answer.get("removed", [])]
    here = answer["items"] if asker.form != "table" else map(_with_leave, answer["items"])
    show_list(asker.form, answer, [*here, *gone], HUB_COLUMNS)
    finish(answer, len(answer["items"]))


def _with_leave(hub: Mapping[str, Any]) -> Mapping[str, Any]:
    """A hub as people read it: one that was stopped in order is away, and not avoided."""
    leave = hub.get("away")
    if not leave:
        return hub
    words = f"{leave['reason']}; it is dead if it is not back at {moment(leave['ends'])}"
    return {**hub, "state": "away", "error": words}


def _removed_hub(told: Mapping[str, Any]) -> dict[str, Any]:
    """A hub that people have sent away, as a row among the hubs."""
    urls = ", ".join(told.get("urls", []))
    error = f"removed through {told['through']}" + (f" ({told['why']})" if told["why"] else "")
    if urls:
        error += "; the settings of this hub name it still"
    return {"hub_id": told["hub"], "state": "removed", "url": urls or None, "error": error}
