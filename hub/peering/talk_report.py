"""Tells of what should not be among the records of nodes: what was repaired, and what was put aside."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from hub.peering.exchange_replica import Replica
from shared.merge import NodeRecord

PARKED_TOLD_MAX = 10
"""Events of one round; all of them are counted, and can be listed."""

Report = Callable[[str, Mapping[str, Any]], None]


@dataclass(slots=True)
class TalkReport:
    """What of the records of one hub has been told, and what is new."""

    replica: Replica[NodeRecord]
    report: Report
    _told: Counter[str] = field(default_factory=Counter)

    def tell(self) -> None:
        """Report what has come since the last time."""
        self._tell_repairs()
        self._tell_parked()

    def _tell_repairs(self) -> None:
        for reason, count in self.replica.repaired.items():
            fresh = count - self._told[reason]
            if fresh > 0:
                self._told[reason] = count
                self.report("gossip.repaired", {"records": fresh, "reason": reason})

    def _tell_parked(self) -> None:
        parked = self.replica.parked
        fresh = parked.total - self._told["parked"]
        self._told["parked"] = parked.total
        for entry in islice(reversed(parked.entries.values()), min(fresh, PARKED_TOLD_MAX)):
            facts = {"node": entry.node, "hub": entry.sender, "reason": entry.reason}
            self.report("gossip.parked", facts)
