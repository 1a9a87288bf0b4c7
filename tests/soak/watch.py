"""What is seen of a running soak: the hubs' counters over all their lives, and a look now and then."""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.system.processes import Answered, HubProcess

LOOK_SECONDS_MAX = 1.0
SWEEP_COUNTERS = ("sweeps", "repaired_chunks")
TICK_SECONDS = 5.0


@dataclass(slots=True)
class HubCounters:
    """Counters begin at 0 with each life of a hub, so the last word of each life is added up.

    What a hub does between its last look and its death is not seen: the sums are lower bounds.
    """

    _lives: dict[int, Counter[str]] = field(default_factory=dict)

    def look(self, hub: HubProcess) -> None:
        """Ask a hub, which may be paused, dead or about to be killed."""
        assert hub.process is not None
        life = hub.process.pid
        self._lives[life] = self._lives.get(life, Counter()) | counters_of(hub)

    def sums(self) -> Counter[str]:
        """The counters of all lives of all hubs."""
        return sum(list(self._lives.values()), Counter())


def counters_of(hub: HubProcess) -> Counter[str]:
    """The counters of a hub, empty when it does not answer at once."""
    with httpx.Client(timeout=LOOK_SECONDS_MAX, trust_env=False) as client:
        asked = HubProcess(hub.name, hub.folder, (), "", hub.ready_url, client=client, url=hub.url)
        try:
            status: dict[str, Any] = asked.call("hub.status")
        except (httpx.TransportError, Answered):
            return Counter()
    return Counter(status["counters"]) + swept(status["peers"])


def swept(peers: Iterable[dict[str, Any]]) -> Counter[str]:
    """What the sweeps of a hub have come to, over all its peers."""
    return sum(
        (Counter({name: peer["replication"][name] for name in SWEEP_COUNTERS}) for peer in peers),
        Counter(),
    )


def has_swept_all(hub: HubProcess) -> bool:
    """Whether the hub has compared in this life what it holds with what each of its peers does."""
    peers = hub.call("hub.status")["peers"]
    return all(peer["replication"]["sweeps"] > 0 for peer in peers)


@contextlib.contextmanager
def ticking(tick: Callable[[float], None]) -> Iterator[None]:
    """Calls `tick` with the seconds so far, every five seconds while the context lasts."""
    stopping = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(_tick_until, stopping, tick)
        try:
            yield
        finally:
            stopping.set()
    running.result()


def _tick_until(stopping: threading.Event, tick: Callable[[float], None]) -> None:
    began = time.monotonic()
    while not stopping.wait(TICK_SECONDS):
        tick(time.monotonic() - began)
