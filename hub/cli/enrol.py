"""`headwater nodes register`, `remove`, `set-role` and `removed`: who belongs to the fleet."""

import getpass
import socket
from collections.abc import Sequence

import click

from hub.cli.ask import Asker, asking
from hub.cli.output import Column, finish, moment, show_list, show_one

REMOVED_COLUMNS = (
    Column("NODE", "node"),
    Column("REMOVED", "removed", moment),
    Column("BY", "by"),
    Column("WHY", "why"),
    Column("ASKS SINCE", "asks_since", moment),
    Column("ASKED LAST", "asked_last", moment),
)


@click.command("register")
@click.argument("node_id", metavar="NODE")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="A label; repeat it.")
@click.option("--role", default="", help="A small word for what it is there for.")
@asking
def register(asker: Asker, /, node_id: str, labels: Sequence[str], role: str) -> None:
    """Expect a machine before it ever comes, or let one back that was removed."""
    given = {"node": node_id, "labels": read_labels(labels, "--label"), "role": role, "who": _who()}
    answer = asker.ask("node.register", given)
    if asker.form != "table":
        show_one(asker.form, answer)
        return
    click.echo(f"{node_id} belongs to the fleet.")


def read_labels(words: Sequence[str], hint: str) -> dict[str, str]:
    """Labels as KEY=VALUE; raises click.BadParameter about `hint`."""
    pairs = [word.partition("=") for word in words]
    wrong = [name for name, sign, _ in pairs if not sign or not name]
    if wrong:
        raise click.BadParameter(f"write {wrong[0]!r} as KEY=VALUE", param_hint=hint)
    return {name: value for name, _, value in pairs}


def _who() -> str:
    """Who gives the order: it is written down and shown to all."""
    try:
        return f"{getpass.getuser()} on {socket.gethostname()}"[:200]
    except (OSError, KeyError):  # A user without a name, as in some containers.
        return f"somebody on {socket.gethostname()}"[:200]


@click.command("remove")
@click.argument("node_id", metavar="NODE")
@click.option("--why", default="", help="What people should know about it.")
@click.option("--force", is_flag=True, help="Also if it still beats, or nobody knows.")
@click.option("--yes", is_flag=True, help="Do not ask for its name.")
@asking
def remove(asker: Asker, /, node_id: str, why: str, *, force: bool, yes: bool) -> None:
    """Take a machine out of the fleet on all hubs. What it sent stays as long as retention says; what
    it holds and has not sent stays on it until it is registered again.
    """
    question = f"Type {node_id} to remove it"
    if not yes and click.prompt(question, default="", show_default=False) != node_id:
        raise click.ClickException(f"That is not {node_id}: nothing was removed.")
    order = {"node": node_id, "why": why, "who": _who(), "force": force}
    answer = asker.ask("node.remove", order)
    if asker.form != "table":
        show_one(asker.form, answer)
        return
    if answer.get("unsent_records"):
        click.echo(f"It said last that {answer['unsent_records']:,} of its records were on no hub.")
    click.echo(f"{node_id} is removed; `headwater nodes register {node_id}` lets it back.")


@click.command("set-role")
@click.argument("node_id", metavar="NODE")
@click.argument("role")
@asking
def set_role(asker: Asker, /, node_id: str, role: str) -> None:
    """Give a machine a role, a small word; '' for none."""
    answer = asker.ask("node.setRole", {"node": node_id, "role": role})
    if asker.form != "table":
        show_one(asker.form, answer)
        return
    click.echo(f"{node_id} has the role {role}." if role else f"{node_id} has no role.")


@click.command("removed")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@asking
def removed(asker: Asker, /, limit: int) -> None:
    """List the machines that were removed, and which of them ask to come back."""
    answer = asker.ask("node.removed", {"limit": limit})
    show_list(asker.form, answer, answer["items"], REMOVED_COLUMNS)
    finish(answer, len(answer["items"]))
