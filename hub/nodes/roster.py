"""The names of all nodes that nobody removed, in order.

Kept with every change, so that a page of a hundred nodes costs no walk over 100,000. Rules only.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Roster:
    """Who is here. What has changed is sorted in when the names are asked for."""

    _here: set[str] = field(default_factory=set)
    _names: list[str] = field(default_factory=list)
    _come: list[str] = field(default_factory=list)
    _has_gone: bool = False

    def put(self, node_id: str) -> None:
        """Have a node on it."""
        if node_id not in self._here:
            self._here.add(node_id)
            self._come.append(node_id)

    def put_all(self, node_ids: Iterable[str]) -> None:
        """Have some nodes on it."""
        for node_id in node_ids:
            self.put(node_id)

    def drop(self, node_id: str) -> None:
        """Take a node off."""
        if node_id in self._here:
            self._here.discard(node_id)
            self._has_gone = True

    @property
    def names(self) -> Sequence[str]:
        """All names by order. A later change makes a new list: who walks this one may take breaks."""
        if self._has_gone:
            kept = [name for name in self._names if name in self._here]
            self._names = sorted([*kept, *sorted(self._here.difference(kept))])
        elif self._come:
            # Two runs that are in order each: sorting them together is as cheap as a copy.
            self._names = sorted([*self._names, *sorted(self._come)])
        self._come, self._has_gone = [], False
        return self._names

    def __len__(self) -> int:
        return len(self._here)

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._here
