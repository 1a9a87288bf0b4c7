"""A seeded network between processes in virtual time: loss, cuts, and processes that stop or pause."""

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random
from typing import Generic, TypeVar

DELAY_SECONDS_MIN, DELAY_SECONDS_MEAN = 0.0003, 0.001
PAUSE_SECONDS = (4.0, 4.99)
REST_SECONDS = 4.0
"""A hub that was paused runs for so long at least before it is paused again."""

FIRST_PAUSE_SECONDS = 8.0


@dataclass(slots=True)
class Process:
    """One life of a hub, and what became of it."""

    number: int
    """Of this life, from 1."""
    is_running: bool = field(default=True, init=False)
    paused_until: float = field(default=0.0, init=False)


Each = TypeVar("Each", bound=Process)


def is_open(start: str, end: str) -> bool:
    """Nothing is cut."""
    return False


@dataclass(slots=True)
class StormNet(Generic[Each]):
    """The processes of some hubs, what is between them, and the time."""

    count: int
    rng: Random
    loss: float = 0.0
    refuses: bool = True
    """Whether the machine of a dead hub answers for it; otherwise requests get lost."""
    now: float = 100.0
    hosts: dict[str, Each] = field(default_factory=dict)
    cut: Callable[[str, str], bool] = is_open
    """Whether what the first hub sends to the second is lost."""
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: int = 0

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self.hosts[name].is_running = False

    def pause(self, name: str, seconds: float) -> None:
        """SIGSTOP for so long: what arrives waits, and timers fire late."""
        self.hosts[name].paused_until = self.now + seconds

    def pause_some(self, rng: Random) -> None:
        """From now on stop random hubs for just under 5 s, at times several at once."""

        def pause() -> None:
            name = f"hub-{rng.randint(1, self.count)}"
            if self.hosts[name].paused_until + REST_SECONDS < self.now:
                self.pause(name, rng.uniform(*PAUSE_SECONDS))
            self.at(rng.uniform(1.0, 6.0), pause)

        self.at(FIRST_PAUSE_SECONDS, pause)

    # ---- time

    def at(self, seconds: float, act: Callable[[], None]) -> None:
        """Have something happen from outside in so many seconds."""
        self._order += 1
        heappush(self._events, (self.now + seconds, self._order, act))

    def later(self, seconds: float, name: str, act: Callable[[], None]) -> None:
        """Have a hub do something, if it still lives then; a pause delays it."""
        host = self.hosts[name]

        def run() -> None:
            if not host.is_running or self.hosts[name] is not host:
                return
            if host.paused_until > self.now:
                self.at(host.paused_until - self.now, run)
            else:
                act()

        self.at(seconds, run)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            self.now, _, act = heappop(self._events)
            act()
        self.now = end

    # ---- messages

    def send(
        self,
        start: str,
        end: str,
        act: Callable[[], None],
        refused: Callable[[], None] | None = None,
    ) -> None:
        """One message: lost, refused by the machine of a dead hub, or delivered a little later."""
        delay = DELAY_SECONDS_MIN + self.rng.expovariate(1 / DELAY_SECONDS_MEAN)
        if self.cut(start, end) or self.rng.random() < self.loss:
            return
        if self.hosts[end].is_running:
            self.later(delay, end, act)
        elif self.refuses and refused and self.rng.random() >= self.loss:
            self.later(2 * delay, start, refused)
