"""Prometheus targets asked at a steady pace: each on its own, at its own moment of the interval."""

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter

from edge.receive.scrape_target import Target
from edge.receive.sink import Sink
from shared.errors import BadInput, TooLarge, Unavailable, Unreachable
from shared.receive.exposition import ACCEPT, SAMPLES_MAX
from shared.receive.exposition_numbers import Moment
from shared.receive.scrape_part import Readout, read_out, scrape_parts
from shared.records import MIB, Part
from shared.runtime import HttpClient, HttpReply, Runtime
from shared.signals import Scalar

log = logging.getLogger(__name__)

OK = 200
REDIRECTS = range(300, 400)


@dataclass(frozen=True, slots=True)
class ScrapeLimits:
    """What one target may cost."""

    body_bytes_max: int = 16 * MIB  # Some hundred bytes for each of the samples below.
    samples_max: int = SAMPLES_MAX  # Parsing so many takes more than a second of CPU time.


class ScrapeCounters:
    """What became of the scrapes; no label comes from a target."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._scrapes = Counter(
            "headwater_edge_scrapes",
            "Scrapes by outcome: stored, buffer_full, unreachable, status, too_large, unreadable.",
            ["outcome"],
            registry=registry,
        )
        self._samples = Counter(
            "headwater_edge_scrape_points",
            "Points of scrapes by what became of them: stored, or lost to a full buffer.",
            ["outcome"],
            registry=registry,
        )

    def count(self, outcome: str) -> None:
        """One scrape has ended."""
        self._scrapes.labels(outcome).inc()

    def count_points(self, outcome: str, points: int) -> None:
        """Points were stored or lost."""
        self._samples.labels(outcome).inc(points)


class ScrapeFailed(BadInput):
    """One scrape gave nothing; `outcome` is the short word that it is counted under."""

    def __init__(self, outcome: str, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome


class Scrape:
    """Asks every target once an interval; keep `run` running.

    The targets are spread evenly over the interval. A target that is slow, away or broken costs the
    others nothing, gives up=0 and is logged when its complaint changes. Redirects are not followed:
    whoever answers could send the edge anywhere. A scrape for which the buffer has no room is
    counted as lost; nobody can ask for that moment again.
    """

    def __init__(
        self,
        runtime: Runtime,
        sink: Sink,
        node_id: str,
        targets: Sequence[Target],
        interval_seconds: float = 15.0,
        timeout_seconds: float = 10.0,
        *,
        honour_timestamps: bool = True,
        limits: ScrapeLimits | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._runtime = runtime
        self._sink = sink
        self._node_id = node_id
        self._targets = list(dict.fromkeys(targets))
        self._interval_seconds = interval_seconds
        # A scrape that outlasts its interval would push back the next one.
        self._timeout_seconds = min(timeout_seconds, interval_seconds)
        self._honour_timestamps = honour_timestamps
        self._limits = limits or ScrapeLimits()
        self._counters = ScrapeCounters(registry or CollectorRegistry())
        self._complaints: dict[Target, str] = {}

    async def run(self) -> None:
        """Ask all targets, for ever."""
        client = self._runtime.http()
        try:
            async with asyncio.TaskGroup() as tasks:
                for index, target in enumerate(self._targets):
                    offset_seconds = self._interval_seconds * index / len(self._targets)
                    tasks.create_task(self._follow(client, target, offset_seconds))
        finally:
            await client.close()

    async def _follow(self, client: HttpClient, target: Target, offset_seconds: float) -> None:
        clock = asyncio.get_running_loop().time
        due = clock() + offset_seconds
        while True:
            await asyncio.sleep(max(0.0, due - clock()))
            await self.take(client, target)
            # Missed turns are not made up for, and the moment within the interval stays.
            turns = max(1, math.ceil((clock() - due) / self._interval_seconds))
            due += turns * self._interval_seconds

    async def take(self, client: HttpClient, target: Target) -> bool:
        """Ask once and keep what came, even if it is only up=0; whether the target was up."""
        clock, time_ns = asyncio.get_running_loop().time, self._runtime.wall_ns()
        begun = clock()
        readout: Readout | None = None
        outcome, complaint = "stored", ""
        try:
            readout = await self._ask(client, target, time_ns)
        except ScrapeFailed as error:
            outcome, complaint = error.outcome, str(error)
        seconds = clock() - begun
        resource: Mapping[str, Scalar] = {**target.resource, "headwater.node": self._node_id}
        parts = await self._runtime.offload(
            lambda: scrape_parts(readout, seconds, time_ns, resource)
        )
        full = await self._keep(parts)
        self._counters.count("buffer_full" if full and readout else outcome)
        self._tell(target, complaint or full)
        return readout is not None

    async def _ask(self, client: HttpClient, target: Target, time_ns: int) -> Readout:
        reply = await self._fetch(client, target)
        if reply.status != OK:
            redirect = ", and redirects are not followed" if reply.status in REDIRECTS else ""
            raise ScrapeFailed("status", f"answered with status {reply.status}{redirect}")
        moment = Moment(time_ns, self._honour_timestamps)
        kind, samples_max = reply.headers.get("content-type", ""), self._limits.samples_max
        try:
            found: Readout = await self._runtime.offload(
                lambda: read_out(reply.body, kind, moment, samples_max)
            )
        except BadInput as error:
            raise ScrapeFailed("unreadable", f"cannot be read: {error}") from error
        return found

    async def _fetch(self, client: HttpClient, target: Target) -> HttpReply:
        headers = {
            "accept": ACCEPT,
            "x-prometheus-scrape-timeout-seconds": f"{self._timeout_seconds:g}",
        }
        try:
            return await client.request(
                "GET",
                target.url,
                headers=headers,
                timeout_seconds=self._timeout_seconds,
                reply_bytes_max=self._limits.body_bytes_max,
            )
        except TooLarge as error:
            raise ScrapeFailed("too_large", str(error)) from error
        except Unreachable as error:
            raise ScrapeFailed("unreachable", str(error)) from error

    async def _keep(self, parts: Sequence[Part]) -> str:
        """Store the parts in order; why the rest was lost, or nothing."""
        for index, part in enumerate(parts):
            try:
                await self._sink.append(part)
            except Unavailable as error:
                lost = sum(left.records for left in parts[index:])
                self._counters.count_points("lost", lost)
                return f"points are lost: {error}"
            self._counters.count_points("stored", part.records)
        return ""

    def _tell(self, target: Target, complaint: str) -> None:
        before = self._complaints.get(target, "")
        if complaint == before:
            return  # Once, not four times a minute.
        self._complaints[target] = complaint
        if complaint:
            log.warning("scrape of %s: %s", target.url, complaint)
        else:
            log.info("scrape of %s: well again", target.url)
