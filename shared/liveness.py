"""The words for whether a node is alive; hub.nodes.verdict says when each of them holds."""

from enum import StrEnum


class NodeState(StrEnum):
    """What a hub says of a node. Unknown means: its silence proves nothing now."""

    ONLINE = "online"
    LATE = "late"
    SUSPECT = "suspect"
    OFFLINE = "offline"
    UNKNOWN = "unknown"
