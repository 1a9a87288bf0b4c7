"""The answer of ledger.show in full, for the pages."""

from typing import Any

from tests.api.web_moments import time


def ledger() -> dict[str, Any]:
    """A ledger as ledger.show tells it: two lives of a log, losses, holes and a conflict."""
    held = {"chunks": 9, "records": 27, "bytes": 4096, "ranges": [[1, 3], [6, 11]]}
    lost = {"chunks": 2, "records": 200, "bytes": 900, "gaps": 1, "ranges": [[4, 5]]}
    epoch = {
        "epoch": "e1",
        "head": 11,
        "held": held,
        "by_signal": {"logs": {"chunks": 9, "records": 27, "bytes": 4096}},
        "gaps": [{"reason": "shed", "signal": "logs", "lost": True, **lost}],
        "gaps_filled": 0,
        "gaps_declared": 1,
        "gaps_left_out": 0,
        "holes": {"count": 0, "ranges": []},
        "predecessor": None,
        "succeeded": True,
        "conflict_chunks": 1,
        "complete": True,
        "summary": "edge-1 epoch e1: 1..11, ended",
        "first_received": time(900),
    }
    former = {"epoch": "e1", "last_seq": 12, "held": 9, "carried_over": 1, "beyond": []}
    holes = {"count": 2, "ranges": [[2, 3]]}
    sums = {"produced": 900, "safe": 600, "accepted": 50, "buffered": 50, "shed": 200}
    sums |= {"rejected": 0, "damaged": 0, "balance": 0}
    note = "told 2 s ago: the sums balance"
    return {
        "hub": "hub-1",
        "node": "edge-1",
        "epochs": [epoch, {**epoch, "epoch": "e2", "predecessor": former, "holes": holes}],
        "complete": False,
        "edge": {**sums, "age_s": 2.1, "by_signal": {"logs": sums}, "note": note},
        "conflicts": [
            {
                "number": 1,
                "time": time(30),
                "node": "edge-1",
                "epoch": "e1",
                "seq": 12,
                "held_seq": 12,
                "held_hash": "ab" * 32,
                "sent_hash": "cd" * 32,
                "sender": "edge-1 at 10.0.0.9",
                "reason": "cloned_origin: other bytes under the same key",
                "chunks": 3,
            }
        ],
    }
