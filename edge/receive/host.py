"""The metrics of this machine, taken at a steady pace and kept like any other telemetry."""

import asyncio
import logging
from collections.abc import Callable

from edge.receive.host_metrics import metrics_part
from edge.receive.host_sample import Sample, host_facts, take_sample
from edge.receive.sink import Sink
from shared.errors import Unavailable
from shared.runtime import Runtime

log = logging.getLogger(__name__)

FIRST_INTERVAL_SECONDS = 1.0
"""The share of busy CPU time needs two looks; nobody should wait a whole interval for the first."""


class HostMetrics:
    """Looks at the machine every interval; keep `run` running."""

    def __init__(
        self,
        runtime: Runtime,
        sink: Sink,
        node_id: str,
        interval_seconds: float = 10.0,
        look: Callable[[int], Sample] = take_sample,
    ) -> None:
        self._runtime = runtime
        self._sink = sink
        self._interval_seconds = interval_seconds
        self._look = look
        # One service name for all that the agent says of its machine, so that queries can group it.
        self._resource = {
            "service.name": "headwater-edge",
            "headwater.node": node_id,
            **host_facts(),
        }
        self._previous: Sample | None = None

    async def run(self) -> None:
        """Look and keep, for ever."""
        clock = asyncio.get_running_loop().time
        await self.take()
        due = clock() + min(FIRST_INTERVAL_SECONDS, self._interval_seconds)
        while True:
            await asyncio.sleep(max(0.0, due - clock()))
            await self.take()
            # Looks that a slow disk made us miss are not made up for.
            due = max(due + self._interval_seconds, clock())

    async def take(self) -> bool:
        """One look, kept; False when there was no room for it.

        Nothing is lost by leaving one out but its gauges: the totals are in the next one as well.
        """
        sample: Sample = await self._runtime.offload(lambda: self._look(self._runtime.wall_ns()))
        part = metrics_part(sample, self._previous, self._resource)
        self._previous = sample
        try:
            await self._sink.append(part)
        except Unavailable as error:
            log.warning("host metrics left out: %s", error)
            return False
        return True
