"""`headwater peers views` and `headwater peers incidents`: where hubs disagree, and when they were apart."""

from collections.abc import Mapping
from typing import Any

import click

from hub.cli.ask import Asker, asking
from hub.cli.output import Column, age, finish, moment, plain, say, show_list, show_one
from shared.terminal import safe

VIEW_COLUMNS = (
    Column("HUB", "hub"),
    Column("HEARD", "age_s", age),
    Column("NODES", "nodes"),
    Column("EQUAL", "equal"),
    Column("HUBS", "said"),
    Column("STATES", "counted"),
)
NODE_COLUMNS = (
    Column("NODE", "node_id"),
    Column("BUCKET", "bucket"),
    Column("HERE", "mine"),
    Column("THERE", "theirs"),
)
INCIDENT_COLUMNS = (
    Column("INCIDENT", "id"),
    Column("STATE", "state"),
    Column("KIND", "kind"),
    Column("BEGAN", "began", moment),
    Column("LASTED", "lasted_s", age),
    Column("EQUAL AFTER", "equal_after_s", age),
    Column("ORDERS", "writes.intents"),
    Column("CONFLICTS", "conflicts_total"),
    Column("SEEN BY", "observers"),
)
SIDE_COLUMNS = (
    Column("ISLAND", "island"),
    Column("ORDERS", "writes.intents"),
    Column("CHUNKS", "writes.chunks"),
    Column("RECORDS", "writes.records"),
)
SEEN_COLUMNS = (
    Column("HUB", "observer"),
    Column("BEGAN", "began", moment),
    Column("WHOLE AGAIN", "ended", moment),
    Column("LASTED", "lasted_s", age),
    Column("EQUAL", "equal", moment),
)
ISLAND_COLUMNS = (
    Column("FROM", "at", moment),
    Column("SEEN BY", "observer"),
    Column("ISLANDS", "shown"),
)
CONFLICT_COLUMNS = (
    Column("NODE", "node"),
    Column("FIELD", "field"),
    Column("HOLDS", "winner.value"),
    Column("BY", "winner.hub"),
    Column("LOST", "loser.value"),
    Column("OF", "loser.hub"),
    Column("RULE", "rule"),
)


@click.command("views")
@click.argument("hub_id", metavar="[HUB]", required=False)
@click.option("--bucket", type=click.IntRange(0, 255), help="Only the nodes of this bucket.")
@asking
def views(asker: Asker, /, hub_id: str | None, bucket: int | None) -> None:
    """Show what each hub believes, and where they differ; with HUB, which nodes it holds differently."""
    if bucket is not None and hub_id is None:
        raise click.UsageError("--bucket needs a HUB to compare with")
    answer = asker.ask("hub.views", {"hub": hub_id, "bucket": bucket})
    if hub_id is not None and asker.form != "json":
        show_list(asker.form, answer, answer["nodes"], NODE_COLUMNS)
        finish(answer, len(answer["nodes"]))
        return
    show_list(asker.form, answer, [_view(each) for each in answer["views"]], VIEW_COLUMNS)
    for difference in answer["differences"]:
        say(_difference(difference))


def _view(view: Mapping[str, Any]) -> dict[str, Any]:
    said = [f"{hub} {belief['state']}" for hub, belief in view["hubs"].items()]
    counted = [f"{count} {state}" for state, count in view["states"].items()]
    equal = plain(view["nodes_equal"]) if view["fresh"] else "not known"
    return {**view, "said": said, "counted": counted, "equal": equal}


def _difference(held: Mapping[str, Any]) -> str:
    if held["about"] == "silence":
        return f"{held['subject']} has said nothing of its view for {age(held['since_s'])}"
    word = "disagree" if held["disagreement"] else "differ, perhaps by news on its way,"
    when = f"for {age(held['since_s'])} ({held['rounds']} rounds)"
    if held["about"] == "nodes":
        return f"nodes: this hub and {held['subject']} {word} {when} in {held['buckets_total']} buckets"
    said = ", ".join(f"{by} says {words}" for by, words in held["says"].items())
    return f"hub {held['subject']}: hubs {word} {when}: {said}"


@click.command("incidents")
@click.argument("incident_id", metavar="[INCIDENT]", required=False)
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@asking
def incidents(asker: Asker, /, incident_id: str | None, limit: int) -> None:
    """List the times during which hubs were apart; with INCIDENT, show one whole."""
    if incident_id is None:
        answer = asker.ask("hub.incidents", {"limit": limit})
        show_list(asker.form, answer, answer["items"], INCIDENT_COLUMNS)
        finish(answer, len(answer["items"]))
        return
    answer = asker.ask("hub.incident", {"incident": incident_id})
    if asker.form == "table":
        _show(answer)
    elif asker.form == "csv":
        show_list("csv", answer, answer["conflicts"], CONFLICT_COLUMNS)
    else:
        show_one(asker.form, answer)


def _show(incident: Mapping[str, Any]) -> None:
    shown = ("id", "state", "kind", "began", "ended", "hubs", "lasted_s", "equal_after_s")
    show_one("table", {name: incident[name] for name in shown})
    rows = [{**each, "shown": _islands(each["islands"])} for each in incident["islands"]]
    for title, items, columns in (
        ("Written on each side", incident["sides"], SIDE_COLUMNS),
        ("As each hub saw it", incident["seen_by"], SEEN_COLUMNS),
        ("Islands over time", rows, ISLAND_COLUMNS),
        ("Conflicts", incident["conflicts"], CONFLICT_COLUMNS),
    ):
        click.echo(f"\n{title}:" + ("" if items else " none"))
        show_list("table", incident, items, columns)
    if incident["conflicts_more"]:
        click.echo(safe(f"at least {plain(incident['conflicts_more'])} more were not kept"))


def _islands(islands: list[list[str]]) -> str:
    return " | ".join(", ".join(island) for island in islands)
