"""The command line: a table of commands, each imported only when it is called."""

import os
import sys

import click

from shared import __version__
from shared.errors import HeadwaterError, Refused, RpcError, SettingsError
from shared.lazy_group import LazyGroup

COMMANDS = {
    "start": ("shared.main:start_command", "Start what MODE says, with KEY=VALUE settings."),
    "demo": ("shared.main:demo_command", "Run two hubs and an edge on this machine."),
    "stop": ("shared.main:stop_command", "Stop what runs in the data folder."),
    "hub": ("hub.cli.hub:hub", "Run a hub."),
    "edge": ("edge.cli:edge", "Run an edge."),
    "status": ("hub.cli.fleet:status", "Show one hub's view of the whole."),
    "nodes": ("hub.cli.nodes:nodes", "List the machines, and see how they were."),
    "node": ("hub.cli.fleet:node", "Show one machine."),
    "hubs": ("hub.cli.fleet:hubs", "List the hubs."),
    "peers": ("hub.cli.peers:peers", "List the hubs, and see who leads."),
    "logs": ("hub.cli.telemetry:logs", "Search the logs."),
    "events": ("hub.cli.telemetry:events", "Search the events."),
    "labels": ("hub.cli.telemetry:labels", "List the values of a label."),
    "metrics": ("hub.cli.telemetry:metrics", "List the metrics, or show one over time."),
    "traces": ("hub.cli.telemetry:traces", "Search the traces."),
    "trace": ("hub.cli.telemetry:trace", "Show one trace as a waterfall."),
    "vms": ("hub.cli.vms:vms", "List the virtual machines and sandboxes."),
    "vm": ("hub.cli.vms:vm", "Create, start, stop, look at or delete one."),
    "image": ("hub.cli.vm_images:image", "List, bring or delete the images of a node."),
    "op": ("hub.cli.vm_ops:op", "Look at, wait for or cancel operations."),
    "queue": ("hub.cli.vm_ops:queue", "List or cancel orders that wait for their node."),
    "drain": ("hub.cli.drain:drain", "Push all that an edge holds, now."),
    "buffer": ("shared.buffer_command:buffer", "Show, search, verify or mend what an edge holds."),
    "dead-letters": ("hub.cli.letters:dead_letters", "Show, retry or discard what hubs refused."),
    "ledger": ("hub.cli.ledger:ledger", "Account for a node's data, and check it."),
    "config": ("hub.cli.config:config", "Show the settings and where they come from."),
    "rpc": ("hub.cli.rpc:rpc", "Call a method of a hub."),
    "bench": ("shared.bench:bench", "Measure the speed on this machine."),
}
"""Each command, where it lives, and its line in the help; by name, so that help loads none."""

HIDDEN = frozenset({"start"})


@click.group(
    cls=LazyGroup,
    commands_by_name=COMMANDS,
    hidden_names=HIDDEN,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="headwater")
def root() -> None:
    """Headwater: telemetry from edges to equal hubs, and orders back."""


@click.command("start", context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, metavar="[KEY=VALUE]...")
def start_command(words: tuple[str, ...]) -> None:
    """Start what MODE says: demo (the default), master or worker."""
    from shared.start import start

    sys.exit(start(words))


@click.command("demo")
@click.argument("words", nargs=-1, metavar="[KEY=VALUE]...")
def demo_command(words: tuple[str, ...]) -> None:
    """Run two hubs and an edge on this machine."""
    from shared.start import start

    sys.exit(start([*words, "MODE=demo"]))


@click.command("stop")
@click.argument("words", nargs=-1, metavar="[DATA=FOLDER]")
def stop_command(words: tuple[str, ...]) -> None:
    """Stop what runs in the data folder (DATA, or ./var)."""
    from pathlib import Path

    from shared.pidfile import stop_all
    from shared.start import read_words

    given = read_words(words)
    folder = given.get("DATA") or os.environ.get("HEADWATER_DATA") or os.environ.get("DATA")
    data = Path(folder or "var")
    stopped = False
    for line in stop_all(data):
        click.echo(line)
        stopped = True
    if not stopped:
        click.echo(f"nothing runs in {data}", err=True)


FAILED, WRONG_USE, NOTHING_MATCHED, REFUSED = 1, 2, 4, 5

EXIT_CODE_OF = {
    "invalid_params": WRONG_USE,
    "method_not_found": WRONG_USE,
    "not_found": NOTHING_MATCHED,
    "conflict": REFUSED,
    "invalid_state": REFUSED,
    "not_supported": REFUSED,
    "protected": REFUSED,
    "unauthorized": REFUSED,
}
"""The kinds of answers that say no and are no failure: of the caller, or because of how things are."""


def exit_code(error: HeadwaterError) -> int:
    """1 failed, 2 wrong use, 4 nothing matched, 5 refused: an order that may not be, or not as things
    are, such as removing a hub that is alive."""
    if isinstance(error, SettingsError):
        return WRONG_USE
    if isinstance(error, Refused):
        return REFUSED
    if isinstance(error, RpcError):
        return EXIT_CODE_OF.get(error.kind, FAILED)
    return FAILED


def main() -> None:
    """The console script: every error of ours becomes one sentence and an exit code."""
    try:
        root(prog_name="headwater")
    except HeadwaterError as error:
        click.echo(f"headwater: {error}", err=True)
        sys.exit(exit_code(error))


if __name__ == "__main__":
    main()
