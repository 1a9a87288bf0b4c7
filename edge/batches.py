"""The batches of a push conversation that hubs have not judged yet. Pure."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from edge.batch import PushLimits
from edge.hubs import HubView
from edge.lanes import Lane
from edge.push import Item, Send
from shared.ranges import NOTHING, Ranges, of_seqs


@dataclass(slots=True)
class Batch:
    """Chunks that are pushed together until hubs have judged each of them."""

    number: int
    lane: Lane
    wanted: Ranges
    items: tuple[Item, ...] = ()
    view: HubView | None = None
    """The hub that it is under way to."""
    last_url: str = ""
    tries: int = 0
    not_before: float = -math.inf
    seconds_max: float = 0.0
    refused_by: tuple[str, ...] = ()
    reason: str = ""
    unsure: dict[str, float] = field(default_factory=dict)
    """The hubs that may have taken it although their answer was lost, and since when."""
    is_whole: bool = False
    """Whether there is no sense in making smaller chunks of its one chunk."""

    @property
    def size_bytes(self) -> int:
        """The bytes of its bodies."""
        return sum(item.stored_bytes for item in self.items)

    def seal(self, items: Iterable[Item]) -> None:
        """Fix what is in it."""
        self.items = tuple(items)
        self.wanted = of_seqs(item.seq for item in self.items)


@dataclass(slots=True)
class Batches:
    """All open batches, oldest first."""

    limits: PushLimits
    by_number: dict[int, Batch] = field(default_factory=dict)
    _numbers: int = 0

    def __bool__(self) -> bool:
        return bool(self.by_number)

    def get(self, number: int) -> Batch | None:
        """The open batch with this number."""
        return self.by_number.get(number)

    def open(self, lane: Lane, wanted: Ranges, items: Iterable[Item] = ()) -> Batch:
        """Begin a batch; with `items` it is sealed."""
        self._numbers += 1
        batch = self.by_number[self._numbers] = Batch(self._numbers, lane, wanted)
        if items:
            batch.seal(items)
        return batch

    def close(self, batch: Batch) -> None:
        """End a batch, whatever it is doing."""
        if batch.view is not None:
            batch.view.circuit.end()
            batch.view = None
        del self.by_number[batch.number]

    def close_all(self) -> None:
        """End all batches."""
        for batch in [*self.by_number.values()]:
            self.close(batch)

    def close_gone(self, seqs: Ranges) -> None:
        """End those that wait and of which something is not in the log any more.

        The rest is pushed anew: what was given up must not arrive after it was declared lost.
        """
        for batch in self.waiting():
            if batch.wanted - seqs:
                self.close(batch)

    def send(self, batch: Batch, view: HubView, bytes_max: int) -> Send:
        """Put a batch under way to a hub."""
        batch.view = view
        view.circuit.begin()
        return Send(batch.number, view.url, batch.lane, batch.wanted, bytes_max)

    def waiting(self) -> list[Batch]:
        """Those that are not under way."""
        return [batch for batch in self.by_number.values() if batch.view is None]

    def under_way(self) -> list[Batch]:
        """Those that are."""
        return [batch for batch in self.by_number.values() if batch.view is not None]

    def refused(self) -> list[Batch]:
        """Single chunks that a hub has refused, and that are not under way to the next."""
        return [batch for batch in self.waiting() if batch.refused_by]

    def wanted(self) -> Ranges:
        """All that is in open batches."""
        wanted = NOTHING
        for batch in self.by_number.values():
            wanted = wanted | batch.wanted
        return wanted

    def has_room(self, view: HubView) -> bool:
        """Whether one more batch of data may be opened, for this hub.

        Refused chunks have room of their own, so that they cannot keep the sound ones waiting.
        """
        ordinary = [each for each in self.by_number.values() if each.lane is not Lane.ALERTS]
        sound = [each for each in ordinary if not each.refused_by]
        under_way = sum(batch.view is view for batch in ordinary)
        return (
            under_way < self.limits.in_flight_max
            and len(sound) < self.limits.batches_max
            and len(ordinary) - len(sound) < self.limits.refused_max
        )

    def has_room_for_alerts(self) -> bool:
        """Whether alerts may be sent: one push at a time, so that many together are one push."""
        alerts = [each for each in self.by_number.values() if each.lane is Lane.ALERTS]
        idle = all(batch.view is None for batch in alerts)
        return idle and len(alerts) < self.limits.refused_max
