"""`headwater vm discover|adopt`: machines that are on a node and in no record."""

from typing import Any

import click

from hub.cli.ask import Asker, asking
from hub.cli.output import Column, finish, show_list
from hub.cli.vm_create import spec_of
from hub.cli.vm_flags import give_order, request_flags
from hub.cli.vm_spec import spec_file, spec_flags

FOUND_COLUMNS = (
    Column("HANDLE", "handle"),
    Column("DRIVER", "driver"),
    Column("PID", "pid"),
    Column("WHAT", "what"),
)


@click.command("discover")
@click.argument("node", metavar="NODE")
@asking
def discover(asker: Asker, /, node: str) -> None:
    """List what runs or lies on a node and is none of its machines; nothing is touched.

    \b
    headwater vm discover edge-1
    """
    answer = asker.ask("vm.discover", {"node": node})
    show_list(asker.form, answer, answer["items"], FOUND_COLUMNS)
    finish(answer, len(answer["items"]))


@click.command("adopt")
@click.argument("handle", metavar="HANDLE")
@click.argument("name", required=False)
@click.option("--node", required=True, help="The node it is on.")
@spec_file
@spec_flags
@request_flags
@asking
def adopt(asker: Asker, /, handle: str, name: str | None, node: str, **given: Any) -> None:
    """Take up what `vm discover` found, under a NAME: one that runs goes on, another stays stopped.

    Its node cannot know what it was meant to be: say so by the flags of `vm create`.

    \b
    headwater vm adopt 3f9c0e7a web --node edge-1 --image debian-12 --memory 2G
    """
    waiting = {key: given[key] for key in ("request_id", "wait_s")}
    asked = {"handle": handle, "node": node, "spec": spec_of(name, given)}
    give_order(asker, "vm.adopt", {**asked, **waiting})
