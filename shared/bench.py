"""`headwater bench`: what this machine does, measured against the limits of this machine."""

import sys
from collections.abc import Callable, Mapping
from functools import partial

import click
import orjson

Measure = Callable[[float, Callable[[str], None]], Mapping[str, float | str]]


@click.group()
def bench() -> None:
    """Measure the speed on this machine."""


@bench.command("ingest")
@click.option("--seconds", default=5.0, show_default=True, help="How long each load lasts.")
def ingest(seconds: float) -> None:
    """Send OTLP logs to an edge that pushes to a hub; prints one flat JSON object.

    Load generator, edge and hub are processes on this machine and share its cores.
    """
    from shared.benchmarks.ingest import measure  # Late: other commands need none of it.

    _run(measure, seconds)


@bench.command("edge")
@click.option("--seconds", default=5.0, show_default=True, help="How long each load lasts.")
def edge(seconds: float) -> None:
    """Load an edge in several ways, with and without its hub; prints one flat JSON object.

    Acknowledged means synced to the disk. Load generator, edge and hub share the cores.
    """
    from shared.benchmarks.edge import measure  # Late: other commands need none of it.

    _run(measure, seconds)


@bench.command("hub")
@click.option("--seconds", default=5.0, show_default=True, help="How long each load lasts.")
@click.option("--lines", default=1_000_000, show_default=True, help="How many lines to search.")
def hub(seconds: float, lines: int) -> None:
    """Load a hub, let another copy it, and ask it about many log lines; prints one flat JSON object.

    Hubs, edge and load share the cores. Times of answers are those of a client, medians of 15.
    """
    from shared.benchmarks.hub import measure  # Late: other commands need none of it.

    if not 100_000 <= lines <= 100_000_000:
        raise click.UsageError("--lines must be 100000 to 100000000")
    _run(partial(measure, lines=lines), seconds)


@bench.command("mesh")
@click.option("--seconds", default=20.0, show_default=True, help="How long each load lasts.")
@click.option("--nodes", default=10_000, show_default=True, help="How many nodes beat.")
@click.option(
    "--part",
    default="all",
    show_default=True,
    type=click.Choice(["all", "agree", "wired", "intake", "large", "storm", "curve"]),
    help="Only some of the figures; `curve` is not among `all`.",
)
def mesh(seconds: float, nodes: int, part: str) -> None:
    """Three hubs with simulated edges: agreement, deaths, cuts; and one with ten times as many.

    Prints one flat JSON object. Hubs and edges are processes on this machine and share its cores.
    """
    from shared.benchmarks.mesh import measure  # Late: other commands need none of it.

    if not 50 <= nodes <= 100_000:
        raise click.UsageError("--nodes must be 50 to 100000")
    _run(partial(measure, nodes=nodes, part=part), seconds)


@bench.command("calls")
@click.option("--seconds", default=5.0, show_default=True, help="How long each load lasts.")
def calls(seconds: float) -> None:
    """Call machines through hubs, kill the hub that is used, start machines, list 10,000 of them.

    Prints one flat JSON object. Hubs, edge and load are processes on this machine and share its
    cores; what a call costs more through a hub is told against the edge's own socket.
    """
    from shared.benchmarks.calls import measure  # Late: other commands need none of it.

    _run(measure, seconds)


def _run(measure: Measure, seconds: float) -> None:
    if not 0 < seconds <= 600:
        raise click.UsageError("--seconds must be more than 0 and at most 600")
    figures = measure(seconds, lambda line: click.echo(line, err=True))
    sys.stdout.write(orjson.dumps(figures).decode() + "\n")
