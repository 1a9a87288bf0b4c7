"""`headwater vm exec`: a command inside a machine, with its output and its exit code."""

import secrets
import sys
from typing import Any

import click

from hub.cli.ask import Asker, asking
from hub.cli.output import say, show_one
from hub.cli.vm_flags import ANSWER_SECONDS_EXTRA, node_flag

LATE = 124
"""What timeout(1) leaves with, too."""


@click.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("vm_name", metavar="VM")
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND...")
@node_flag
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0, 50, min_open=True),
    default=10.0,
    show_default=True,
    help="Seconds it may take.",
)
@click.option("--request-id", help="Repeat an order whose outcome is not known.")
@asking
def execute(asker: Asker, /, vm_name: str, argv: tuple[str, ...], **order: Any) -> None:
    """Run a command inside a machine; leaves with the command's exit code, 124 when it was too slow.

    Flags of this command stand before VM.

    \b
    headwater vm exec box -- uname -a
    headwater vm exec --timeout 30 box -- sh -c 'df -h; free -m'
    """
    request_id = order.pop("request_id") or f"cli-{secrets.token_hex(8)}"
    sent = {"vm": vm_name, "argv": list(argv), "request_id": request_id, **order}
    timeout = order["timeout_s"] + ANSWER_SECONDS_EXTRA
    _show(asker, asker.ask("vm.exec", sent, timeout_seconds=timeout))


def _show(asker: Asker, done: dict[str, Any]) -> None:
    if asker.form == "table":
        click.echo(done.get("stdout", ""), nl=False)
        click.echo(done.get("stderr", ""), nl=False, err=True)
    else:
        show_one(asker.form, done)
    if done.get("truncated"):
        say("the output was cut")
    if done.get("timed_out"):
        say("it was ended because its time was up")
        sys.exit(LATE)
    code, signal = done.get("code"), done.get("signal")
    sys.exit(int(code) if isinstance(code, int) else 128 + int(signal or 0))
