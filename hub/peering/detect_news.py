"""What the detector tells people: conditions when they begin and when they end. Rules only."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hub.peering.detect_peer import Watch
from hub.peering.detect_telling import Telling
from hub.peering.detect_values import PeerState, Tell


@dataclass(slots=True)
class News:
    """Events that wait for the next tick; `deaths` and `returns` count what is damped, too."""

    deaths: int = 0
    returns: int = 0
    _tellings: dict[str, Telling] = field(default_factory=dict)
    _facts: dict[str, Mapping[str, object]] = field(default_factory=dict)
    _tells: list[Tell] = field(default_factory=list)

    def died(self, watch: Watch, silent_seconds: float) -> None:
        """A peer has been declared dead."""
        self.deaths += 1
        self._turn(
            watch.peer,
            True,
            watch.since,
            {
                "silent_seconds": round(silent_seconds, 1),
                "misses": watch.misses,
                "failure": watch.failure.value if watch.failure else "",
                "observers": ", ".join(watch.buried_by),
            },
        )
        self._tellings[watch.peer].died_as = _instance(watch)

    def returned(self, watch: Watch, at: float, how: str) -> None:
        """A sign of life came; news when the peer was called dead."""
        telling = self._tellings.get(watch.peer)
        if telling is None or not telling.dead or watch.state is PeerState.DEAD:
            return
        self.returns += 1
        if telling.died_as != _instance(watch):
            how = f"with a new start, and {how.removesuffix(' again')}"
        seconds = max(at - telling.died_at, 0.0)
        facts = {"dead_seconds": round(seconds, 1), "how": how}
        self._turn(watch.peer, False, at, facts)

    def isolated(self, peers: int, *, by_plan: bool) -> None:
        """We reach nobody; `by_plan` because all of them said that they leave for a while."""
        why = {"why": "all of them were stopped in order"} if by_plan else {}
        self._tells.append(Tell("hub.isolated", {"peers": peers, "by_plan": by_plan, **why}))

    def rejoined(self, seconds: float, through: str) -> None:
        """We reach somebody again."""
        facts = {"seconds": round(seconds, 1), "through": through}
        self._tells.append(Tell("hub.rejoined", facts))

    def refuted(self, by: str, incarnation: int) -> None:
        """A hub took us for dead, or for an earlier life, and has been answered."""
        self._tells.append(Tell("hub.refuted", {"told_by": by, "incarnation": incarnation}))

    def due(self, at: float) -> list[Tell]:
        """What is told now. A peer that flaps is told of seldom, and its last state always."""
        tells, self._tells = self._tells, []
        for peer, telling in self._tellings.items():
            if turns := telling.due(at):
                name = "peer.dead" if telling.dead else "peer.alive"
                more = {"turns": turns} if turns > 1 else {}
                tells.append(Tell(name, {"peer": peer, **self._facts[peer], **more}))
        return tells

    def forget(self, peer: str) -> None:
        """Say no more of a peer that has left."""
        self._tellings.pop(peer, None)
        self._facts.pop(peer, None)

    def _turn(self, peer: str, dead: bool, at: float, facts: Mapping[str, object]) -> None:
        telling = self._tellings.setdefault(peer, Telling())
        telling.turned(dead, at)
        self._facts[peer] = facts


def _instance(watch: Watch) -> str:
    return watch.life.instance if watch.life else ""
