"""Commands about how machines were over time: uptime, history, checks, and the fleet in short."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click
import orjson

from hub.cli.ask import Asker, asking
from hub.cli.fleet_words import in_short
from hub.cli.output import (
    Column,
    age,
    finish,
    milliseconds,
    moment,
    say,
    show_list,
    show_one,
)
from shared.errors import BadInput
from shared.terminal import safe

FAILED = 1
SIGNS: Mapping[str, str] = {"offline": "x", "degraded": "-", "healthy": "|", "unknown": "."}
KINDS = ("healthy", "degraded", "offline", "unknown")
LEGEND = "| healthy, - late or a check failed, x no hub heard it, . nobody observed; times are UTC"

scale_option = click.option(
    "--scale",
    type=click.Choice(["5m", "24h"]),
    default="5m",
    show_default=True,
    help="Length of a bar: 60 of 5 minutes, or 90 of a day.",
)


def exact(value: Any) -> str:
    """A share in percent; what is not whole is never shown as 100 % or as 0 %."""
    if not isinstance(value, int | float):
        return "-"
    shown = min(max(value, 0.0001), 0.9999) if 0 < value < 1 else value
    return f"{shown:.2%}"


def bars(value: Any) -> str:
    """One sign for each bar, the worst that happened in it."""
    if not isinstance(value, list):
        return "-"
    return "".join(_sign(seconds) for seconds in value)


def _sign(seconds: Sequence[float]) -> str:
    of_kind = dict(zip(KINDS, seconds, strict=False))
    return next((sign for kind, sign in SIGNS.items() if of_kind.get(kind)), " ")


def counted(value: Any) -> str:
    """How many are in each state."""
    if not isinstance(value, Mapping):
        return "-"
    return ", ".join(f"{count} {state}" for state, count in value.items()) or "-"


UPTIME_COLUMNS = (
    Column("NODE", "node"),
    Column("STATE", "state"),
    Column("UP", "total.ratio", exact),
    Column("KNOWN", "total.coverage", exact),
    Column("BARS", "bars", bars),
)
HISTORY_COLUMNS = (
    Column("SINCE", "since", moment),
    Column("FOR", "seconds", age),
    Column("CHECK", "check"),
    Column("STATE", "state"),
    Column("HUB", "hub"),
    Column("REASON", "reason"),
)
CHECK_COLUMNS = (
    Column("CHECK", "check"),
    Column("STATE", "state"),
    Column("TARGET", "target"),
    Column("MS", "took_ms", milliseconds),
    Column("CERT DAYS", "cert_days"),
    Column("MESSAGE", "message"),
)
PLANNED_COLUMNS = (
    Column("CHECK", "check"),
    Column("STATE", "state"),
    Column("SINCE", "since", moment),
    Column("KIND", "kind"),
    Column("TARGET", "target"),
    Column("EVERY", "interval_s", age),
    Column("HUB", "hub"),
    Column("MESSAGE", "reason"),
)
WORST_COLUMNS = (
    Column("WORST", "node"),
    Column("UP", "ratio", exact),
    Column("KNOWN", "coverage", exact),
    Column("OFFLINE", "offline_s", age),
    Column("DEGRADED", "degraded_s", age),
)
LABEL_COLUMNS = (
    Column("LABEL", "label"),
    Column("VALUE", "value"),
    Column("NODES", "nodes"),
    Column("STATES", "states", counted),
)


@click.command("uptime")
@click.argument("node_id", metavar="[NODE]", required=False)
@scale_option
@click.option("--text", default="", help="Only nodes whose name holds this.")
@click.option("--after", default="", help="Go on after this node.")
@click.option("--limit", type=click.IntRange(1, 100), default=25, show_default=True)
@asking
def uptime(
    asker: Asker, /, node_id: str | None, scale: str, text: str, after: str, limit: int
) -> None:
    """Show how well machines were, as all hubs together observed it."""
    if node_id:
        _uptime_of_one(asker, node_id, scale)
        return
    wanted = {"scale": scale, "text": text, "after": after, "limit": limit}
    answer = asker.ask("fleet.uptime", wanted)
    show_list(asker.form, answer, answer["items"], UPTIME_COLUMNS)
    _legend(asker)
    if answer.get("cursor"):
        say(f"there is more: --after {answer['cursor']}")
    finish({}, len(answer["items"]))


def _uptime_of_one(asker: Asker, node_id: str, scale: str) -> None:
    answer = asker.ask("node.uptime", {"node": node_id, "scale": scale})
    if asker.form in ("csv", "ndjson"):
        columns = [Column(name, name) for name in answer["buckets"][0]]
        show_list(asker.form, answer, answer["buckets"], columns)
        return
    seconds = [[each[f"{kind}_s"] for kind in KINDS] for each in answer["buckets"]]
    show_list(asker.form, answer, [{**answer, "bars": seconds}], UPTIME_COLUMNS)
    _legend(asker)


def _legend(asker: Asker) -> None:
    if asker.form == "table":
        say(LEGEND)


@click.command("history")
@click.argument("node_id", metavar="NODE")
@click.option("--check", help="Only what this check said.")
@click.option("--start", default="-24h", show_default=True, help="A time, or -2h, -7d.")
@click.option("--end", default="now", show_default=True)
@click.option("--limit", type=click.IntRange(1, 1000), default=200, show_default=True)
@asking
def history(
    asker: Asker, /, node_id: str, check: str | None, start: str, end: str, limit: int
) -> None:
    """Show what each hub observed of a machine and when, newest first."""
    wanted = {"node": node_id, "check": check, "start": start, "end": end, "limit": limit}
    answer = asker.ask("node.history", wanted)
    show_list(asker.form, answer, answer["items"], HISTORY_COLUMNS)
    if answer["more"]:
        say(f"there is more: --end {answer['items'][-1]['since']}")
    finish({}, len(answer["items"]))


@click.command("check")
@click.argument("node_id", metavar="NODE")
@click.option("--name", help="Only the check of this name.")
@asking
def check(asker: Asker, /, node_id: str, name: str | None) -> None:
    """Run the checks of a machine now; exit 1 when one fails."""
    answer = asker.ask("node.check", {"node": node_id, "check": name})
    show_list(asker.form, answer, answer["items"], CHECK_COLUMNS)
    if not answer["ok"]:
        sys.exit(FAILED)


@click.command("checks")
@click.argument("node_id", metavar="NODE")
@asking
def checks(asker: Asker, /, node_id: str) -> None:
    """List the checks of a machine, and what they say."""
    answer = asker.ask("node.checks", {"node": node_id})
    show_list(asker.form, answer, answer["items"], PLANNED_COLUMNS)
    if answer["unreadable"]:
        say(f"these checks cannot be read: {answer['unreadable']}")
    finish({}, len(answer["items"]))


@click.command("set-checks")
@click.argument("node_id", metavar="NODE")
@click.argument("file", type=click.File("rb"))
@asking
def set_checks(asker: Asker, /, node_id: str, file: Any) -> None:
    """Give a machine the checks of a JSON file (- for standard input), and no others."""
    try:
        checks = orjson.loads(file.read())
    except orjson.JSONDecodeError as error:
        raise BadInput(f"the checks are not JSON: {error}") from error
    if not isinstance(checks, list):
        raise BadInput("the checks must be a list")
    answer = asker.ask("node.setChecks", {"node": node_id, "checks": checks})
    if asker.form != "table":
        show_one(asker.form, answer)
        return
    names = ", ".join(each["name"] for each in answer["checks"])
    click.echo(safe(f"{node_id} has the checks {names}." if names else f"{node_id} has no checks."))


@click.command("summary")
@click.option("--label", "labels", multiple=True, help="Count by this label.")
@scale_option
@asking
def summary(asker: Asker, /, labels: tuple[str, ...], scale: str) -> None:
    """Show all machines in a few numbers."""
    answer = asker.ask("fleet.summary", {"labels": list(labels), "scale": scale})
    if asker.form != "table":
        show_one(asker.form, answer)
        return
    show_one("table", in_short(answer))
    rows = [{"label": key, **row} for key, values in answer["labels"].items() for row in values]
    for items, columns in ((rows, LABEL_COLUMNS), (answer["uptime"]["worst"], WORST_COLUMNS)):
        if items:
            click.echo()
            show_list("table", answer, items, columns)


COMMANDS = (uptime, history, check, checks, set_checks, summary)
