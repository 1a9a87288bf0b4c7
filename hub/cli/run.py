"""`headwater hub run`: find the key, claim the folder, and hand over to the hub itself."""

import os
import secrets
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import click

from hub.settings import HubSettings
from shared import log
from shared.address import Address, as_seen_here, is_loopback, parse_address
from shared.errors import SettingsError, Unavailable
from shared.folder import find_cluster_key, make_cluster_key, prepare_folder
from shared.greeting import greet_when_ready, login_url, screen, wants_colours
from shared.loading import loading
from shared.options import RunCommand, settings_flags
from shared.pidfile import PidFile
from shared.settings import load


@click.command("run", cls=RunCommand, role="hub")
@settings_flags("hub")
def run(config: Path | None, **flags: object) -> None:
    """Run a hub until it is told to stop."""
    loaded = load(HubSettings, "hub", environ=os.environ, flags=flags, file=config)
    sys.exit(run_hub(loaded.settings, greet=False))


def run_hub(settings: HubSettings, *, greet: bool) -> int:
    """Run a hub until it is told to stop; returns its exit code. Raises SettingsError."""
    with loading():
        from hub.app import run as run_app  # Late: it loads the whole hub.

    settings = replace(settings, data=settings.data.absolute())
    prepare_folder(settings.data)
    with PidFile(settings.data):
        settings = replace(settings, cluster_key=cluster_key(settings))
        log.configure(settings.log_level, [settings.cluster_key])
        if greet:
            greet_when_ready(f"{local_url(settings)}/readyz", lambda: _greet(settings))
        try:
            return run_app(settings)
        except Unavailable as error:  # Not to be had at the start: a person must look.
            raise SettingsError(str(error)) from error


def cluster_key(settings: HubSettings) -> str:
    """The key to use: the given one, one in or near the folder, or a new one for a first hub."""
    if settings.cluster_key:
        return settings.cluster_key
    found = find_cluster_key(settings.data, nearby=all(is_loopback(p.host) for p in settings.peers))
    if found:
        return found
    if settings.peers:
        raise SettingsError(
            "hubs with peers need the same CLUSTER_KEY: take it from the file cluster.key of a hub "
            "that runs, or start all of them with a new one, such as "
            f"CLUSTER_KEY={secrets.token_urlsafe(32)}"
        )
    return make_cluster_key(settings.data)


def local_url(settings: HubSettings) -> str:
    """Where this machine itself reaches the hub."""
    return Address(as_seen_here(settings.host), settings.port).url


def _greet(settings: HubSettings) -> None:
    own = parse_address(settings.url)
    shared_words = f"CLUSTER_KEY={settings.cluster_key}"
    data = shlex.quote(str(settings.data.parent))
    lines = [
        (settings.hub_id, login_url(settings.url, settings.data)),
        ("Data", str(settings.data)),
        ("Next machine", f"./start.sh MODE=worker MASTERS={own} {shared_words}"),
        ("Next hub", f"./start.sh MODE=master PEER_MASTERS={own} {shared_words}"),
        ("Stop", f"Ctrl-C here, or in another terminal: make stop DATA={data}"),
    ]
    if is_loopback(settings.host):
        lines.insert(2, ("Reach", "this machine only; HOST=0.0.0.0 INSECURE=1 opens it to others"))
    colours = wants_colours(sys.stdout)
    click.echo(screen("Headwater runs: one hub.", lines, colours=colours))
