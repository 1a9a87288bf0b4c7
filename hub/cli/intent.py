"""`headwater nodes label`, `drain` and `undrain`: what people want of a machine."""

from collections.abc import Sequence

import click

from hub.cli.ask import Asker, asking
from hub.cli.enrol import read_labels
from hub.cli.output import plain, show_one
from shared.terminal import safe


@click.command("label")
@click.argument("node_id", metavar="NODE")
@click.argument("words", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--remove", "gone", multiple=True, metavar="KEY", help="Take this label away.")
@click.option("--only", is_flag=True, help="Take all labels away that are not given here.")
@asking
def label(
    asker: Asker, /, node_id: str, words: Sequence[str], gone: Sequence[str], *, only: bool
) -> None:
    """Give a machine labels; the others stay. Settings can be made for a label."""
    given = read_labels(words, "KEY=VALUE")
    if not (given or gone or only):
        raise click.UsageError("name a label as KEY=VALUE, or one to --remove")
    held = {} if only else asker.ask("node.get", {"node": node_id}).get("labels") or {}
    if unknown := [key for key in gone if key not in held and not only]:
        raise click.UsageError(f"{node_id} has no label {unknown[0]}: {_told(held)}")
    labels = {key: value for key, value in {**held, **given}.items() if key not in gone}
    answer = asker.ask("node.label", {"node": node_id, "labels": labels}, keeping=("labels",))
    if asker.form != "table":
        show_one(asker.form, answer)
        return
    click.echo(safe(f"{node_id} has {_told(answer['labels'])}."))


def _told(labels: dict[str, str]) -> str:
    """All labels in a few words."""
    pairs = ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return f"the labels {pairs}" if pairs else "no labels"


@click.command("drain")
@click.argument("node_id", metavar="NODE")
@asking
def drain(asker: Asker, /, node_id: str) -> None:
    """Give a machine no new work. What it holds is pushed out by `headwater drain`."""
    _drain(asker, node_id, "node.drain", "takes no new work")


@click.command("undrain")
@click.argument("node_id", metavar="NODE")
@asking
def undrain(asker: Asker, /, node_id: str) -> None:
    """Let a machine take new work again."""
    _drain(asker, node_id, "node.undrain", "takes new work")


def _drain(asker: Asker, node_id: str, method: str, told: str) -> None:
    answer = asker.ask(method, {"node": node_id})
    if asker.form != "table":
        show_one(asker.form, answer)
        return
    vms = [vm["name"] for vm in answer.get("vms") or [] if vm.get("state") == "running"]
    more = f"; what runs there goes on: {plain(vms)}" if vms and method == "node.drain" else ""
    click.echo(safe(f"{node_id} {told}{more}."))
