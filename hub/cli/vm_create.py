"""`headwater vm create|validate|update`: the commands that speak of a whole spec."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from hub.cli.ask import Asker, asking
from hub.cli.output import say, show_one
from hub.cli.query_flags import Decorator, flags
from hub.cli.vm_flags import generation_flag, give_order, one_machine, queue_flags, request_flags
from hub.cli.vm_spec import Spec, read_spec, spec_file, spec_flags, spec_of_flags

DEFAULT_IMAGE = "builtin:shell"
ORDER_FLAGS = ("request_id", "wait_s", "if_generation", "queue", "queue_s")


placing_flags: Decorator = flags(
    click.option("--node", help="The node for it.  [default: the hub chooses one]"),
    click.option(
        "--on",
        "on_labels",
        multiple=True,
        metavar="KEY=VALUE",
        help="Of the nodes with this label: KEY=VALUE, KEY!=VALUE, or KEY; may be repeated.",
    ),
)


@click.command("create")
@click.argument("name", required=False)
@placing_flags
@click.option("--start/--no-start", default=True, show_default=True, help="Start it at once.")
@click.option("--id", "vm_id", help="Its id, where you keep your own.")
@spec_file
@spec_flags
@request_flags
@asking
def create(asker: Asker, /, name: str | None, node: str | None, start: bool, **given: Any) -> None:
    """Create a machine, and start it. Without --node it goes where it fits best.

    \b
    headwater vm create box                                        # on the node with most room
    headwater vm create box --on site=north                        # on one of these nodes
    headwater vm create box --node edge-1                          # a sandbox with a shell
    headwater vm create tiny --node edge-1 --image builtin:tiny    # a VM of 512 bytes
    headwater vm create web --node edge-1 --image debian-12 --cpus 2 --memory 2G \\
        --disk root:20G --port 8080:80 --user-data cloud.yaml --autostart always
    headwater vm create --node edge-1 --spec web.toml --no-start
    """
    spec = spec_of(name, given)
    if given["request_id"] and not node:
        raise click.UsageError("to repeat an order, name the --node that it was for")
    order = {key: given[key] for key in ORDER_FLAGS if key in given}
    placed = _placed(node, given["on_labels"])
    chosen = node or _choose(asker, spec, placed)
    asked = {"spec": spec, "node": chosen, "start": start, "id": given["vm_id"]}
    give_order(asker, "vm.create", {**asked, **order})


@click.command("validate")
@click.argument("name", required=False)
@placing_flags
@spec_file
@spec_flags
@asking
def validate(asker: Asker, /, name: str | None, node: str | None, **given: Any) -> None:
    """Say what would come of a spec on a node; nothing is made. Leaves with 1 for problems.

    \b
    headwater vm validate box --memory 4G                          # where would it go, and why
    headwater vm validate --node edge-1 --spec web.toml
    headwater vm validate box --node edge-1 --image builtin:tiny --memory 16M
    """
    asked = _placed(node, given["on_labels"])
    answer = asker.ask("vm.validate", {"spec": spec_of(name, given), **asked})
    show_one(asker.form, answer)
    for warning in answer.get("warnings", []):
        say(f"warning: {warning}")
    problems = answer.get("problems", [])
    for problem in problems:
        say(f"{problem.get('kind')}: {problem.get('message')}")
    if problems:
        sys.exit(1)


@click.command("update")
@one_machine
@click.option("--name", help="Another name.")
@spec_file
@spec_flags
@request_flags
@generation_flag
@queue_flags
@asking
def update(asker: Asker, /, vm_name: str, name: str | None, node: str | None, **given: Any) -> None:
    """Change the spec of a machine; each field that is named is replaced whole.

    What cannot change while it runs waits for its next start, and shows as a pending change.

    \b
    headwater vm update box --memory 1G --restart on-failure
    headwater vm update box --label site=north --if-generation 3
    """
    patch = _fields(given) | ({"name": name} if name else {})
    if not patch:
        raise click.UsageError("name what to change, by flags or with --spec")
    order = {key: given[key] for key in ORDER_FLAGS if key in given}
    give_order(asker, "vm.update", {"vm": vm_name, "node": node, "patch": patch, **order})


def _choose(asker: Asker, spec: Spec, placed: dict[str, Any]) -> str:
    """The node that a hub chooses; the order names it, so that it can be repeated anywhere."""
    answer = asker.ask("vm.validate", {"spec": spec, **placed})
    say(f"{answer['node_id']} is chosen: {answer['placement']['why']}")
    return str(answer["node_id"])


def _placed(node: str | None, labels: Sequence[str]) -> dict[str, Any]:
    if node and labels:
        raise click.UsageError("name the --node, or say with --on which ones: one of the two")
    if node:
        return {"node": node}
    return {"placement": {"labels": list(labels)}} if labels else {}


def spec_of(name: str | None, given: dict[str, Any]) -> Spec:
    """The spec of a new machine, by its flags and file; raises UsageError."""
    spec = _fields(given) | ({"name": name} if name else {})
    if not spec.get("name"):
        raise click.UsageError("give it a NAME, or one in the file of --spec")
    return {"image": DEFAULT_IMAGE, **spec}


def _fields(given: dict[str, Any]) -> Spec:
    path: Path | None = given["spec_path"]
    return {**(read_spec(path) if path else {}), **spec_of_flags(given)}
