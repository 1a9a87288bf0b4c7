"""What stays of a removed node when its tombstone has gone, so that no old copy of it lives again. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from hub.nodes.tombstones import Turn, began, is_removed, removal_value, tombstone
from shared.merge import NodeRecord

GRAVES_MAX = 100_000
"""At some 200 bytes each; the oldest goes first."""


class Admission(Enum):
    """What is to be done with a record that came from another hub."""

    TAKE = "take"
    """Merge it."""
    KNOWN = "known"
    """It is the tombstone that was let go of: nothing to keep, nothing to answer."""
    BURIED = "buried"
    """It is of a removed node: keep it out, and answer the sender with the tombstone."""


@dataclass(slots=True)
class Graves:
    """The nodes of which nothing is left but when they were removed. Save `fresh` and drop `lifted`."""

    graves_max: int = GRAVES_MAX
    turns: dict[str, Turn] = field(default_factory=dict)
    refused: int = 0
    """How many records of removed nodes were kept out."""
    _unsaved: dict[str, None] = field(default_factory=dict)
    """In the order of burial, which is that on disk."""

    def load(self, stored: Iterable[tuple[str, Turn]]) -> None:
        """Take in what was on disk, oldest first."""
        self.turns.update(stored)
        self._shed()

    def __len__(self) -> int:
        """How many there are."""
        return len(self.turns)

    def __iter__(self) -> Iterator[tuple[str, Turn]]:
        """All of them, oldest first: part of a full snapshot."""
        return iter(self.turns.items())

    def bury(self, node_id: str, turn: Turn) -> None:
        """Note that the tombstone of a node goes, or that another hub let it go."""
        held = self.turns.pop(node_id, turn)
        self.turns[node_id] = max(held, turn)
        self._note(node_id)
        self._shed()

    def _note(self, node_id: str) -> None:
        self._unsaved.pop(node_id, None)
        self._unsaved[node_id] = None

    def _shed(self) -> None:
        while len(self.turns) > self.graves_max:
            oldest = next(iter(self.turns))
            del self.turns[oldest]
            self._note(oldest)

    def judge(self, record: NodeRecord) -> Admission:
        """Whether a record may be merged. A later removal may, and a later return, which opens the grave."""
        grave = self.turns.get(record.node_id)
        if grave is None:
            return Admission.TAKE
        if began(record) > grave:
            self._open(record)
            return Admission.TAKE
        if began(record) == grave and is_removed(record):
            return Admission.KNOWN
        self.refused += 1
        return Admission.BURIED

    def _open(self, record: NodeRecord) -> None:
        # From here on the record itself says that the node was removed, or let back, and when.
        del self.turns[record.node_id]
        self._note(record.node_id)

    def holds(self, node_id: str) -> bool:
        """Whether a node was removed and its tombstone is gone."""
        return node_id in self.turns

    def answer(self, node_id: str) -> NodeRecord:
        """The tombstone for a sender that still holds the node; raises KeyError when there is no grave."""
        reissue, stamp = self.turns[node_id]
        value = removal_value(stamp.wall_ms, stamp.hub_id, "long ago")
        return tombstone(node_id, stamp, value, reissue)

    def put_back(self, unsaved: Mapping[str, Turn | None]) -> None:
        """What could not be written down is to be written with the next."""
        self._unsaved = {**dict.fromkeys(unsaved), **self._unsaved}

    def take_unsaved(self) -> Mapping[str, Turn | None]:
        """What must be written down, once: graves, and None for those to be deleted."""
        unsaved = {node_id: self.turns.get(node_id) for node_id in self._unsaved}
        self._unsaved = {}
        return unsaved
