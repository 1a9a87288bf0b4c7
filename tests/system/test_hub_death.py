"""Real hubs notice the death of one within seconds, and take no pause for a death."""

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from tests.system.meeting import wait_until_met
from tests.system.oracle import (
    Sender,
    assert_nothing_lost_or_double,
    assert_whole_chain,
    chunks_on_disk,
    counted,
)
from tests.system.processes import Fleet, HubProcess, each_shows, eventually
from tests.system.test_leadership import HUBS, agreed, standing

PAUSE_SECONDS = 4.5
STOP_SECONDS = 10.0
LOOK_SECONDS = 0.1


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


def incident_kinds(hub: HubProcess) -> set[tuple[str, str]]:
    """The incidents that a hub knows: it stood still, and nothing went on there, so it is no split."""
    return {(each["kind"], each["state"]) for each in hub.call("hub.incidents")["items"]}


def test_a_hub_that_is_stopped_for_long_is_dead_and_alive_again(hubs: list[HubProcess]) -> None:
    """It wakes as the same life: nobody restarted it, and both others tell that it is back."""
    wait_until_met(hubs)
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
    each_shows(hubs, incident_kinds, {("outage", "closed")})


def test_a_leader_that_is_stopped_for_ten_seconds_under_load_leads_and_loses_nothing(
    fleet: Fleet,
) -> None:
    """Another leads a later term meanwhile. The sleeper wakes as the same life, never leads with its
    old fence again, and gets every chunk that was pushed to the others."""
    hubs = fleet.hubs(3, "LEADER=quorum", HUBS)
    edges = [fleet.edge(name, hubs) for name in ("edge-1", "edge-2")]
    fleet.settled(hubs, *edges)
    first = agreed(hubs)
    (sleeper,) = (hub for hub in hubs if hub.name == first["hub"])
    others = [hub for hub in hubs if hub is not sleeper]
    assert sleeper.process is not None
    with Sender(edges[0].otlp_url) as sender, Sender(edges[1].otlp_url, name="s") as second:
        sender.until_acked(100)
        stopped_at = time.monotonic()
        sleeper.process.send_signal(signal.SIGSTOP)
        for hub in others:
            each_shows([hub], lambda hub: states(hub)[sleeper.name], "dead")
        assert agreed(others, after_term=first["term"])["hub"] != sleeper.name
        sender.until_acked(100)
        second.until_acked(100)
        time.sleep(max(stopped_at + STOP_SECONDS - time.monotonic(), 0.0))
        sleeper.process.send_signal(signal.SIGCONT)

        def is_awake() -> bool:
            woken = standing(sleeper)
            assert (woken["leading"], woken["term"]) != (True, first["term"])
            return set(states(sleeper).values()) == {"alive"}

        eventually(is_awake, f"{sleeper.name} has all others back")
        for hub in others:
            each_shows([hub], lambda hub: states(hub)[sleeper.name], "alive")
        agreed(hubs, after_term=first["term"])
        sender.until_acked(100)
    assert_one_leader_each_term(hubs)
    for edge, each in zip(edges, (sender, second), strict=True):
        for hub in hubs:
            assert_has_all(hub, edge.name, each)


def assert_has_all(hub: HubProcess, node: str, sender: Sender) -> None:
    """Wait until all that was acknowledged is on this hub's disk; none of it is there twice."""

    def held() -> Counter[str]:
        return counted(chunks_on_disk(hub.database, node))

    eventually(lambda: held().keys() >= set(sender.acked), f"{hub.name} has all of {node}")
    assert_whole_chain(chunks_on_disk(hub.database, node))
    assert_nothing_lost_or_double(held(), sender)


def assert_one_leader_each_term(hubs: Sequence[HubProcess]) -> None:
    """As all hubs have told it while it happened."""
    told = [each["attributes"] for hub in hubs for each in events(hub, "leader:elected")]
    leaders: dict[int, set[str]] = {}
    for each in told:
        leaders.setdefault(each["term"], set()).add(each["leader"])
    assert leaders
    assert all(len(names) == 1 for names in leaders.values()), leaders
