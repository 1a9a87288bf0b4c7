"""Damping of what is told of peers that come and go: the state is never late, the words may be."""

from dataclasses import dataclass

TELLS_MAX = 4
TELL_SECONDS = 120.0
"""One more word about the same peer each this often, when all TELLS_MAX are used up."""


@dataclass(slots=True)
class Telling:
    """What people were told of one peer. They always hear the last state, if late."""

    dead: bool = False
    told_dead: bool = False
    left: float = float(TELLS_MAX)
    at: float = 0.0
    untold: int = 0
    died_at: float = 0.0
    died_as: str = ""
    """The instance that died: what comes back as another one has started anew."""

    def turned(self, dead: bool, at: float) -> None:
        """The peer has died or has come back."""
        if dead is not self.dead:
            self.dead = dead
            self.died_at = at if dead else self.died_at
            self.untold += 1

    def due(self, at: float) -> int:
        """How many turns there were since the last word, when one is due now; otherwise 0."""
        self.left = min(self.left + (at - self.at) / TELL_SECONDS, float(TELLS_MAX))
        self.at = at
        if self.dead is self.told_dead or self.left < 1.0:
            return 0
        turns, self.untold = self.untold, 0
        self.left -= 1.0
        self.told_dead = self.dead
        return turns
