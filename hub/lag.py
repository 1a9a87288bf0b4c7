"""How far a hub is behind a peer, in chunks and in seconds, and when that is worth a word. Pure."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hub.replicate import LogKey
from shared.ranges import Ranges

LATE_SECONDS = 30.0
"""Behind by more than this is told to people."""

CAUGHT_UP_SECONDS = 5.0
"""Late is over below this; between the two nothing is told, so that no peer flickers."""

MARKS_MAX = 128
ORIGINS_MAX = 1000

LagEvent = Callable[[str, float], None]
"""Called with the peer's id and the seconds, above LATE_SECONDS or again below CAUGHT_UP_SECONDS."""


@dataclass(slots=True)
class PeerLag:
    """What of a peer's chunks is not here yet, and since when that is known.

    `_heads` holds (monotonic seconds, head arrival of the peer) from the first moment at which
    something was known that is not pulled yet. When it is full, neighbours are joined under the
    earlier time: the lag may read longer than it is, never shorter.
    """

    store_epoch: str = ""
    pulled: int = 0
    is_late: bool = False
    by_origin: dict[str, int] = field(default_factory=dict)
    """Chunks by origin that the peer's vector had and we lacked when we last compared."""
    delay_ms: int = 0
    """How old the oldest chunk of the last page was when it was on our disk; 0 when not known."""
    _heads: deque[tuple[float, int]] = field(default_factory=deque)

    def heard(self, head: int, now: float) -> None:
        """The peer's last arrival is `head`."""
        if head <= (self._heads[-1][1] if self._heads else self.pulled):
            return
        if len(self._heads) >= MARKS_MAX:
            marks = list(self._heads)
            pairs = zip(marks[::2], marks[1::2], strict=True)
            self._heads = deque((early[0], late[1]) for early, late in pairs)
        self._heads.append((now, head))

    def reached(self, pulled: int) -> None:
        """Everything of the peer up to the arrival `pulled` has been looked at and is here."""
        self.pulled = pulled
        while self._heads and self._heads[0][1] <= pulled:
            self._heads.popleft()

    def meet(self, store_epoch: str) -> None:
        """When the peer's store is another one, its numbers mean something else now."""
        if store_epoch == self.store_epoch:
            return
        if self.store_epoch:  # What was heard before it told its store is of the one that it has.
            self._heads.clear()
        self.store_epoch, self.pulled = store_epoch, 0

    @property
    def chunks(self) -> int:
        """How many of the peer's arrivals have not been looked at."""
        return max(self._heads[-1][1] - self.pulled, 0) if self._heads else 0

    def seconds(self, now: float) -> float:
        """For how long the oldest chunk that is known and not here has been known."""
        return max(now - self._heads[0][0], 0.0) if self._heads else 0.0

    def turned(self, now: float) -> bool:
        """Whether the peer has become late or has caught up since this was last asked."""
        seconds = self.seconds(now)
        bound = CAUGHT_UP_SECONDS if self.is_late else LATE_SECONDS
        late = seconds > bound
        turned = late != self.is_late
        self.is_late = late
        return turned


def by_origin(lacking: Mapping[LogKey, Ranges]) -> dict[str, int]:
    """Chunks by origin; when there are too many origins, those that lack most."""
    sums: dict[str, int] = {}
    for (origin, _), ranges in lacking.items():
        sums[origin] = sums.get(origin, 0) + ranges.count
    most = sorted(sums.items(), key=lambda item: (-item[1], item[0]))[:ORIGINS_MAX]
    return dict(most)
