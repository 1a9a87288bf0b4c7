"""`headwater hub`."""

import click

from hub.cli.run import run


@click.group()
def hub() -> None:
    """Run a hub."""


hub.add_command(run)
