"""Starts an edge in this process: settings in, sockets bound, everything owned until a signal comes."""

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge.agent import Agent, Host
from edge.buffer import Buffer
from edge.capacity import BufferLimits
from edge.conf.part import begin_with, follow_hubs
from edge.exposition import registry_of
from edge.facts import host_facts, host_load
from edge.identity import Identity, outrank, take_up
from edge.link import answer_message
from edge.quota import Policy
from edge.receive.scrub import Scrubbed, ScrubCounters
from edge.receive.sink import Sink
from edge.settings import EdgeSettings
from edge.sources import Sources, build_sources
from edge.vm.model import VmEvent, VmSettings
from edge.vm.queued import QueuedOrders
from edge.vm.service import Telemetry, VmService
from shared.otlp_make import Event, event_part
from shared.records import Signal
from shared.runtime import Runtime, system_runtime
from shared.serve import Server, bind, bind_unix, run_until_signalled, server

SWITCH_SECONDS = 0.0005
ADMIN_SOCKET = "edge.sock"
VM_FOLDER = "vms"


def run(settings: EdgeSettings) -> int:
    """Run an edge until SIGTERM or Ctrl-C; returns the exit code. Raises SettingsError."""
    # Threads take short turns: the writer needs the interpreter a few times for each commit, and a
    # source that waits for it should not wait for a busy event loop's five milliseconds each time.
    sys.setswitchinterval(SWITCH_SECONDS)
    return run_until_signalled(lambda stopping: serve(settings, system_runtime(), stopping))


@dataclass(frozen=True, slots=True)
class _Parts:
    agent: Agent
    vms: VmService
    sources: Sources
    loops: Sequence[Callable[[], Awaitable[None]]]
    receiver: Server
    admin: Server
    opened: asyncio.Event


