"""Tells every hub, at the pace it asks for, that this edge lives and how it is."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import orjson

from edge.hubs import Hubs, HubView
from edge.lineage import read_claim
from shared.backoff import Backoff, backoff_seconds
from shared.beat import OUTRANK_HEADER, Beat, BeatReply, read_beat_reply, write
from shared.conf_report import Wanted
from shared.errors import BadInput, Cloned, HeadwaterError, Refused, Removed, Unreachable
from shared.orders import QueuedOrder
from shared.runtime import HttpClient, Runtime
from shared.tasks import Bell

log = logging.getLogger(__name__)

BEAT_SECONDS_MAX = 5.0
REMOVED_SECONDS = 60.0
"""How often an edge asks a hub that sent it away, as removed, whether it may come back."""

CLONED_SECONDS = 20.0
"""The same for an edge that is refused since another machine runs with its identity."""

INTERVAL_SECONDS = 5.0  # Until a hub has said what it wants.
JITTER = 0.1  # A tenth either way keeps a fleet from beating in step.
FAILURES_WORTH_A_WORD = 3  # An edge that starts with its hubs, or before them, is no news.
COALESCE_SECONDS = 0.05  # Several changes at once are one beat.

# A hub that comes back should hear of us soon: one small request, so it can be often.
_RETRY = Backoff(seconds_initial=0.5, seconds_max=10.0)


OUTRANK_SECONDS = 0.5
"""How soon an edge beats again that has shown to be no copy."""


class Orders(Protocol):
    """Who does what waited on hubs for this edge."""

    def heard(self, hub_id: str, orders: Sequence[QueuedOrder]) -> None:
        """A hub answered, and hands over these orders."""
        ...


async def _never(incarnation: int) -> bool:
    """This edge cannot count up."""
    return False


class Settings(Protocol):
    """Who follows the settings that hubs have for this edge."""

    def heard(self, hub_id: str, wanted: Wanted | None) -> None:
        """A hub answered, and says which settings this edge should have."""
        ...

    def gone(self, hub_id: str) -> None:
        """A hub is known no longer."""
        ...


@dataclass(slots=True)
class Heartbeats:
    """Beats to all hubs; `beat_now` after a change that people wait to see."""

    hubs: Hubs
    client: HttpClient
    runtime: Runtime
    headers: dict[str, str]
    compose: Callable[[], Beat]
    discovered: Callable[[list[HubView]], None]
    met: Callable[[HubView], None]
    settings: Settings | None = None
    orders: Orders | None = None
    outrank: Callable[[int], Awaitable[bool]] = _never
    """Makes the incarnation of this edge higher than one; False when it cannot."""
    _bells: dict[str, Bell] = field(default_factory=dict)

    def beat_now(self) -> None:
        """Beat to every hub without waiting for the interval to end."""
        for bell in self._bells.values():
            bell.ring()

    async def run(self, view: HubView) -> None:
        """Beat to one hub for as long as its address is the one we use for it."""
        bell = self._bells.setdefault(view.url, Bell())
        failures = 0
        while not view.is_forgotten:
            try:
                seconds = await self._beat(view)
                failures = 0
            except (Removed, Cloned) as error:
                seconds = await self._sent_away(view, error)
            except HeadwaterError as error:
                seconds = backoff_seconds(failures, _RETRY, self.runtime.rng)
                failures += 1
                if failures == FAILURES_WORTH_A_WORD:
                    log.warning("heartbeat: %s", error)
                now = asyncio.get_running_loop().time()
                self.hubs.beat_failed(view, now, str(error), _RETRY, self.runtime.rng)
            if await bell.wait(seconds):
                await asyncio.sleep(COALESCE_SECONDS)

    async def _sent_away(self, view: HubView, error: Removed | Cloned) -> float:
        """A person removed this node, or it is a copy: keep everything, and ask again now and then.

        If a copy of this edge was started after it, this one goes on.
        """
        is_clone = isinstance(error, Cloned)
        over = error.outrank if isinstance(error, Cloned) else None
        if over is not None and await self.outrank(over):
            log.warning("a copy of this edge was started; this one goes on. %s", error)
            return OUTRANK_SECONDS
        if not (view.cloned if is_clone else view.removed):
            log.error("%s; until then all data stays in the buffer of this edge", error)
        pause = CLONED_SECONDS if is_clone else REMOVED_SECONDS
        seconds = pause * self.runtime.rng.uniform(1 - JITTER, 1 + JITTER)
        now = asyncio.get_running_loop().time()
        self.hubs.sent_away(view, now, str(error), seconds, is_clone=is_clone)
        return seconds

    async def _beat(self, view: HubView) -> float:
        beat, asked_at = self.compose(), asyncio.get_running_loop().time()
        reply = await self.client.request(
            "POST",
            f"{view.url}/edge/heartbeat",
            body=write(beat),
            headers={**self.headers, "content-type": "application/json"},
            timeout_seconds=BEAT_SECONDS_MAX,
        )
        if reply.status == 410:
            raise Removed(f"{view.url} says: {_quoted(reply.body)}")
        if reply.status == 409:
            over = reply.headers.get(OUTRANK_HEADER, "")
            raise Cloned(f"{view.url} says: {_quoted(reply.body)}", _count(over))
        if reply.status in (401, 403):
            raise Refused(f"{view.url} refuses this edge: {_quoted(reply.body)}")
        if reply.status != 200:
            raise Unreachable(view.url, f"HTTP {reply.status}", sent=True)
        return self._take_note(view, beat, read_beat_reply(reply.body), asked_at)

    def _take_note(self, view: HubView, beat: Beat, reply: BeatReply, asked_at: float) -> float:
        # The answer speaks of the epoch that the beat named, whatever the log's epoch is by now.
        claim = read_claim(beat.epoch, asked_at, reply.have, reply.safe, reply.proofs)
        if not 0 < reply.interval_seconds <= 3600:
            raise BadInput(f"{view.url} asks for a beat every {reply.interval_seconds} s")
        if not self._meet(view, reply.hub_id, asked_at):
            return reply.interval_seconds
        if view.is_away:
            log.warning("%s takes this edge back", view.url)
        now, credit = asyncio.get_running_loop().time(), reply.credit_bytes_per_s
        self.hubs.beat_answered(view, now, claim, credit, self.runtime.rng)
        self.hubs.hinted(view, reply.prefer, now)
        if self.settings is not None:
            self.settings.heard(reply.hub_id, reply.conf)
        if self.orders is not None:
            self.orders.heard(reply.hub_id, reply.orders)
        for gone in self.hubs.told(view, reply.hubs, now):
            log.info("no hub names %s any more: it is forgotten", gone.name)
            self._forget(gone)
        self._discover(self.hubs.learn(self.hubs.missing(reply.hubs)))
        spread = reply.interval_seconds * JITTER
        return reply.interval_seconds + self.runtime.rng.uniform(-spread, spread)

    def _discover(self, fresh: list[HubView]) -> None:
        if fresh:
            self.discovered(fresh)

    def _forget(self, gone: HubView) -> None:
        if self.settings is not None:
            self.settings.gone(gone.hub_id)
        self._wake(gone.url)

    def _wake(self, url: str) -> None:
        """Let the loop for an address end that is forgotten."""
        if url in self._bells:
            self._bells.pop(url).ring()

    def _leave(self, view: HubView, hub_id: str) -> None:
        """A hub that has answered here may have been elsewhere before."""
        before = [each.url for each in self.hubs.views.values() if each.hub_id == hub_id]
        fresh = self.hubs.moved(view, hub_id)
        for url in before:
            held = self.hubs.views.get(url)
            if held is None or held in fresh:
                log.info("%s is at %s now, and no longer at %s", hub_id, view.url, url)
                self._wake(url)
        self._discover(fresh)

    def _meet(self, view: HubView, hub_id: str, now: float) -> bool:
        """Note which hub is behind an address; False for a second address of a hub we know."""
        if view.hub_id == hub_id:
            return True
        self._leave(view, hub_id)
        if self.hubs.named(hub_id):
            log.info("%s is %s, which we know under another address", view.url, hub_id)
            self.hubs.same(view, hub_id)
            return False
        is_new = not view.hub_id
        if self.settings is not None:
            self.settings.gone(view.hub_id)
        self.hubs.met(view, hub_id, now)
        if is_new:
            self.met(view)
        return True


def _count(text: str) -> int | None:
    """The number in a header; None without a sound one."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 17 else None


def _quoted(body: bytes) -> str:
    """What a hub says: the detail of a problem (RFC 9457), or the text as it is."""
    try:
        text = str(orjson.loads(body)["detail"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        text = body.decode("utf-8", "replace")
    return text.strip()[:300]
