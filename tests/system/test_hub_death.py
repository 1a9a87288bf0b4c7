"""Real hubs notice the death of one within seconds, and take no pause for a death."""

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from tests.system.processes import Fleet, HubProcess, each_shows, eventually

PAUSE_SECONDS = 4.5
LOOK_SECONDS = 0.02


def states(hub: HubProcess) -> dict[str, str]:
    """What a hub says of its peers."""
    hubs = hub.call("hub.list")["items"]
    return {each["hub_id"]: each["state"] for each in hubs if each["state"] != "self"}


@dataclass
class Watch:
    """When a hub first said what of a peer, after the moment we count from."""

    hub: HubProcess
    peer: str
    first: dict[str, float] = field(default_factory=dict)

    def has_said(self, state: str) -> bool:
        """Whether it has come to that."""
        return state in self.first

    def follow(self, since: float, over: threading.Event) -> None:
        """Look until it is over."""
        while not over.is_set():
            state = states(self.hub)[self.peer]
            self.first.setdefault(state, time.monotonic() - since)
            over.wait(LOOK_SECONDS)


@contextmanager
def watched(hubs: Sequence[HubProcess], peer: HubProcess) -> Iterator[list[Watch]]:
    """Follow what some hubs say of another while the context lasts."""
    over, since = threading.Event(), time.monotonic()
    watches = [Watch(hub, peer.name) for hub in hubs]
    threads = [threading.Thread(target=each.follow, args=(since, over)) for each in watches]
    for thread in threads:
        thread.start()
    try:
        yield watches
    finally:
        over.set()
        for thread in threads:
            thread.join()


def events(hub: HubProcess, kind: str) -> list[dict[str, Any]]:
    """The events of this type that a hub has told itself."""
    found: list[dict[str, Any]] = hub.call("event.list", type=kind, nodes=[hub.name])["items"]
    return found


def told_of(hub: HubProcess, kind: str, peer: HubProcess) -> int:
    return sum(each["attributes"].get("peer") == peer.name for each in events(hub, kind))


@pytest.fixture
def hubs(fleet: Fleet) -> list[HubProcess]:
    """Three hubs that all reach each other."""
    made = fleet.hubs(3)
    for hub in made:
        each_shows([hub], states, {each.name: "alive" for each in made if each is not hub})
    return made


def test_a_killed_hub_is_avoided_and_then_dead_at_both_others(hubs: list[HubProcess]) -> None:
    """Told of once by each; the matrix names it; it comes back as a later life.

    How soon is what `headwater bench mesh` measures.
    """
    *others, victim = hubs
    with watched(others, victim) as watches:
        victim.kill()
        for watch in watches:
            eventually(partial(watch.has_said, "dead"), f"{victim.name} is dead")
    for watch in watches:
        assert watch.first["avoid"] < watch.first["dead"], watch.first
    for hub in others:
        each_shows([hub], lambda hub: told_of(hub, "peer.dead", victim), 1)
        found = hub.call("hub.matrix")["findings"]
        assert [each["kind"] for each in found] == ["dead_hub"], found
    victim.start()
    for hub in others:
        each_shows([hub], lambda hub: states(hub)[victim.name], "alive")
        each_shows([hub], lambda hub: told_of(hub, "peer.alive", victim), 1)
        assert told_of(hub, "peer.dead", victim) == 1


def test_a_hub_that_pauses_for_four_and_a_half_seconds_is_never_dead(
    hubs: list[HubProcess],
) -> None:
    """It may be avoided meanwhile, takes nobody for dead either, and needs no event to come back.

    Those who stall themselves on a busy machine rightly do not avoid it.
    """
    *others, sleeper = hubs
    assert sleeper.process is not None
    with watched(others, sleeper) as watches:
        sleeper.process.send_signal(signal.SIGSTOP)
        time.sleep(PAUSE_SECONDS)
        sleeper.process.send_signal(signal.SIGCONT)
        each_shows(others, lambda hub: states(hub)[sleeper.name], "alive")
        each_shows([sleeper], lambda hub: set(states(hub).values()), {"alive"})
    assert all("dead" not in watch.first for watch in watches)
    for hub in hubs:
        assert events(hub, "peer.dead") == []
        assert events(hub, "hub.isolated") == []


def test_a_hub_that_is_stopped_for_long_is_dead_and_alive_again(hubs: list[HubProcess]) -> None:
    """It wakes as the same life: nobody restarted it, and both others tell that it is back."""
    *others, sleeper = hubs
    assert sleeper.process is not None
    sleeper.process.send_signal(signal.SIGSTOP)
    for hub in others:
        each_shows([hub], lambda hub: states(hub)[sleeper.name], "dead")
    sleeper.process.send_signal(signal.SIGCONT)
    for hub in others:
        each_shows([hub], lambda hub: states(hub)[sleeper.name], "alive")
        each_shows([hub], lambda hub: told_of(hub, "peer.alive", sleeper), 1)
    each_shows([sleeper], lambda hub: set(states(hub).values()), {"alive"})
    assert events(sleeper, "peer.dead") == []
