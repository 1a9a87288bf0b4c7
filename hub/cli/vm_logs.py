"""`headwater vm logs`: what the agent, the driver or orders did with a machine."""

import click

from hub.cli.ask import Asker, asking
from hub.cli.output import Column, finish, moment, show_list
from hub.cli.vm_flags import one_machine

LINE_COLUMNS = (Column("TIME", "at", moment), Column("LINE", "text"))


@click.command("logs")
@one_machine
@click.option(
    "--source",
    type=click.Choice(["agent", "driver", "ops"]),
    default="agent",
    show_default=True,
    help="What the agent saw, what the driver's programs said, or what was ordered.",
)
@click.option(
    "--tail", type=click.IntRange(1, 1000), default=100, show_default=True, help="So many lines."
)
@asking
def logs(asker: Asker, /, vm_name: str, node: str | None, source: str, tail: int) -> None:
    """Show what was done with a machine, as its node wrote it down; `vm log` shows its console.

    \b
    headwater vm logs box
    headwater vm logs box --source driver --tail 20
    """
    answer = asker.ask("vm.logs", {"vm": vm_name, "node": node, "source": source, "tail": tail})
    show_list(asker.form, answer, answer["lines"], LINE_COLUMNS)
    finish(answer, len(answer["lines"]))
