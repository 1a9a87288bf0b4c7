"""`headwater nodes label|drain|undrain|maintenance`: what people want of a machine."""

import secrets
import time
from collections.abc import Sequence
from typing import Any

import click

from hub.cli.ask import Asker, asking
from hub.cli.enrol import read_labels
from hub.cli.output import plain, show_one
from hub.cli.query_flags import Decorator, flags
from hub.cli.vm_flags import (
    ANSWER_SECONDS_EXTRA,
    WAIT_SECONDS_ONCE,
    request_flags,
    tell_end,
    wait_for,
)
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
        raise click.UsageError(f"{node_id} has no label {unknown[0]}: {_labels_told(held)}")
    labels = {key: value for key, value in {**held, **given}.items() if key not in gone}
    answer = asker.ask("node.label", {"node": node_id, "labels": labels}, keeping=("labels",))
    if asker.form != "table":
        show_one(asker.form, answer)
        return
    click.echo(safe(f"{node_id} has {_labels_told(answer['labels'])}."))


def _labels_told(held: dict[str, str]) -> str:
    """All labels in a few words."""
    pairs = ", ".join(f"{key}={value}" for key, value in sorted(held.items()))
    return f"the labels {pairs}" if pairs else "no labels"


stop_flags: Decorator = flags(
    click.option("--force-after", type=click.FloatRange(0, 3600), help="End slow VMs then."),
    click.option("--parallel", type=click.IntRange(1, 64), default=4, show_default=True),
    request_flags,
)


@click.command("drain")
@click.argument("node_id", metavar="NODE")
@click.option("--stop-vms", is_flag=True, help="Also stop its VMs, gracefully.")
@stop_flags
@asking
def drain(asker: Asker, /, node_id: str, *, stop_vms: bool, **given: Any) -> None:
    """Give a machine no new work. What it holds is pushed out by `headwater drain`.

    \b
    headwater nodes drain edge-1                                # what runs there goes on
    headwater nodes drain edge-1 --stop-vms --force-after 60    # leaves with 1 when one runs on
    """
    if not stop_vms:
        _told(asker, "node.drain", {"node": node_id}, "takes no new work")
        return
    _work(asker, "node.drain", {"node": node_id, "stop_vms": True, **given}, "stopping")


@click.command("undrain")
@click.argument("node_id", metavar="NODE")
@asking
def undrain(asker: Asker, /, node_id: str) -> None:
    """Let a machine take new work again."""
    _told(asker, "node.undrain", {"node": node_id}, "takes new work")


@click.command("maintenance")
@click.argument("node_id", metavar="NODE")
@click.option("--off", is_flag=True, help="End it: start those VMs that ran before.")
@click.option("--why", default="", help="What is done to it, for others to read.")
@click.option("--leave-stopped", is_flag=True, help="With --off: start no VM.")
@stop_flags
@asking
def maintenance(
    asker: Asker, /, node_id: str, *, off: bool, why: str, leave_stopped: bool, **given: Any
) -> None:
    """Take a machine out of work: nothing new goes there, and its VMs are stopped, gracefully.

    \b
    headwater nodes maintenance edge-1 --why 'new disk' --force-after 60
    headwater nodes maintenance edge-1 --off
    """
    if (off and why) or (leave_stopped and not off):
        raise click.UsageError("--why is said at its begin, --leave-stopped at its end (--off)")
    wanted = {"node": node_id, "on": not off, "why": why or None}
    wanted["start_vms"] = False if leave_stopped else None
    _work(asker, "node.maintenance", {**wanted, **given}, "starting" if off else "stopping")


def _told(asker: Asker, method: str, params: dict[str, Any], told: str) -> None:
    answer = asker.ask(method, params)
    if asker.form != "table":
        show_one(asker.form, answer)
        return
    vms = [vm["name"] for vm in answer.get("vms") or [] if vm.get("state") == "running"]
    more = f"; what runs there goes on: {plain(vms)}" if vms and method == "node.drain" else ""
    click.echo(safe(f"{params['node']} {told}{more}."))


def _work(asker: Asker, method: str, params: dict[str, Any], part: str) -> None:
    """An order to a node and its VMs, waited for; leaves with 1 when one of them failed."""
    until = time.monotonic() + float(params["wait_s"])
    once = min(float(params["wait_s"]), WAIT_SECONDS_ONCE)
    sent = {name: value for name, value in params.items() if value is not None}
    request_id = params.get("request_id") or f"cli-{secrets.token_hex(8)}"
    answer = asker.ask(
        method,
        {**sent, "request_id": request_id, "wait_s": once},
        timeout_seconds=once + ANSWER_SECONDS_EXTRA,
    )
    begun = answer.get(part)
    operation = wait_for(asker, begun, until) if begun else None
    shown = answer if operation is None else {**answer, part: operation}
    if asker.form != "table":
        show_one(asker.form, shown)
    else:
        work = "takes no new work" if answer.get("draining") else "takes new work"
        counts = (operation or {}).get("counts", {})
        counted = ", ".join(f"{count} {state}" for state, count in counts.items())
        click.echo(safe(f"{answer['node_id']} {work}; {part} VMs: {counted or 'none'}."))
    if operation is not None:
        tell_end(_with_reason(operation))


def _with_reason(operation: dict[str, Any]) -> dict[str, Any]:
    """A bulk order has no error of its own: those of its VMs say why."""
    failed = [each for each in operation.get("items", []) if each.get("error")]
    if not failed:
        return operation
    why = "; ".join(f"{each['vm_name']}: {each['error'].get('message')}" for each in failed[:5])
    return {**operation, "error": {"message": safe(why)}}
