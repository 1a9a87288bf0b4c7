"""`headwater peers leader|step-down|drill|members`: who acts alone, and how to change that."""

import sys
from collections.abc import Mapping
from typing import Any

import click

from hub.cli.ask import Asker, asking
from hub.cli.output import say, show_one
from shared.terminal import safe

DRILL_FAILED = 1
DRILL_CALL_SECONDS = 25.0  # A drill waits up to 15 s for the next leader.


@click.command("leader")
@asking
def leader(asker: Asker, /) -> None:
    """Show who leads, with which term, as one hub sees it."""
    answer = asker.ask("peers.leader")
    show_one(asker.form, answer)
    if asker.form == "table" and answer.get("note"):
        say(answer["note"])


@click.command("step-down")
@click.option("--to", "target", default="", metavar="HUB", help="Who should lead next.")
@asking
def step_down(asker: Asker, /, target: str) -> None:
    """Let the hub that leads hand over, now."""
    answer = asker.ask("peers.stepDown", {"target": target})
    if asker.form == "table":
        click.echo(safe(f"{answer['stepped_down']} has stopped leading term {answer['term']}"))
        return
    show_one(asker.form, answer)


@click.command("drill")
@click.option("--to", "target", default="", metavar="HUB", help="Who should lead next.")
@asking
def drill(asker: Asker, /, target: str) -> None:
    """Fail over on purpose and measure how long nobody leads; exit 1 when that was too long."""
    answer = asker.ask("peers.drill", {"target": target}, timeout_seconds=DRILL_CALL_SECONDS)
    if asker.form == "table":
        click.echo(safe(_sentence(answer)))
    else:
        show_one(asker.form, answer)
    if not answer["passed"]:
        sys.exit(DRILL_FAILED)


def _sentence(answer: Mapping[str, Any]) -> str:
    if not answer["passed"]:
        return f"failed: {answer['reason']}"
    return (
        f"passed: {answer['after']} leads term {answer['term_after']} after {answer['before']}, "
        f"{answer['seconds_without_leader']:.3f} s without a leader "
        f"(at most {answer['seconds_max']:g} s)"
    )


@click.command("members")
@click.argument("hubs", nargs=-1, required=True, metavar="HUB...")
@asking
def members(asker: Asker, /, hubs: tuple[str, ...]) -> None:
    """Name all hubs that vote: one more, or one less, than now. Ask the hub that leads."""
    show_one(asker.form, asker.ask("peers.members", {"hubs": list(hubs)}))
