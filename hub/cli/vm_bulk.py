"""`headwater vm bulk`: one thing done to many machines, with a result for each."""

import sys
from collections.abc import Mapping
from typing import Any

import click

from hub.cli.ask import Asker, asking
from hub.cli.output import Column, finish, say, show_list
from hub.cli.vm_flags import carry_out, queue_flags, request_flags, tell_end
from hub.cli.vms import STATES
from hub.machines.params import BULK_METHODS

ITEM_COLUMNS = (
    Column("VM", "vm_name"),
    Column("NODE", "node_id"),
    Column("STATE", "state"),
    Column("CHANGED", "changed"),
    Column("WHY", "error.message"),
    Column("OP", "op_id"),
)
SELECTING = ("node", "name", "state", "kind", "label", "text")


@click.command("bulk")
@click.argument("action", type=click.Choice(list(BULK_METHODS)))
@click.argument("vms", nargs=-1, metavar="[VM]...")
@click.option("--name", default="", help="Instead of VMs: of this name or pattern; '*' is all.")
@click.option("--node", help="Those on this node.")
@click.option("--state", multiple=True, type=click.Choice(STATES), help="In one of these states.")
@click.option("--kind", type=click.Choice(["vm", "sandbox"]), help="Of this kind.")
@click.option("--label", multiple=True, metavar="KEY=VALUE", help="With all of these labels.")
@click.option("--text", default="", help="With this in name, id, node, status or image.")
@click.option("--force", is_flag=True, help="Of stop and delete: do not ask them, end them.")
@click.option("--hard", is_flag=True, help="Of reboot: press the reset button.")
@click.option("--force-after", type=click.FloatRange(0, 3600), help="Of stop: end slow ones.")
@click.option("--snapshot", "snapshot_name", help="Of snapshot: its name.")
@click.option("--parallel", type=click.IntRange(1, 64), default=8, show_default=True)
@click.option("--stop-on-error", is_flag=True, help="Begin no more once one has failed.")
@click.option("--dry-run", is_flag=True, help="Only tell which they would be.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask first.")
@queue_flags
@request_flags
@asking
def bulk(asker: Asker, /, action: str, vms: tuple[str, ...], yes: bool, **given: Any) -> None:
    """Do one thing to many machines; each has a result of its own. Leaves with 1 when one failed.

    Without --yes it shows which they are, and asks first when it is used by a person.

    \b
    headwater vm bulk stop --label site=north --force-after 30
    headwater vm bulk start box-1 box-2 box-3 --yes
    headwater vm bulk delete --name 'test-*' --state stopped --dry-run
    """
    order = _order(action, vms, given)
    if given["dry_run"]:
        answer = asker.ask("vm.bulk", {**order, "dry_run": True})
        show_list(asker.form, answer, answer["items"], ITEM_COLUMNS)
        finish(answer, len(answer["items"]))
        return
    if not yes and sys.stdin.isatty():
        _confirm(asker, action, order)
    waiting = {"request_id": given["request_id"], "wait_s": given["wait_s"]}
    answer = carry_out(asker, "vm.bulk", {**order, **waiting})
    show_list(asker.form, answer, answer["items"], ITEM_COLUMNS)
    _tell(answer)


def _order(action: str, vms: tuple[str, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    selector = {name: given[name] for name in SELECTING if given[name] not in (None, "", ())}
    if bool(vms) == bool(selector):
        raise click.UsageError("name the machines, or say which by flags: one of the two")
    chosen: dict[str, Any] = {"ids": list(vms)} if vms else {"selector": selector}
    settings = {"parallel": given["parallel"], "stop_on_error": given["stop_on_error"] or None}
    return {"action": action, "options": _options(action, given), **chosen, **settings}


def _options(action: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What goes to each machine; raises UsageError for a flag that the action does not know."""
    flags: dict[str, dict[str, dict[str, Any]]] = {
        "force": {"stop": {"mode": "force"}, "delete": {"force": True}},
        "hard": {"reboot": {"mode": "hard"}},
        "force_after": {"stop": {"force_after": given["force_after"]}},
        "snapshot_name": {"snapshot": {"name": given["snapshot_name"]}},
    }
    options: dict[str, Any] = {}
    for flag, meanings in flags.items():
        if given[flag] not in (None, False):
            if action not in meanings:
                name = flag.removesuffix("_name").replace("_", "-")
                raise click.UsageError(f"--{name} has no meaning for {action}")
            options |= meanings[action]
    if action == "snapshot" and not given["snapshot_name"]:
        raise click.UsageError("snapshot needs --snapshot NAME")
    queued = {"queue": given["queue"] or None, "queue_s": given["queue_s"]}
    return options | {name: value for name, value in queued.items() if value is not None}


def _confirm(asker: Asker, action: str, order: Mapping[str, Any]) -> None:
    found = asker.ask("vm.bulk", {**order, "dry_run": True})
    names = [f"{item['vm_name']} on {item['node_id'] or '?'}" for item in found["items"]]
    say("\n".join(names))
    click.confirm(f"{action} these {len(names)} machines?", abort=True, err=True)


def _tell(answer: Mapping[str, Any]) -> None:
    counts = ", ".join(f"{count} {state}" for state, count in answer.get("counts", {}).items())
    say(f"{answer.get('total')} machines: {counts or 'none'}")
    failed = [item["vm_id"] for item in answer["items"] if item["state"] == "failed"]
    if failed:
        say(f"to try these again: headwater vm bulk {answer['action']} {' '.join(failed)}")
    tell_end({**answer, "error": {"message": "see above"}} if failed else answer)
