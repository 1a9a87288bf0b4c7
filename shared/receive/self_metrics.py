"""A program's own metrics in its own log, so that hubs can chart them like any others."""

import asyncio
import logging
from collections.abc import Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from shared.errors import Unavailable
from shared.receive.exposition_numbers import Moment
from shared.receive.scrape_part import read_out, scrape_parts
from shared.receive.sink import Sink
from shared.records import Part
from shared.runtime import Runtime

log = logging.getLogger(__name__)

SAMPLES_MAX = 20_000
FIRST_SECONDS = 2.0  # What happens at the start is seen, and nothing has to wait for it.


class SelfMetrics:
    """Keeps what a registry says, every interval; keep `run` running."""

    def __init__(
        self,
        runtime: Runtime,
        sink: Sink,
        resource: Mapping[str, str],
        registry: CollectorRegistry,
        interval_seconds: float,
    ) -> None:
        self._runtime = runtime
        self._sink = sink
        self._registry = registry
        self._interval_seconds = interval_seconds
        self._resource = resource

    async def run(self) -> None:
        """Look and keep, for ever."""
        await asyncio.sleep(min(FIRST_SECONDS, self._interval_seconds))
        while True:
            await self.take()
            await asyncio.sleep(self._interval_seconds)

    async def take(self) -> bool:
        """One look, kept; False when there was no room: totals are in the next one as well."""
        body = generate_latest(self._registry)  # Here, since it asks the running loop for the time.
        time_ns = self._runtime.wall_ns()
        parts: list[Part] = await self._runtime.offload(lambda: self._parts(body, time_ns))
        try:
            for part in parts:
                await self._sink.append(part)
        except Unavailable as error:
            log.warning("own metrics left out: %s", error)
            return False
        return True

    def _parts(self, body: bytes, time_ns: int) -> list[Part]:
        readout = read_out(body, CONTENT_TYPE_LATEST, Moment(time_ns), SAMPLES_MAX)
        return scrape_parts(readout, 0.0, time_ns, self._resource)