async def serve(settings: EdgeSettings, runtime: Runtime, stopping: asyncio.Event) -> None:
    """Serve until `stopping` is set; what was acknowledged is on disk at every moment."""
    listener = bind(settings.otlp_host, settings.otlp_port)
    admin_listener = bind_unix(settings.data / ADMIN_SOCKET)
    parts = await _build(settings, runtime)
    loops = asyncio.create_task(_run_all(parts.loops))
    signalled = asyncio.create_task(stopping.wait())
    opened = asyncio.create_task(parts.opened.wait())
    serving: list[asyncio.Task[None]] = []
    try:
        await asyncio.wait({loops, signalled, opened}, return_when=asyncio.FIRST_COMPLETED)
        serving += [
            asyncio.create_task(parts.receiver.serve([listener])),
            asyncio.create_task(parts.admin.serve([admin_listener])),
        ]
        await asyncio.wait({loops, signalled, *serving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        opened.cancel()
        # First no new data, then the VMs while their events can still be kept, then the log.
        parts.receiver.stop()
        parts.admin.stop()
        await parts.sources.stop()
        await asyncio.gather(*serving)
        await parts.vms.close()
        signalled.cancel()
        await _end(loops)
        parts.agent.buffer.close()
        (settings.data / ADMIN_SOCKET).unlink(missing_ok=True)


async def _run_all(loops: Sequence[Callable[[], Awaitable[None]]]) -> None:
    async with asyncio.TaskGroup() as tasks:
        for loop in loops:
            tasks.create_task(_as_coroutine(loop))


async def _as_coroutine(loop: Callable[[], Awaitable[None]]) -> None:
    await loop()


async def _end(loops: "asyncio.Task[None]") -> None:
    loops.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await loops


async def _build(own: EdgeSettings, runtime: Runtime) -> _Parts:
    begun = begin_with(own)
    settings = begun.settings
    identity = take_up(settings.data, settings.node_id)
    limits = buffer_limits(settings)
    buffer = await Buffer.open(
        settings.data, identity.node_id, runtime, limits, settings.synchronous
    )
    try:
        parts = await _build_around(settings, runtime, identity, buffer)
    except BaseException:
        buffer.close()
        raise
    follow_hubs(parts.agent, own, begun)
    return parts


def buffer_limits(settings: EdgeSettings) -> BufferLimits:
    """How much the buffer may hold, and what it does when it is full."""
    return BufferLimits(
        bytes_max=settings.buffer_bytes_max,
        policy=Policy(settings.buffer_policy),
        floors={Signal(name): share for name, share in settings.buffer_floors.items()},
        ceilings={Signal(name): share for name, share in settings.buffer_ceilings.items()},
    )


async def _build_around(
    settings: EdgeSettings, runtime: Runtime, identity: Identity, buffer: Buffer
) -> _Parts:
    masters = [master.url for master in settings.masters]
    host = Host(host_facts, host_load)
    agent = Agent(identity, buffer, runtime, masters, settings.cluster_key, host, settings.push)
    agent.count_up = partial(outrank, settings.data)
    registry = registry_of(agent)
    scrubbed = Scrubbed(buffer, settings.scrub, ScrubCounters(registry), runtime.offload)
    vms = _vm_service(settings, runtime, scrubbed, agent.heartbeats.beat_now)
    agent.host = replace(host, vms=vms.summary)
    for method in vms.methods:
        agent.methods[method] = _vm_method(vms, method)
    agent.openers["vm.console.open"] = vms.open_console
    waited = QueuedOrders(vms.call, agent.heartbeats.beat_now)
    agent.heartbeats.orders, agent.ordered = waited, waited.report
    opened = asyncio.Event()

    async def open_vms() -> None:
        await vms.open()  # Tells of each VM in the buffer, which must run by now.
        opened.set()

    async def run_vms() -> None:
        await opened.wait()
        await vms.run()

    agent.prepare = open_vms
    sources = await build_sources(settings, runtime, scrubbed, registry)
    return _Parts(
        agent,
        vms,
        sources,
        [agent.run, run_vms, waited.run, *sources.loops],
        server(sources.door),
        server(admin_app(agent)),
        opened,
    )


def _vm_service(
    settings: EdgeSettings, runtime: Runtime, sink: Sink, changed: Callable[[], None]
) -> VmService:
    resource = {"service.name": "headwater-edge", "headwater.node": settings.node_id}

    async def emit(event: VmEvent) -> None:
        attributes = {"vm.id": event.vm_id, "vm.name": event.vm_name, **event.attributes}
        made = Event(event.time_ns, event.name, event.severity.lower(), event.text, attributes)
        await sink.append(event_part(resource, "headwater.vm", [made]))

    return VmService(
        settings.data / VM_FOLDER,
        settings.node_id,
        runtime,
        vm_settings(settings),
        emit,
        changed,
        telemetry=Telemetry(sink, resource),
    )


def vm_settings(settings: EdgeSettings) -> VmSettings:
    """What the owner of this machine says about its machines."""
    return VmSettings(
        on_stop="stop" if settings.vms_on_stop == "stop" else "leave",
        allow_unisolated=settings.allow_unisolated,
        templates=settings.templates,
        image_folders=settings.image_folders,
        image_urls=settings.image_urls,
        image_bytes_max=settings.image_bytes_max,
        images_bytes_max=settings.images_bytes_max,
        image_free_bytes_min=settings.image_free_bytes_min,
    )


def _vm_method(vms: VmService, method: str) -> Callable[[dict[str, Any]], Awaitable[Any]]:
    return lambda params: vms.call(method, params)


def admin_app(agent: Agent) -> Starlette:
    """JSON-RPC for people on this machine, over a socket that only the owner can open."""

    async def rpc(request: Request) -> Response:
        answer = await answer_message(await request.body(), agent.answer)
        if answer is None:
            return Response(status_code=204)
        return Response(answer, media_type="application/json")

    return Starlette(routes=[Route("/rpc", rpc, methods=["POST"])])


def socket_path(data: Path) -> Path:
    """Where the admin socket of an edge with this data folder is."""
    return data / ADMIN_SOCKET
