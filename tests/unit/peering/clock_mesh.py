"""Hubs whose clocks are wrong, gossiping once a second in a made-up time."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from hub.nodes.edge_clocks import EdgeClocks
from hub.peering.admission import Admission, door_of
from hub.peering.clock_answers import ListClocks, Moment, describe_clocks
from hub.peering.clock_samples import Echo
from hub.peering.clock_steps import Event
from hub.peering.clocks import Clocks
from shared.merge import Intent, NodeRecord
from shared.stamp import Stamp

START_MS = 1_780_000_000_000


@dataclass
class Mesh:
    """Hubs with clocks that are wrong by as much as a test likes, gossiping once a second."""

    wrong_ms: dict[str, float]
    trip_ms: float = 1.0
    drift_ppm: dict[str, float] = field(default_factory=dict)
    cut: set[frozenset[str]] = field(default_factory=set)
    now: float = 100.0
    events: dict[str, list[Event]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clocks = {hub: Clocks(hub) for hub in self.wrong_ms}

    def wall(self, hub: str, at: float) -> int:
        drifted = (at - 100) * self.drift_ppm.get(hub, 0.0) / 1000
        return int(START_MS + at * 1000 + self.wrong_ms[hub] + drifted)

    def run(self, seconds: int) -> "Mesh":
        for _ in range(seconds):
            for mine in self.clocks:
                for other in self.clocks:
                    if mine != other and frozenset((mine, other)) not in self.cut:
                        self.ask(mine, other)
            self.now += 1
        return self

    def ask(self, mine: str, other: str) -> None:
        sent_at, there_at = self.now, self.now + self.trip_ms / 1000
        back_at = there_at + self.trip_ms / 1000
        there_ms = self.wall(other, there_at)
        echo = Echo(
            sent_at, back_at, self.wall(mine, sent_at), self.wall(mine, back_at), there_ms, there_ms
        )
        section = self.clocks[other].of_mine(there_at)
        events = self.clocks[mine].measured(other, echo)
        events += self.clocks[mine].take(section, other, back_at)
        self.events.setdefault(mine, []).extend(events)

    def verdicts(self, hub: str) -> dict[str, str]:
        return {other: str(self.clocks[hub].verdict(other)) for other in self.clocks}

    def told(self, hub: str) -> list[tuple[str, str]]:
        return [(name, str(facts["hub"])) for name, facts in self.events.get(hub, [])]


def answer_of(
    mesh: Mesh, hub: str, edges_off_ms: tuple[int, ...] = (), poisoned: int = 0
) -> dict[str, Any]:
    """The answer of a hub to clock.list, as it comes over the wire."""
    clocks, edges, admission = mesh.clocks[hub], EdgeClocks(), Admission()
    wall_ms = mesh.wall(hub, mesh.now)
    for number, off_ms in enumerate(edges_off_ms):
        edges.hear(f"edge-{number}", wall_ms + off_ms, wall_ms, mesh.now)
    order = NodeRecord("edge-1", intent={"draining": Intent(True, Stamp(wall_ms + 7_000, 0, "c"))})
    admission.let_in(order, "c", None, door_of(clocks, mesh.now, wall_ms))
    moment = Moment(mesh.now, wall_ms)
    told = describe_clocks(
        clocks, edges, admission, moment, poisoned=poisoned, wanted=ListClocks(200, "all")
    )
    answer: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(told))
    return answer
