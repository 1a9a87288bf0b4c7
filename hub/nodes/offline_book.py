"""Which nodes were offline when this hub judged them last. On disk, it outlives the hub: a restart
neither tells of a death a second time nor forgets to tell of the return. Pure.

A verdict itself is not kept: a hub that has just begun has heard nobody, and says so.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from shared.liveness import NodeState


@dataclass(slots=True)
class OfflineBook:
    """The nodes that are offline, with the moment (Unix ms) from which on they were called so."""

    since_ms: dict[str, int] = field(default_factory=dict)
    _unsaved: dict[str, int | None] = field(default_factory=dict)

    def load(self, saved: Mapping[str, int], watched: Collection[str]) -> None:
        """Take up what an earlier run of this hub knew; a node that was removed since is left out."""
        for node_id, since_ms in saved.items():
            if node_id in watched:
                self.since_ms.setdefault(node_id, since_ms)
            else:
                self._unsaved.setdefault(node_id, None)

    def __contains__(self, node_id: str) -> bool:
        return node_id in self.since_ms

    def turned(self, node_id: str, state: NodeState, wall_ms: int) -> None:
        """Note a new verdict. Only a node that is online is offline no longer: one that this hub
        doubts since it began anew may be as dead as before."""
        if state is NodeState.OFFLINE and node_id not in self.since_ms:
            self.since_ms[node_id] = self._unsaved[node_id] = wall_ms
        elif state is NodeState.ONLINE:
            self.drop(node_id)

    def drop(self, node_id: str) -> None:
        """Forget a node: it is online, or removed."""
        if self.since_ms.pop(node_id, None) is not None:
            self._unsaved[node_id] = None

    def take_unsaved(self) -> dict[str, int | None]:
        """What has to be written, once; None stands for a node that is offline no longer."""
        unsaved, self._unsaved = self._unsaved, {}
        return unsaved

    def put_back(self, unsaved: Mapping[str, int | None]) -> None:
        """It could not be written: it waits for the next time, unless it has changed since."""
        self._unsaved = {**unsaved, **self._unsaved}
