"""Which change of each stream came last to each node, and in which order nodes changed here.

Kept in arrays of 64-bit numbers, a row for each node: 8 bytes for a dot, and 16 to 24 for a node's
place in the order, so that 100,000 nodes of three hubs take a few megabytes. Pure.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from hub.peering.vector import Stream
from shared.ranges import NOTHING, Ranges

STALE_MIN = 1024  # Below this, clearing the order costs more than its memory is worth.


def _numbers() -> "array[int]":
    return array("q")


@dataclass(slots=True)
class Dots:
    """The newest dots of all nodes. `position` counts the changes of this hub's table."""

    rows: dict[str, int] = field(default_factory=dict)
    position: int = 0
    _names: list[str] = field(default_factory=list)
    _moved: "array[int]" = field(default_factory=_numbers)
    _seqs: dict[Stream, "array[int]"] = field(default_factory=dict)
    _places: "array[int]" = field(default_factory=_numbers)
    _order: "array[int]" = field(default_factory=_numbers)
    _free: list[int] = field(default_factory=list)
    """Rows of nodes that were forgotten."""

    def touch(self, node: str) -> None:
        """Put a node, known or new, at the end of the order."""
        row = self.rows.get(node)
        if row is None:
            row = self.rows[node] = self._new_row(node)
        self.position += 1
        self._moved[row] = self.position
        self._places.append(self.position)
        self._order.append(row)
        if len(self._order) > 2 * len(self._names) + STALE_MIN:
            self._clear_order()

    def _new_row(self, node: str) -> int:
        if self._free:
            row = self._free.pop()
            self._names[row] = node
            return row
        self._names.append(node)
        self._moved.append(0)
        for seqs in self._seqs.values():
            seqs.append(0)
        return len(self._names) - 1

    def forget(self, node: str) -> None:
        """Drop a node with all its dots; nothing if it is not known."""
        row = self.rows.pop(node, None)
        if row is None:
            return
        self._names[row], self._moved[row] = "", 0
        for seqs in self._seqs.values():
            seqs[row] = 0
        self._free.append(row)

    def _clear_order(self) -> None:
        pairs = zip(self._places, self._order, strict=True)
        fresh = [(place, row) for place, row in pairs if self._moved[row] == place]
        self._places = array("q", [place for place, _ in fresh])
        self._order = array("q", [row for _, row in fresh])

    def put(self, node: str, dots: Mapping[Stream, int]) -> bool:
        """Note changes of a node that has been touched before; older ones than the known are nothing.

        Returns whether anything is new.
        """
        row, is_new = self.rows[node], False
        for stream, seq in dots.items():
            seqs = self._seqs.get(stream)
            if seqs is None:
                seqs = self._seqs[stream] = array("q", bytes(8 * len(self._names)))
            if seqs[row] < seq:
                seqs[row], is_new = seq, True
        return is_new

    def get(self, node: str, stream: Stream) -> int:
        """The newest number of this stream that a node bears; 0 for none."""
        row, seqs = self.rows.get(node), self._seqs.get(stream)
        return 0 if row is None or seqs is None else seqs[row]

    def of(self, node: str) -> dict[Stream, int]:
        """All the dots of a node."""
        row = self.rows.get(node)
        if row is None:
            return {}
        return {stream: seqs[row] for stream, seqs in self._seqs.items() if seqs[row]}

    def since(self, position: int) -> Iterator[tuple[str, int]]:
        """The nodes that changed after a position, and where: oldest first, each once."""
        for index in range(bisect_left(self._places, position + 1), len(self._order)):
            row = self._order[index]
            if self._moved[row] == self._places[index]:
                yield self._names[row], self._places[index]

    def is_within(self, node: str, have: Mapping[Stream, Ranges]) -> bool:
        """Whether a vector covers all the dots of a node."""
        row = self.rows[node]
        for stream, seqs in self._seqs.items():
            seq = seqs[row]
            if seq and seq not in have.get(stream, NOTHING):
                return False
        return True

    def bearers(self, stream: Stream) -> Iterator[tuple[str, int]]:
        """The nodes that bear a dot of this stream, and which."""
        for row, seq in enumerate(self._seqs.get(stream, ())):
            if seq:
                yield self._names[row], seq

    def drop(self, stream: Stream) -> None:
        """Forget the dots of a stream."""
        self._seqs.pop(stream, None)

    @property
    def streams(self) -> AbstractSet[Stream]:
        """All streams of which a node bears a dot, or has borne one."""
        return self._seqs.keys()

    @property
    def bytes_used(self) -> int:
        """Of the arrays; the names are those of the records."""
        arrays = [self._moved, self._places, self._order, *self._seqs.values()]
        return sum(each.itemsize * len(each) for each in arrays)
