"""Starts a hub in this process: settings in, sockets bound, everything owned until a signal comes."""

import asyncio
import contextlib
import gc
import logging
import os

import orjson
from starlette.applications import Starlette

from hub.configured import config_of
from hub.hub import Hub
from hub.settings import HubSettings
from hub.web.context import WebContext
from hub.web.fast_doors import FastDoors
from hub.web.pages import page_routes
from hub.web.routes import RouteSpec
from shared import __version__
from shared.memory import keep_large_apart
from shared.runtime import Runtime, system_runtime
from shared.security import read_or_create_secret, write_private
from shared.serve import bind, run_until_signalled, server

TOKEN_FILE = "admin.token"  # noqa: S105  # The name of the file, not the secret.
PRESENCE_FILE = "hub.json"

FAST_PATHS = (
    "/edge/heartbeat",
    *("/peer/probe", "/peer/gossip", "/peer/have", "/peer/chunks", "/peer/nodes", "/peer/lead"),
)
"""Where a fleet knocks thousands of times a second, and peers all day."""


def run(settings: HubSettings) -> int:
    """Run a hub until SIGTERM or Ctrl-C; returns the exit code. Raises SettingsError."""
    return run_until_signalled(lambda stopping: serve(settings, system_runtime(), stopping))


async def serve(settings: HubSettings, runtime: Runtime, stopping: asyncio.Event) -> None:
    """Serve until `stopping` is set, then end within the time that the server allows itself."""
    keep_large_apart()
    listener = bind(settings.host, settings.port)
    config = config_of(settings, read_or_create_secret(settings.data / TOKEN_FILE))
    hub = await Hub.open(config, runtime)
    gc.freeze()  # What is here by now stays: looking for garbage in it would stop all for 0.1 s.
    logging.getLogger().addHandler(hub.own.voice.handler)
    hub.own.voice.report("hub.started", {"version": __version__, "url": settings.url})
    presence = {"hub_id": settings.hub_id, "url": settings.url, "pid": os.getpid()}
    write_private(settings.data / PRESENCE_FILE, orjson.dumps(presence).decode())
    web = server(asgi_app(hub))
    loops = asyncio.create_task(hub.run())
    serving = asyncio.create_task(web.serve([listener]))
    signalled = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({loops, serving, signalled}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        hub.stop()
        web.stop()
        await serving
        signalled.cancel()
        hub.own.voice.report("hub.stopped", {})
        logging.getLogger().removeHandler(hub.own.voice.handler)
        await _end(loops)
        await hub.close()


async def _end(loops: "asyncio.Task[None]") -> None:
    """End the loops; a fault that ended them before we did is raised here."""
    loops.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await loops


def asgi_app(hub: Hub) -> Starlette:
    """The ASGI application of a hub, pages included."""
    return FastDoors(hub.routes(pages_of(hub)), FAST_PATHS)


def pages_of(hub: Hub) -> list[RouteSpec]:
    """The pages of a hub, answered by its own RPC methods."""
    context = WebContext(
        hub_id=hub.config.hub_id,
        session_cookie=hub.guard.cookie_name,
        check_login=hub.guard.check_login,
        csrf_token=hub.guard.csrf_token,
        csrf_ok=hub.guard.csrf_ok,
        hubs=lambda: sorted(hub.peers.named().items()),
        stopping=hub.stopping,
        changes=hub.changes.names,
        new_id=lambda: hub.runtime.token_hex(16),
    )
    # An answer without end is no entry of the ordinary table.
    tail = RouteSpec("/tail", ("POST",), "admin", hub.tail.endpoint)
    return [tail, *page_routes(hub.rpc.call, context)]
