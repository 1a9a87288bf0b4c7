"""What a record that came from elsewhere may look like before it is taken in."""

from shared.beat import check_json
from shared.merge import NodeRecord

PARTS_UNCHECKED_MAX = 100
"""Objects and lists in what a node told: fewer cannot nest too deep."""


def check_record(record: NodeRecord) -> None:
    """Refuse a record that nests so deep that answers could not carry it; raises BadInput."""
    if record.intent:
        check_json([each.value for each in record.intent.values()])
    for said in (record.facts, record.observation):
        if said is not None and _may_be_deep(said.packed):
            check_json(said.data)


def _may_be_deep(packed: bytes) -> bool:
    """Counting spares most records from being read once more: few have so many parts."""
    return packed.count(b"{") + packed.count(b"[") > PARTS_UNCHECKED_MAX
