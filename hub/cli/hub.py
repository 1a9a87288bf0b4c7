"""`headwater hub`."""

import click

from hub.cli.backup import backup, restore
from hub.cli.days import days
from hub.cli.otlp import otlp
from hub.cli.run import run
from shared.lazy_group import CommandGroup


@click.group(cls=CommandGroup)
def hub() -> None:
    """Run a hub, copy its store, see what it keeps and how to send to it."""


for command in (run, backup, restore, days, otlp):
    hub.add_command(command)
