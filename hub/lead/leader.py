"""Runs an election on the event loop: saves before it speaks, speaks to peers, tells what changes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from random import Random
from typing import Any

from hub.lead.action import Action, Reply, Save, Send
from hub.lead.election import Election
from hub.lead.messages import Answer, Ask, read_answer, read_ask, write
from hub.lead.model import Ballot, Role, Tell, Timing
from shared.errors import HeadwaterError, Refused, Unavailable
from shared.tasks import Bell

log = logging.getLogger(__name__)

IN_FLIGHT_MAX = 4  # Per peer: one that hangs must not gather beats.

Post = Callable[[str, bytes], Awaitable[bytes]]
"""Post a message to a hub, by id, on /peer/lead; raises HeadwaterError when no answer came."""

SaveBallot = Callable[[Ballot], Awaitable[None]]
"""Return only when the ballot is on disk, synced; raises HeadwaterError when it is not."""


class QuorumLeader:
    """The leadership of one hub by majority; also a hub.lead.fence.Leadership."""

    def __init__(
        self,
        hub_id: str,
        ballot: Ballot,
        *,
        post: Post,
        save: SaveBallot,
        tell: Callable[[Tell], None],
        rng: Random,
        timing: Timing | None = None,
    ) -> None:
        self._timing = timing or Timing()
        self._post, self._save, self._tell = post, save, tell
        now = asyncio.get_running_loop().time()
        self.election = Election(hub_id, ballot, self._timing, now, rng)
        self._lock = asyncio.Lock()
        self._bell = Bell()
        self._changed = asyncio.Event()
        self._in_flight: dict[str, int] = {}
        self._tasks: asyncio.TaskGroup | None = None

    @property
    def term(self) -> int:
        """The latest term this hub knows."""
        return self.election.term

    def is_leading(self, now: float) -> bool:
        """Whether this hub may act alone at this moment of the loop's time."""
        return self.election.is_leading(now)

    def describe(self, now: float) -> dict[str, Any]:
        """The standing for people."""
        return self.election.standing(now).as_dict()

    async def run(self) -> None:
        """Take part in elections, for ever."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                while True:
                    await self._bell.wait(max(self.election.due_at() - self._now(), 0.0))
                    await self._turn(lambda: self.election.tick(self._now()))
            finally:
                self._tasks = None

    async def answer(self, message: bytes) -> bytes:
        """Answer a peer; raises BadInput, and Unavailable when the answer could not be saved first."""
        ask = read_ask(message)
        answers = await self._step(lambda: self.election.on_ask(self._now(), ask))
        if not answers:
            raise Unavailable("the vote could not be written to disk", 1.0)
        return write(answers[0])

    async def step_down(self, target: str = "") -> None:
        """Let the leader hand over to `target` or to its best follower, wherever it is; raises Refused."""
        leader = self.election.leader
        if not leader:
            raise Refused("no leader is heard here, so that nobody can step down")
        if leader == self.election.hub_id:
            await self._step(lambda: self.election.step_down(self._now(), target))
            return
        election = self.election
        ask = Ask("step-down", election.hub_id, election.term, election.members, target=target)
        answer = read_answer(await self._post(leader, write(ask)))
        if not answer.granted:
            raise Refused(f"{leader}: {answer.reason}")

    async def change_members(self, hubs: Collection[str]) -> None:
        """Add or remove one hub; raises Refused, also when this hub is not the leader."""
        await self._step(lambda: self.election.change_members(self._now(), hubs))

    async def wait_for_leader(self, after_term: int) -> str:
        """Wait until somebody leads a term later than this; who."""
        while not (self.election.leader and self.election.term > after_term):
            self._changed.clear()
            await self._changed.wait()
        return self.election.leader

    async def close(self) -> None:
        """Hand over when others follow, so that nobody waits for the end of a lease.

        To be called while `run` still runs; ends when the next leader is heard, or soon after.
        """
        term = self.election.term
        if self.election.role is not Role.LEADER:
            return
        try:
            await self.step_down()
            async with asyncio.timeout(self._timing.timeout_seconds_min):
                await self.wait_for_leader(term)
        except (HeadwaterError, TimeoutError) as error:
            log.info("leaving without seeing who leads next: %s", error or "nobody is heard yet")

    # ---- one step of the machine

    async def _step(self, work: Callable[[], Sequence[Action]]) -> list[Answer]:
        """A step from outside: afterwards `run` looks anew at what is due."""
        answers = await self._turn(work)
        self._bell.ring()
        return answers

    async def _turn(self, work: Callable[[], Sequence[Action]]) -> list[Answer]:
        """One thing at a time: what is being saved must be on disk before the next is judged."""
        async with self._lock:
            answers = await self._perform(work())
        self._changed.set()
        return answers

    async def _perform(self, actions: Sequence[Action]) -> list[Answer]:
        answers: list[Answer] = []
        is_safe, saved = True, None
        for action in actions:
            if isinstance(action, Save):
                is_safe = await self._is_saved(action.ballot)
                saved = action.ballot if is_safe else None
            elif isinstance(action, Tell):
                self._tell(action)
            elif isinstance(action, Reply) and is_safe:
                answers.append(action.answer)
            elif isinstance(action, Send) and is_safe:
                self._send(action)
        if saved is not None:
            answers += await self._perform(self.election.saved(self._now(), saved))
        return answers

    async def _is_saved(self, ballot: Ballot) -> bool:
        try:
            await self._save(ballot)
        except HeadwaterError as error:
            log.error(
                "the ballot of term %d is not on disk, so this hub is silent: %s",
                ballot.term,
                error,
            )
            return False
        return True

    def _send(self, send: Send) -> None:
        if self._tasks is None or self._in_flight.get(send.to, 0) >= IN_FLIGHT_MAX:
            return
        self._in_flight[send.to] = self._in_flight.get(send.to, 0) + 1
        self._tasks.create_task(self._exchange(send))

    async def _exchange(self, send: Send) -> None:
        try:
            async with asyncio.timeout(self._timing.timeout_seconds_min):
                answer = read_answer(await self._post(send.to, write(send.ask)))
        except (HeadwaterError, TimeoutError) as error:
            # The detector tells that a hub is silent; here each beat would say it again.
            log.debug("%s to %s: %s", send.ask.kind, send.to, error or "no answer in time")
            return
        finally:
            self._in_flight[send.to] -= 1
        await self._step(lambda: self.election.on_answer(self._now(), send, answer))

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
