"""`headwater peers remove` and `admit`: hubs that are gone for good."""

import click

from hub.cli.ask import Asker, asking
from hub.cli.output import show_one


@click.command("remove")
@click.argument("hub")
@click.option("--why", default="", help="What people should know about it.")
@click.option("--lose", is_flag=True, help="Give up chunks that never came to the asked hub.")
@asking
def remove(asker: Asker, /, hub: str, why: str, *, lose: bool) -> None:
    """Send a hub away for good: stop it first, then ask another one. All hubs hear of it, refuse it
    from then on, and wait for its copies no longer.
    """
    answer = asker.ask("peers.remove", {"hub": hub, "why": why, "lose": lose})
    if asker.form != "table":
        show_one(asker.form, answer)
        return
    click.echo(f"{hub} is removed; `headwater peers admit {hub}` lets it in again.")


@click.command("admit")
@click.argument("hub")
@asking
def admit(asker: Asker, /, hub: str) -> None:
    """Let a hub take part again that was removed."""
    answer = asker.ask("peers.admit", {"hub": hub})
    if asker.form != "table":
        show_one(asker.form, answer)
        return
    click.echo(f"{hub} may take part again.")
