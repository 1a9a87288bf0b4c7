"""A planned failover: hand over on purpose, and measure how long nobody leads."""

import asyncio
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from hub.lead.voting import TRY_AGAIN
from shared.errors import Refused

DRILL_SECONDS_MAX = 3.0  # What duties of the mesh must be able to bear.
PATIENCE_SECONDS = 15.0
FOLLOW_SECONDS = 1.0  # A few beats: whoever can follow a new leader does by then.


class Failover(Protocol):
    """What a drill does to a leadership."""

    @property
    def term(self) -> int: ...
    def describe(self, now: float) -> dict[str, Any]: ...
    async def step_down(self, target: str = "") -> None: ...
    async def wait_for_leader(self, after_term: int) -> str: ...


@dataclass(frozen=True, slots=True)
class Drill:
    """How a drill went, as seen by the hub that asked for it."""

    passed: bool
    seconds_without_leader: float
    seconds_max: float
    before: str
    after: str
    term_before: int
    term_after: int
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


async def drill(leadership: Failover, target: str = "") -> Drill:
    """Hand the lead over and wait for the next leader; raises Refused when nobody leads here.

    Counted from before the order leaves until the new leader is heard, so never too short.
    """
    loop = asyncio.get_running_loop()
    before, term = str(leadership.describe(loop.time())["leader"] or ""), leadership.term
    if not before:
        raise Refused("no leader is heard here: there is nothing to hand over")
    begun = await _hand_over(leadership, target)
    after = await _next_leader(leadership, term)
    seconds = round(loop.time() - begun, 3)
    reason = _trouble(after, target, seconds)
    return Drill(
        not reason, seconds, DRILL_SECONDS_MAX, before, after, term, leadership.term, reason
    )


async def _hand_over(leadership: Failover, target: str) -> float:
    """Give the order, again while followers are only just coming; when the order left that was obeyed.

    Right after another order a leader has heard no follower yet. Raises Refused as `step_down`.
    """
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + FOLLOW_SECONDS
    while True:
        begun = loop.time()
        try:
            await leadership.step_down(target)
        except Refused as error:
            if begun >= give_up_at or not str(error).endswith(TRY_AGAIN):
                raise
            await asyncio.sleep(FOLLOW_SECONDS / 5)
        else:
            return begun


async def _next_leader(leadership: Failover, term: int) -> str:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await leadership.wait_for_leader(term)
    except TimeoutError:
        return ""


def _trouble(after: str, target: str, seconds: float) -> str:
    if not after:
        return f"nobody led within {PATIENCE_SECONDS:g} s"
    if target and after != target:
        return f"{after} took over, not {target}"
    if seconds > DRILL_SECONDS_MAX:
        return f"nobody led for {seconds:g} s, which is over {DRILL_SECONDS_MAX:g} s"
    return ""
