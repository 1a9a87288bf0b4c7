"""`headwater buffer`: asks hubs about an edge, or reads the folder of an edge that is stopped."""

import click

from shared.lazy_group import LazyGroup, load_command

COMMANDS = {
    "show": ("shared.buffer_command:show", "Show what an edge holds."),
    "query": ("edge.buffer_command:query", "Print the records in a folder."),
    "export": ("edge.buffer_command:export", "Write the chunks in a folder to a file."),
    "verify": ("edge.buffer_command:verify", "Read every byte in a folder."),
    "repair": ("edge.buffer_command:repair", "Mend a damaged folder, step by step."),
    "dead-letters": ("edge.letters_command:dead_letters", "List, retry or discard dead letters."),
}
"""Each command, where it lives, and its line in the help; by name, so that help loads none."""

ONLINE_SHOW = "hub.cli.drain:show"
OFFLINE_SHOW = "edge.buffer_command:show"


@click.group(cls=LazyGroup, commands_by_name=COMMANDS)
def buffer() -> None:
    """Look at what an edge holds; with --data in its folder, which may be that of a stopped agent."""


@click.command()
@click.argument("node", required=False)
@click.option("--data", metavar="FOLDER", help="Folder of the edge, when no NODE is named.")
@click.option("--hub", metavar="HOST[:PORT],...", help="Hubs to ask about NODE.")
@click.option("--token", help="Admin token for the hubs.")
@click.option("-o", "--output", metavar="FORM", help="Form of the answer: table or json.")
@click.option("--json", "as_json", is_flag=True, help="The same as -o json.")
@click.pass_context
def show(ctx: click.Context, /, node: str | None, as_json: bool, **given: str | None) -> None:
    """Show what NODE holds, asking hubs; without NODE, what the folder of an edge holds."""
    if node and given["data"]:
        raise click.UsageError("name a NODE to ask hubs, or --data to read a folder, not both")
    if not node and (given["hub"] or given["token"]):
        raise click.UsageError("name the NODE to ask hubs about")
    given["output"] = "json" if as_json else given["output"]
    words = [word for name, value in given.items() if value for word in (f"--{name}", value)]
    command = load_command(ONLINE_SHOW if node else OFFLINE_SHOW)
    words += ["--", node] if node else []
    with command.make_context("show", words, parent=ctx.parent) as inner:
        command.invoke(inner)
