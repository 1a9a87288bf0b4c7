"""The edge agent: the buffer, the way to the hubs, and the calls that come back down."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge.buffer import Buffer
from edge.conf.follow import Follower
from edge.drain import Drain
from edge.drain_calls import drain_methods
from edge.heartbeat import Heartbeats
from edge.hubs import Hubs, HubView
from edge.identity import Identity
from edge.ledger import ledger_lines, ledger_of
from edge.letter_calls import letter_methods
from edge.link import Link
from edge.link_streams import Opener
from edge.pull import Offers
from edge.pull_calls import pull_methods
from edge.shipper import Shipper
from shared.beat import OUTRANK_MAX, RUN_BYTES, Beat
from shared.conf_report import Report
from shared.errors import RpcError, Unreachable
from shared.ranges import Ranges
from shared.runtime import HttpClient, Runtime
from shared.sums import Sum
from shared.tasks import repeat

log = logging.getLogger(__name__)

VMS_IN_BEAT_MAX = 1000
MEASURE_SECONDS = 1.0
ASK_SECONDS_MAX = 10.0

Method = Callable[[dict[str, Any]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Host:
    """What the agent asks its machine; simulations answer for an invented one."""

    facts: Callable[[], dict[str, Any]]
    load: Callable[[], dict[str, Any]]
    vms: Callable[[], list[dict[str, Any]]] = list


@dataclass(slots=True)
class Agent:
    """Owns the loops of one edge; `methods` are the calls that hubs may make."""

    identity: Identity
    buffer: Buffer
    runtime: Runtime
    masters: Sequence[str]
    cluster_key: str
    host: Host
    push: bool = True
    """Whether this edge sends its data; if not, the hubs fetch it over their links."""
    # What must tell the buffer something before any hub hears of this edge, as VMs do that still run.
    prepare: Callable[[], Awaitable[None]] | None = None
    methods: dict[str, Method] = field(default_factory=dict)
    openers: dict[str, Opener] = field(default_factory=dict)
    """The streams that hubs may open down the link, by method."""
    count_up: Callable[[Identity, int], Identity] | None = None
    """Writes down a higher incarnation than a copy has; without it this edge gives way to copies."""
    ordered: Callable[[], dict[str, str]] = dict
    """What became of the orders that hubs had kept for this edge."""
    follower: Follower | None = None
    """Takes the settings that hubs have for this edge; without one it takes none."""
    hubs: Hubs = field(init=False)
    client: HttpClient = field(init=False)
    heartbeats: Heartbeats = field(init=False)
    shipper: Shipper = field(init=False)
    offers: Offers = field(init=False)
    drain: Drain = field(init=False)
    _headers: dict[str, str] = field(init=False)
    _tasks: asyncio.TaskGroup | None = None
    _facts: dict[str, Any] = field(default_factory=dict)
    _facts_number: int = 0
    _counting: asyncio.Lock = field(default_factory=asyncio.Lock)
    _run: str = field(init=False)
    """Tells hubs this process from a copy of it."""
    _beat: int = 0
    _accepted: dict[str, Sum] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._run = self.runtime.token_hex(RUN_BYTES)
        headers = {
            "authorization": f"Bearer {self.cluster_key}",
            "x-headwater-node": self.identity.node_id,
            "x-headwater-node-key": self.identity.node_key,
            "x-headwater-run": self._run,
            # Where this log may have forked: hubs prove what they hold up to here.
            "x-headwater-mark": f"{self.buffer.epoch}:{self.buffer.totals.head_seq}",
        }
        self.hubs = Hubs(self.identity.node_id)
        self.client = self.runtime.http()
        self.offers = Offers(self.hubs, lambda: self.heartbeats.beat_now())
        outlet: HttpClient = self.client if self.push else self.offers
        self.shipper = Shipper(self.buffer, self.hubs, outlet, self.runtime, headers)
        self.heartbeats = Heartbeats(
            self.hubs, self.client, self.runtime, headers, self.compose, self._reach, self._link
        )
        self.heartbeats.outrank = self._outrank
        self.drain = Drain(self.buffer, self.hubs, self.shipper, self.heartbeats)
        self.methods["edge.buffer"] = self._call_buffer
        self.methods.update(drain_methods(self.drain, self.runtime))
        self.methods.update(letter_methods(self.buffer))
        self.methods.update(pull_methods(self.offers, self.shipper.weigh))
        self._headers = headers

    def follow(self, follower: Follower) -> None:
        """Take the settings that hubs have for this edge; before it runs."""
        self.follower = self.heartbeats.settings = follower

    async def ask_hub(self, hub_id: str, path: str, body: bytes, reply_bytes_max: int) -> bytes:
        """The answer of a hub to a small question; raises HeadwaterError."""
        view = next((view for view in self.hubs.views.values() if view.hub_id == hub_id), None)
        if view is None:
            raise Unreachable(hub_id, "its address is not known any more", sent=False)
        reply = await self.client.request(
            "POST",
            f"{view.url}{path}",
            body=body,
            headers={**self._headers, "content-type": "application/json"},
            timeout_seconds=ASK_SECONDS_MAX,
            reply_bytes_max=reply_bytes_max,
        )
        if reply.status != 200:
            text = reply.body[:300].decode("utf-8", "replace")
            raise Unreachable(view.url, f"HTTP {reply.status} {text}", sent=True)
        return reply.body

    async def run(self) -> None:
        """Keep everything going, for ever; cancel to stop."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self.buffer.run())
                if self.prepare is not None:
                    await self.prepare()
                self._reach(self.hubs.learn(self.masters, is_configured=True))
                tasks.create_task(self.shipper.run())
                tasks.create_task(self.shipper.sweep())
                if self.follower is not None:
                    tasks.create_task(self.follower.run())
                rng = self.runtime.rng
                tasks.create_task(repeat("drains", self.drain.keep_on, rng))
                tasks.create_task(repeat("ledger", self._measure_accepted, rng))
        finally:
            await self.client.close()

    async def _measure_accepted(self) -> float:
        """Note how much of the buffer one hub has: the disk knows, so heartbeats cannot ask."""
        self._accepted = await self.buffer.measure_by_signal(self.hubs.accepted())
        return MEASURE_SECONDS

    def _reach(self, views: Sequence[HubView]) -> None:
        """Begin to beat to addresses that we have just learned of."""
        if self._tasks is not None:
            for view in views:
                self._tasks.create_task(self.heartbeats.run(view))

    def _link(self, view: HubView) -> None:
        """Open a link to a hub that has answered, so that a hub with two addresses gets only one."""
        if self._tasks is not None:
            link = Link(view, self.runtime, self._headers, self.answer, self.openers)
            self._tasks.create_task(link.run())

    async def _outrank(self, incarnation: int) -> bool:
        """Show that this edge is no copy, by counting on from there; False when it cannot."""
        count_up = self.count_up
        if count_up is None or incarnation > self.identity.incarnation + OUTRANK_MAX:
            return False
        async with self._counting:  # All hubs ask at once.
            if incarnation >= self.identity.incarnation:
                try:
                    known = self.identity
                    self.identity = await self.runtime.offload(lambda: count_up(known, incarnation))
                except OSError as error:
                    log.error("the incarnation of this edge cannot be written: %s", error)
                    return False
        return True

    async def answer(self, method: str, params: dict[str, Any]) -> Any:
        """Answer a call, from a hub's link or the local admin socket; raises RpcError."""
        handler = self.methods.get(method)
        if handler is None:
            raise RpcError("method_not_found", f"this edge has no method {method}")
        return await handler(params)

    def compose(self) -> Beat:
        """The next heartbeat."""
        facts = self.host.facts()
        if facts != self._facts:
            self._facts, self._facts_number = facts, self._facts_number + 1
        self._beat += 1
        vms = self.host.vms()
        return Beat(
            node_id=self.identity.node_id,
            incarnation=self.identity.incarnation,
            beat=self._beat,
            epoch=self.buffer.epoch,
            facts_number=self._facts_number,
            facts=facts,
            load=self.host.load(),
            buffer=self.describe_buffer(),
            vms=vms[:VMS_IN_BEAT_MAX],
            vms_total=len(vms),
            pull=self.offers.wanted_hubs(),
            wall_ms=self.runtime.wall_ms(),
            conf=self.follower.report() if self.follower is not None else Report(),
            uses=self.hubs.preference.chosen,
            run=self._run,
            ordered=self.ordered(),
        )

    def pending(self) -> Ranges:
        """What of the buffer no hub has."""
        return self.buffer.seqs - self.hubs.accepted() - self.hubs.safe()

    def oldest_age_seconds(self) -> float | None:
        """The age of the oldest of it; None when hubs have everything."""
        oldest_ms = self.buffer.created_ms(self.pending())
        return None if oldest_ms is None else (self.runtime.wall_ms() - oldest_ms) / 1000

    def ledger_by_signal(self) -> dict[str, dict[str, int]]:
        """What became of the records of each signal, by the columns of edge.ledger."""
        return ledger_lines(self.buffer.books, self._accepted)

    def describe_buffer(self) -> dict[str, Any]:
        """What the buffer holds, how far the hubs are, and the sums that must balance."""
        state, pending = self.buffer.state(), self.pending()
        return {
            "epoch": state.epoch,
            "head_seq": state.head_seq,
            "chunks": state.chunks,
            "records": state.records,
            "bytes": state.stored_bytes,
            "oldest_age_s": self.oldest_age_seconds(),
            "accepted_seq": self.hubs.accepted().last,
            "safe_seq": self.hubs.safe().last,
            "pending_chunks": pending.count,
            "dead_letters": state.dead_letters,
            "segments": state.segments,
            "file_bytes": state.file_bytes,
            "ledger": ledger_of(self.buffer.books, self._accepted),
            "last_error": self.hubs.removed or self.hubs.cloned or self.shipper.last_error,
            "removed": self.hubs.removed or None,
            "cloned": self.hubs.cloned or None,
        }

    async def _call_buffer(self, params: dict[str, Any]) -> dict[str, Any]:
        if params:
            raise RpcError("invalid_params", f"edge.buffer knows no parameter {next(iter(params))}")
        now = asyncio.get_running_loop().time()
        hubs = [
            {
                "hub_id": view.hub_id,
                "url": view.url,
                "linked": view.linked,
                "have_seq": view.have.last,
                "safe_seq": view.safe.last,
                "answered_s_ago": None
                if view.last_answer_at is None
                else now - view.last_answer_at,
                "error": view.last_error,
                "removed": bool(view.removed),
                "cloned": bool(view.cloned),
            }
            for view in self.hubs.views.values()
        ]
        return {"node_id": self.identity.node_id, **self.describe_buffer(), "hubs": hubs}
