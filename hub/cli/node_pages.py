"""The list of machines on the command line: its flags, and what they ask."""

from collections.abc import Mapping
from typing import Any

import click

from hub.cli.ask import Asker
from hub.cli.list_pages import ListQuestion, show_whole_list
from hub.cli.node_columns import NODE_COLUMNS
from hub.cli.query_flags import Decorator, flags
from hub.rest_pages import ITEMS_MAX
from shared.liveness import NodeState

node_filters: Decorator = flags(
    click.option("--text", default="", help="Only with this in name, state, role, system, label."),
    click.option(
        "--state",
        "states",
        multiple=True,
        type=click.Choice([str(state) for state in NodeState]),
        help="Only in this state; may be repeated, for any of them.",
    ),
    click.option(
        "--label",
        "labels",
        multiple=True,
        metavar="KEY=VALUE",
        help="Only with this label: KEY=VALUE, KEY!=VALUE, or KEY; may be repeated, for all.",
    ),
    click.option("--heard-by", metavar="HUB_ID", help="Only those that this hub heard last."),
    click.option("--draining/--not-draining", default=None, help="Only those that drain, or not."),
    click.option(
        "--attention",
        is_flag=True,
        help="Only silent ones, wrong clocks, refused data, failed VMs.",
    ),
    click.option(
        "--limit",
        type=click.IntRange(1, ITEMS_MAX),
        help="At most so many.  [default: all, as they come]",
    ),
    click.option("--after", "--cursor", "cursor", default="", help="Go on after this machine."),
)
"""What the list can be narrowed by."""


def show_nodes(asker: Asker, params: Mapping[str, Any], limit: int | None) -> None:
    """Show the machines that are asked for; exits 3 when it is partial, 4 when none matched."""
    show_whole_list(asker, ListQuestion("node.list", params, NODE_COLUMNS, limit, "machines"))
