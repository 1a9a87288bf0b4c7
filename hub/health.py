"""The doors for those who watch over a hub: is it alive, is it ready, and what has it counted."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from hub.disk_watch import DiskWatch
from hub.peers import Peers
from hub.web.routes import RouteSpec


@dataclass(frozen=True, slots=True)
class HealthDoors:
    """What probes and Prometheus call."""

    stopping: asyncio.Event
    disk: DiskWatch
    peers: Peers
    metrics: CollectorRegistry
    prepare: Callable[[], Awaitable[object]]
    """Counts what takes too long to be counted while metrics are written."""

    def routes(self) -> list[RouteSpec]:
        """The doors, with who may use them."""
        return [
            RouteSpec("/livez", ("GET",), "open", self._livez),
            RouteSpec("/readyz", ("GET",), "open", self._readyz),
            RouteSpec("/metrics", ("GET",), "admin", self._metrics),
        ]

    async def _livez(self, request: Request) -> Response:
        return Response("alive\n", media_type="text/plain")

    async def _readyz(self, request: Request) -> Response:
        """Ready is who answers questions, also while the disk is too full to take data in, or while no
        other hub can be reached: both are said behind it."""
        if self.stopping.is_set():
            return Response("stopping\n", 503, media_type="text/plain")
        troubles = [] if self.disk.state.is_open else [self.disk.reason]
        if self.peers.is_isolated:
            troubles.append(f"isolated: it reaches none of its {self.peers.count()} peers")
        said = f"ready to answer; {'; '.join(troubles)}\n" if troubles else "ready\n"
        return Response(said, media_type="text/plain")

    async def _metrics(self, request: Request) -> Response:
        await self.prepare()
        body = generate_latest(self.metrics)
        return Response(body, media_type="text/plain; version=1.0.0; charset=utf-8")
