"""Leadership as a part of a hub: who acts alone, told to people, to hooks, and to other parts."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from hub.config import HubConfig
from hub.ground import Ground
from hub.lead.calls import HandOver, LeadCalls, NewMembers
from hub.lead.doors import PATH, Answering, for_admitted, lead_route, no_vote
from hub.lead.fence import LeaderLease
from hub.lead.hook_runs import command_hook, web_hook
from hub.lead.hooks import Hook, Hooks, Note
from hub.lead.leader import QuorumLeader
from hub.lead.messages import MESSAGE_BYTES_MAX
from hub.lead.mode import Mode
from hub.lead.model import LEADER_LOST, Ballot, Tell, Timing
from hub.lead.states import states_of
from hub.lead.static import StaticLeadership
from hub.lead.static_leader import StaticLeader
from hub.lead.voice import LeadVoice
from hub.lead.voting import difference, first_ballot
from hub.params import Nothing, read
from hub.peering.sections import Section
from hub.rpc import Handler, Method
from hub.store.lead_table import fence_begun, load_ballot, note_fence, save_ballot
from hub.web.routes import RouteSpec
from shared.errors import SettingsError, Unreachable

log = logging.getLogger(__name__)

POST_SECONDS = Timing().timeout_seconds_min  # By then another election may have begun.
# Handing over takes at most one second; with the end of a hook that hangs, a hub still stops in five.
LEAVE_SECONDS_MAX = 2.0
SYNCED = ("FULL", "EXTRA")


class LeadPart:
    """The leadership of one hub. `lease` gives other parts leave to act alone."""

    def __init__(
        self,
        leadership: QuorumLeader | StaticLeader,
        mode: Mode,
        voice: LeadVoice,
        hooks: Hooks,
        stopping: asyncio.Event,
        check_admitted: Callable[[str], None],
        left_behind: int | None,
    ) -> None:
        self.leadership, self.mode = leadership, mode
        self._left_behind = left_behind  # What an earlier life began and did not end.
        self._voice, self._hooks, self._stopping = voice, hooks, stopping
        clock = asyncio.get_running_loop().time
        self.lease = LeaderLease(leadership, clock, is_exclusive=mode is Mode.QUORUM)
        voting = leadership if isinstance(leadership, QuorumLeader) else None
        self._calls = LeadCalls(leadership, voting)
        self._answer: Answering = no_vote(mode)
        if voting is not None:
            self._answer = for_admitted(voting.answer, check_admitted)

    def describe(self) -> dict[str, Any]:
        """How leadership stands, for people."""
        return self.leadership.describe(asyncio.get_running_loop().time())

    def methods(self) -> Mapping[str, Method]:
        """Who leads, and how to change that."""
        calls = self._calls
        return {
            "peers.leader": _method(calls.leader, Nothing),
            "peers.stepDown": _method(calls.step_down, HandOver),
            "peers.drill": _method(calls.drill, HandOver),
            "peers.members": _method(calls.members, NewMembers),
        }

    def routes(self) -> Sequence[RouteSpec]:
        """The door of an election."""
        return [lead_route(self._answer)]

    def sections(self) -> Sequence[Section]:
        """Nothing: an election has messages of its own, which must not wait for the next gossip."""
        return ()

    async def run(self) -> None:
        """Take part until cancelled. A hub that stops on purpose hands over first, in bounded time."""
        if self._left_behind is not None:
            self._voice.begin(self._left_behind, self.mode)
        loops = [asyncio.create_task(self._hooks.run())]
        if self.mode is not Mode.NONE:
            loops.append(asyncio.create_task(self.leadership.run()))
        leaving = asyncio.create_task(self._leave_at_the_end(loops[1:]))
        try:
            await asyncio.wait([*loops, leaving], return_when=asyncio.FIRST_EXCEPTION)
            _raise_fault([*loops, leaving])
        finally:
            if self._stopping.is_set():
                await asyncio.wait([leaving])
            await _end([*loops, leaving])

    async def _leave_at_the_end(self, leading: "Sequence[asyncio.Task[None]]") -> None:
        """Hand over as soon as this hub is about to stop, while others can still reach it."""
        await self._stopping.wait()
        try:
            async with asyncio.timeout(LEAVE_SECONDS_MAX):
                await self.leadership.close()
                await _end(leading)  # It neither stands nor leads again.
                self._cease()
                await self._hooks.drained()
        except TimeoutError:
            log.warning("a hook of leadership takes too long, and is ended with this hub")

    def _cease(self) -> None:
        """A leader that nobody could take over from ceases with its hub; its stop hook runs now."""
        standing = self.describe()
        if standing["leading"]:
            reason = {"state": "follower", "leader": "", "reason": "this hub stops"}
            facts = {name: standing[name] for name in ("hub", "term", "mode")} | reason
            self._voice(Tell(LEADER_LOST, facts))

    async def close(self) -> None:
        """Nothing is held: what must not be forgotten was on disk before it was said."""


def build(ground: Ground) -> LeadPart:
    """Build it; raises SettingsError, and BadInput for a ballot that cannot be read."""
    mode = Mode(ground.config.leader)
    voice = LeadVoice(ground.hub_id, ground.report)
    with ground.database.reading() as connection:
        ballot = first_ballot(load_ballot(connection), ground.config.lead_hubs)
        left_behind = fence_begun(connection)
    if mode is Mode.QUORUM:
        leadership: QuorumLeader | StaticLeader = _quorum(ground, ballot, voice)
    else:
        leadership = _static(ground, ballot.term, mode, voice)
    hooks = Hooks(_hooks(ground), voice, ground.runtime.rng, note=_note_in(ground))
    voice.give(hooks)
    check = ground.mesh.check_admitted
    part = LeadPart(leadership, mode, voice, hooks, ground.stopping, check, left_behind)
    ground.in_status["lead"] = part.describe
    return part


def _quorum(ground: Ground, ballot: Ballot, tell: Callable[[Tell], None]) -> QuorumLeader:
    _check_synced(ground.config, is_real=ground.runtime.threads)
    if warning := difference(ballot, ground.config.lead_hubs):
        log.warning("%s", warning)

    async def save(ballot: Ballot) -> None:
        await ground.database.write(lambda connection: save_ballot(connection, ballot))

    async def post(hub_id: str, message: bytes) -> bytes:
        peer = ground.mesh.peers.by_id(hub_id)
        if peer is None:
            raise Unreachable(hub_id, "this hub does not know its address yet", sent=False)
        limit = MESSAGE_BYTES_MAX
        post = ground.mesh.post(peer, PATH, message, POST_SECONDS, reply_bytes_max=limit)
        return (await post).body

    return QuorumLeader(
        ground.hub_id, ballot, post=post, save=save, tell=tell, rng=ground.runtime.rng
    )


def _check_synced(config: HubConfig, *, is_real: bool) -> None:
    """Raise SettingsError for a store that may forget a vote; a simulated disk forgets by plan."""
    if is_real and config.synchronous.upper() not in SYNCED:
        raise SettingsError(
            f"leader = quorum needs a store with synchronous = FULL, not {config.synchronous}: "
            "a vote that a power cut undoes could be given twice"
        )


def _static(ground: Ground, fence: int, mode: Mode, tell: Callable[[Tell], None]) -> StaticLeader:
    machine = StaticLeadership(ground.hub_id, ground.config.lead_hubs, fence, mode=mode)
    return StaticLeader(machine, lambda: states_of(ground.mesh.peers, ground.now), tell)


def _hooks(ground: Ground) -> list[Hook]:
    config, hooks = ground.config, []
    if config.hook_command:
        hooks.append(command_hook(config.hook_command, config.hook_timeout_seconds))
    if config.hook_url:
        hooks.append(web_hook(ground.mesh.client, config.hook_url, config.hook_timeout_seconds))
    return hooks


def _note_in(ground: Ground) -> Note:
    async def note(fence: int | None) -> None:
        await ground.database.write(lambda connection: note_fence(connection, fence))

    return note


def _method(work: Callable[..., Awaitable[dict[str, Any]]], kind: type[Struct]) -> Method:
    async def asked(raw: dict[str, Any]) -> dict[str, Any]:
        params = read(kind, raw)
        return await (work() if kind is Nothing else work(params))

    handler: Handler = asked
    return Method(handler, kind, (work.__doc__ or "").partition("\n")[0])


def _raise_fault(tasks: "Sequence[asyncio.Task[None]]") -> None:
    for task in tasks:
        if task.done() and not task.cancelled():
            task.result()


async def _end(tasks: "Sequence[asyncio.Task[None]]") -> None:
    """End tasks; a fault of one of them was raised by who watches them."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
