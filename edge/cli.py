"""`headwater edge run`: find the key, claim the folder, and hand over to the edge itself."""

import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import click

from edge.settings import EdgeSettings
from shared import log
from shared.address import Address, as_seen_here, is_loopback
from shared.errors import SettingsError, Unavailable
from shared.folder import find_cluster_key, prepare_folder
from shared.greeting import greet_when_ready, screen, wants_colours
from shared.lazy_group import CommandGroup
from shared.loading import loading
from shared.options import RunCommand, settings_flags
from shared.pidfile import PidFile
from shared.settings import load


@click.group(cls=CommandGroup)
def edge() -> None:
    """Run an edge on this machine."""


@edge.command("run", cls=RunCommand, role="edge")
@settings_flags("edge")
def run(config: Path | None, **flags: object) -> None:
    """Run an edge until it is told to stop."""
    loaded = load(EdgeSettings, "edge", environ=os.environ, flags=flags, file=config)
    sys.exit(run_edge(loaded.settings, greet=False))


def run_edge(settings: EdgeSettings, *, greet: bool) -> int:
    """Run an edge until it is told to stop; returns its exit code. Raises SettingsError."""
    with loading():
        from edge.app import run as run_app  # Late: it loads the whole edge.

    settings = replace(settings, data=settings.data.absolute())
    prepare_folder(settings.data)
    with PidFile(settings.data):
        settings = replace(settings, cluster_key=cluster_key(settings))
        log.configure(settings.log_level, [settings.cluster_key])
        if greet:
            greet_when_ready(f"{_otlp_url(settings)}/livez", lambda: _greet(settings))
        try:
            return run_app(settings)
        except Unavailable as error:  # Not to be had at the start: a person must look.
            raise SettingsError(str(error)) from error


def cluster_key(settings: EdgeSettings) -> str:
    """The key to use: the given one, the one in the folder, or that of a hub on this machine."""
    if settings.cluster_key:
        return settings.cluster_key
    # A key that lies about here belongs to the hubs here, and is not for others to see.
    nearby = all(is_loopback(master.host) for master in settings.masters)
    found = find_cluster_key(settings.data, nearby=nearby)
    if found:
        return found
    raise SettingsError(
        "an edge needs the CLUSTER_KEY of its hubs: copy the line that a hub shows at its start, "
        "or the text of its file cluster.key"
    )


def _otlp_url(settings: EdgeSettings) -> str:
    return Address(as_seen_here(settings.otlp_host), settings.otlp_port).url


def _greet(settings: EdgeSettings) -> None:
    data = shlex.quote(str(settings.data.parent))
    lines = [
        (settings.node_id, f"{_otlp_url(settings)}  (OTLP/HTTP: logs, metrics, traces)"),
        ("Hubs", ", ".join(master.url for master in settings.masters)),
        ("Data", str(settings.data)),
        ("Stop", f"Ctrl-C here, or in another terminal: make stop DATA={data}"),
    ]
    colours = wants_colours(sys.stdout)
    click.echo(screen("Headwater runs: one edge.", lines, colours=colours))
